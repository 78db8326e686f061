// SPDX-License-Identifier: Apache-2.0
#include "tools/cachectl/progress_bar.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <thread>
#include <vector>

#include "libbase/fs/fd.h"
#include "tools/cachectl/command.h"
#include "tools/cachectl/size_text.h"
#include "tools/cachectl/terminal.h"

namespace cairn::cachectl {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds tick{150};

// A second, or what a test wants.
std::chrono::milliseconds shown_after() {
  const char* said = std::getenv("CAIRN_PROGRESS_AFTER_MS");
  return std::chrono::milliseconds(said == nullptr ? 1000 : std::atol(said));
}

std::string amount(ProgressUnit unit, double value) {
  return unit == ProgressUnit::bytes ? size_text(value) : fmt::format("{:.0f}", value);
}

std::uint64_t bytes_read() {
  const auto file = base::HostPath::parse("/proc/self/io");
  const auto text = file ? base::read_file(*file, 4096) : base::Result<std::string>("");
  return text && text->starts_with("rchar: ") ? std::strtoull(text->c_str() + 7, nullptr, 10) : 0;
}

}  // namespace

std::string progress_line(const std::string& doing, ProgressUnit unit, ProgressReading now, std::chrono::nanoseconds elapsed, std::size_t columns) {
  const double seconds = std::max(std::chrono::duration<double>(elapsed).count(), 1e-3);
  const double done = static_cast<double>(now.total > 0 ? std::min(now.done, now.total) : now.done), total = static_cast<double>(now.total);
  const double rate = done / seconds;
  std::vector<std::string> parts;  // the most important first
  if (unit == ProgressUnit::nothing || done == 0) {
    parts.push_back(human_duration(elapsed));
  } else {
    if (now.total > 0) parts.push_back(fmt::format("{:.0f}%", 100 * done / total));
    if (now.total > 0) parts.push_back(human_duration(std::chrono::nanoseconds(static_cast<std::int64_t>(1e9 * (total - done) / rate))) + " left");
    parts.push_back(amount(unit, rate) + "/s");
    parts.push_back(now.total > 0 ? amount(unit, done) + " of " + amount(unit, total) : amount(unit, done));
  }
  std::string line = " " + doing;
  std::string said;
  for (const std::string& part : parts) {
    const std::string more = said + (said.empty() ? "" : "  ") + part;
    // The words before the numbers may be cut, but not away.
    constexpr std::size_t words_min = 8;
    if (more.size() + std::min(line.size(), words_min) + 2 >= columns) break;
    said = more;
  }
  const std::size_t room = columns > said.size() + 3 ? columns - said.size() - 3 : 1;
  if (line.size() > room) line.resize(room);
  return cut_to_line(said.empty() ? line : line + "  " + said, columns);
}

struct ProgressBar::Drawer {
  Drawer(std::string doing_in, ProgressUnit unit_in, Read read_in)
      : doing(std::move(doing_in)), unit(unit_in), read(std::move(read_in)), thread([this](const std::stop_token& stop) { run(stop); }) {}

  void run(const std::stop_token& stop) {
    const auto pause = [&](std::chrono::nanoseconds time) {
      std::unique_lock lock(mutex);
      never.wait_for(lock, stop, time, [] { return false; });
    };
    pause(shown_after());
    bool drawn = false;
    // Once it is to be shown it is, however soon it is over.
    while (!stop.stop_requested() || (!drawn && Clock::now() - since >= shown_after())) {
      std::cerr << "\r\x1b[2K" + progress_line(doing, unit, read(), Clock::now() - since, terminal_size().columns) << std::flush;
      drawn = true;
      pause(tick);
    }
    if (drawn) std::cerr << "\r\x1b[2K" << std::flush;
  }

  const std::string doing;
  const ProgressUnit unit;
  const Read read;
  const Clock::time_point since = Clock::now();
  std::mutex mutex;
  std::condition_variable_any never;
  std::jthread thread;
};

ProgressBar::ProgressBar(std::string doing, ProgressUnit unit, Read read) {
  if (is_terminal(STDERR_FILENO)) drawer_ = std::make_unique<Drawer>(std::move(doing), unit, std::move(read));
}

ProgressBar::~ProgressBar() = default;

ProgressBar::Read bytes_read_of(std::uint64_t total) {
  return [total, before = bytes_read()] {
    const std::uint64_t now = bytes_read();
    return ProgressReading{now > before ? now - before : 0, total};
  };
}

}  // namespace cairn::cachectl
