// SPDX-License-Identifier: Apache-2.0
// The scrubber's second half: trees. The first scrub that comes to a tree seals it; every later one compares. Where the
// pages of a record are known from when its bytes came in, the first one compares, too.
#pragma once

#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <unordered_map>
#include <vector>

#include "libcache/blobs/scrub.h"
#include "libcache/pages/page_rows.h"
#include "libcache/trees/seal_rows.h"

namespace cairn::cache {

// Goes on where the last one stopped, in the order of the records' ids. True: it has come to the end.
base::Result<bool> scrub_trees(Store& store, ScrubOptions::From from, ScrubPace& pace, ScrubReport& report);

struct ToScrub {
  RecordId record;
  snapshot::SnapshotId snapshot;
  bool flattened = false;
  std::optional<SealRow> sealed;
  std::optional<PageName> pages;  // of the whole tree, as it came in
};
// Those of one step, from `next` on, which moves behind them; 0 at the end. What is known to be damaged is left out.
base::Result<std::vector<ToScrub>> next_trees(base::lmdb::Env& env, RecordId& next);

// Reads a tree and compares it with its seal and its pages. It changes nothing.
class TreeComparison {
 public:
  TreeComparison(base::lmdb::Env& env, const base::HostPath& root, std::function<void(std::uint64_t bytes)> read, std::stop_token stop)
      : env_(env), root_(root), read_(std::move(read)), stop_(std::move(stop)) {}
  // What is wrong; empty: nothing, and `now` is what its row should say. Errors: cancelled, io.
  base::Result<std::string> compare(const ToScrub& tree, SealRow& now);

 private:
  // What is wrong with the part, or its seal.
  struct Look {
    std::optional<TreeSeal> seal;
    std::string wrong;
  };
  base::Result<Look> look(const ToScrub& tree, const char* part, const PageSink& pages);
  base::Result<std::string> compare_with_pages(const ToScrub& tree, const TreeSeal& own,
                                               const std::unordered_map<PageName, std::string>& pages);

  base::lmdb::Env& env_;
  const base::HostPath& root_;
  std::function<void(std::uint64_t bytes)> read_;
  std::stop_token stop_;
};

inline const std::string tree_scrub_key = "trees";
base::Status save_tree_position(Store& store, RecordId next);

// The record, and whatever is built on it, become misses: in small transactions, the record last. Who dies over it leaves a
// record that still is what it was found to be. Returns how many became misses; 0 if it is gone.
base::Result<std::uint64_t> quarantine_record(Store& store, RecordId record, const std::string& reason);

}  // namespace cairn::cache
