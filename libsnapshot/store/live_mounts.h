// SPDX-License-Identifier: Apache-2.0
// The chains that live mounts stack, and the right to make a hard link to a file of a layer. A link changes the ctime of
// the file, and a running `tar` fails on that, so it is made only where no live mount can see it. A mount that begins
// waits for a link that is being made: one system call.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <unordered_map>
#include <unordered_set>

#include "libbase/sync.h"
#include "libsnapshot/meta/chain.h"

namespace cairn::snapshot {

// no: nothing of it is mounted, or was lately.
enum class InUse { no, lately, now };

// Thread-safe.
class LiveMounts {
 public:
  // quiet: what was mounted so lately is in use `lately`.
  explicit LiveMounts(std::chrono::milliseconds quiet) { state_->lock()->quiet = quiet; }

  // From now on nobody links to a file of these layers, until what is returned is gone.
  std::shared_ptr<void> add(ChainPtr chain);
  // Of any layer of a chain. O(depth of all that is mounted or was lately).
  InUse in_use(const Chain& chain);

  // Whether a file of this layer may be linked to now; links: how many names it has. After true, end_link() follows. A
  // file with several names may be one of another layer, too, so it is left alone while anything is mounted.
  bool begin_link(SnapshotId layer, std::uint64_t links);
  void end_link();

 private:
  using Clock = std::chrono::steady_clock;
  struct State {
    std::chrono::milliseconds quiet{};
    std::deque<std::pair<Clock::time_point, ChainPtr>> unmounted;  // lately, oldest first
    std::unordered_map<const Chain*, ChainPtr> chains;  // by the first layer
    std::unordered_map<const Chain*, unsigned> counts;
    std::unordered_set<SnapshotId> layers;  // of all of them; made when it is asked for
    bool layers_known = true;
    unsigned linking = 0;

    bool is_mounted(SnapshotId layer);
    void remove(const Chain* chain);
    void forget_old();
  };
  std::shared_ptr<base::Guarded<State>> state_ = std::make_shared<base::Guarded<State>>();  // mounts may outlive us
  std::condition_variable_any linked_;
};

}  // namespace cairn::snapshot
