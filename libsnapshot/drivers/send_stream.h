// SPDX-License-Identifier: Apache-2.0
// Which paths a btrfs send stream touches: what "btrfs send" says of the way from one subvolume to another is a list of
// commands, and only the names in them are of interest here. The bytes are checked like those of a stranger.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <unordered_set>

#include "libbase/path.h"
#include "libbase/result.h"

namespace cairn::snapshot {

class TouchedPaths {
 public:
  // A path that some command is about. whole: what is below it may be anything.
  enum class Reach { itself, whole };
  void add(std::string_view path, Reach reach);

  // Whether the path, or something below it, may be another one than before.
  bool may_differ(std::string_view path) const;

  const std::unordered_set<std::string>& touched() const { return touched_; }  // "": the root
  const std::unordered_set<std::string>& whole() const { return whole_; }

 private:
  std::unordered_set<std::string> touched_;    // as given
  std::unordered_set<std::string> whole_;      // those of them whose reach is that
  std::unordered_set<std::string> on_the_way_;  // the touched ones and all above them
};

// Adds what the commands of a stream of version 1 touch. A name that is the end of a rename is touched as a whole,
// because other files may be below it than below that name before. Errors: corrupt (damaged, cut off, or a command that is not
// known).
base::Status read_send_stream(std::string_view stream, TouchedPaths& touched);

}  // namespace cairn::snapshot
