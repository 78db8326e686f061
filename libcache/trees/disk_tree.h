// SPDX-License-Identifier: Apache-2.0
// The records of a tree on disk, read when they are asked for and not remembered. Names are touched only through
// descriptors beneath the top of the tree, and no link is ever followed by the kernel.
#pragma once

#include <stop_token>
#include <string>

#include "libcache/directory_stats.h"
#include "libcache/trees/entry_reader.h"
#include "libcache/trees/records.h"

namespace cairn::cache {

class DiskTree final : public RecordSource {
 public:
  struct Options {
    DigestRules rules = DigestRules::scan;
    Normalisation normalisation;
    DigestCounts* counts = nullptr;  // added to by contents() and when this ends
    std::stop_token stop;
    StatCache* stats = nullptr;  // not used with a normalisation: it knows digests without
  };
  // tree stays open as long as this lives.
  DiskTree(int tree, Options options);
  ~DiskTree() override;

  base::Result<std::optional<Found>> find(std::string_view path) override;
  // Errors: cancelled; io if something vanishes or changes while it is read. At most 64 directories are open at a time, and
  // one directory and one file per core while what was asked for later is read, some thousand names at a time.
  base::Status walk(std::string_view path, const RecordVisit& visit) override;

  // By all cores (SubtreeDigester).
  base::Result<TreeDigest> contents(std::string_view path) override;

 private:
  class Walk;
  class Later;

  base::Result<TreeDigest> digest_leaf(const Place& place, DirectoryStats* stats);
  base::Result<TreeDigest> digest_header(int dir, const StatX& seen, const std::string& path, DirectoryStats* stats);

  int tree_;
  Options options_;
  EntryReader reader_;
};

}  // namespace cairn::cache
