// SPDX-License-Identifier: Apache-2.0
// The chains that live mounts stack, and the right to make a hard link to a file of a layer. A link changes the ctime of
// the file, and a running `tar` fails on that, so it is made only where no live mount can see it. A mount that begins
// waits for a link that is being made: one system call.
#pragma once

#include <condition_variable>
#include <memory>
#include <unordered_map>
#include <unordered_set>

#include "libbase/sync.h"
#include "libsnapshot/meta/chain.h"

namespace cairn::snapshot {

// Thread-safe.
class LiveMounts {
 public:
  // From now on nobody links to a file of these layers, until what is returned is gone.
  std::shared_ptr<void> add(ChainPtr chain);
  std::size_t count();

  // Whether a file of this layer may be linked to now; links: how many names it has. After true, end_link() follows. A
  // file with several names may be one of another layer, too, so it is left alone while anything is mounted.
  bool begin_link(SnapshotId layer, std::uint64_t links);
  void end_link();

 private:
  struct State {
    std::unordered_map<const Chain*, ChainPtr> chains;  // by the first layer
    std::unordered_map<const Chain*, unsigned> counts;
    std::unordered_set<SnapshotId> layers;  // of all of them; made when it is asked for
    bool layers_known = true;
    unsigned linking = 0;

    bool is_mounted(SnapshotId layer);
    void remove(const Chain* chain);
  };
  std::shared_ptr<base::Guarded<State>> state_ = std::make_shared<base::Guarded<State>>();  // mounts may outlive us
  std::condition_variable_any linked_;
};

}  // namespace cairn::snapshot
