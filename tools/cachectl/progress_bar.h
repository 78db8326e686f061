// SPDX-License-Identifier: Apache-2.0
// How far something is that takes more than a second: one line at the bottom of the terminal, with its rate and the time that is left. On
// anything else than a terminal nothing is written.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace cairn::cachectl {

struct ProgressReading {
  std::uint64_t done = 0;
  std::uint64_t total = 0;  // 0: not known, then there is no time left either
};

// What the line says, in less than so many columns: what does not fit is left out, the least important first.
enum class ProgressUnit { bytes, things, nothing };  // nothing: only how long it has gone on
std::string progress_line(const std::string& doing, ProgressUnit unit, ProgressReading now, std::chrono::nanoseconds elapsed, std::size_t columns);

class ProgressBar {
 public:
  using Read = std::function<ProgressReading()>;  // called on a thread of its own; does not wait
  // doing: "reading blobs and trees back".
  ProgressBar(std::string doing, ProgressUnit unit, Read read);
  explicit ProgressBar(std::string doing) : ProgressBar(std::move(doing), ProgressUnit::nothing, [] { return ProgressReading(); }) {}
  ~ProgressBar();  // the line is away
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

 private:
  struct Drawer;
  std::unique_ptr<Drawer> drawer_;  // none: nobody sees it
};

// What this process reads from here on, against a total that is about that. What another process reads for it does not count.
ProgressBar::Read bytes_read_of(std::uint64_t total);

}  // namespace cairn::cachectl
