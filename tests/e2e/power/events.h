// SPDX-License-Identifier: Apache-2.0
// What a workload reports through a pipe: what it is about to do, and what has been acknowledged to it, each with the
// length of the disk's log at that moment; and what a store has to hold, by that report, after a cut.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/support/disk/disk_log.h"

namespace cairn::test {

struct Event {
  enum class Kind : std::uint32_t {
    intent,     // the subject is complete and has `state`; what names it is queued next
    committed,  // its publication has been acknowledged as durable
    retiring,   // that it goes may be queued from now on
    retired,    // that it is gone has been acknowledged
  };
  Kind kind = Kind::intent;
  std::uint64_t subject = 0;   // a snapshot, or a key
  std::uint64_t position = 0;  // requests in the disk's log by then
  std::string state;           // of an intent
};

// Used by one thread.
class Reporter {
 public:
  Reporter(int pipe, const DiskLog& log) : pipe_(pipe), log_(&log) {}
  explicit Reporter(int pipe) : pipe_(pipe) {}  // there is no recorded disk: all positions are 0
  void say(Event::Kind kind, std::uint64_t subject, std::string_view state = {});

 private:
  int pipe_;
  const DiskLog* log_ = nullptr;
};

// All that is reported until the other end is closed; a report that breaks off, because its writer was killed, is left
// out.
std::vector<Event> read_events(int pipe);

// Runs work in a child process; returns what it reported. Aborts if the child fails, which it says on standard error.
std::vector<Event> run_in_child(const DiskLog& log, const std::function<void(Reporter&)>& work);

// What has to be there after a cut.
struct Expected {
  std::vector<std::pair<std::uint64_t, std::string>> may_exist;  // with the state that it then has
  std::vector<std::uint64_t> must_exist, must_be_gone;
};
Expected expected_after(const std::vector<Event>& events, std::size_t cut_end);

}  // namespace cairn::test
