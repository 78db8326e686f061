// SPDX-License-Identifier: Apache-2.0
// The tree of a record as digests see it: from pages where there are some, from those of an ancestor and the changes since
// where there are some of it, and from disk else. What it finds out about whole directories becomes pages.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "libcache/pages/page_tree.h"
#include "libcache/pages/pending_pages.h"
#include "libcache/ref.h"
#include "libcache/trees/disk_tree.h"

namespace cairn::cache {

struct Store;

// Not thread-safe.
class RecordTree final : public RecordSource {
 public:
  // counts is added to; both outlive this.
  RecordTree(Store& store, const ImmutableRef& ref, DigestCounts& counts, std::stop_token stop);

  base::Result<std::optional<Found>> find(std::string_view path) override;
  base::Status walk(std::string_view path, const RecordVisit& visit) override;
  base::Result<TreeDigest> contents(std::string_view path) override;

  // Pages of this record that cover the path; nullopt if there are none yet.
  base::Result<std::optional<PageTree>> known_pages(std::string_view path);
  base::Result<std::string> read_page(const PageName& page) const;

  // Those, or what can be made of the pages of an ancestor and the changes since; nullopt if the tree would have to be read.
  base::Result<std::optional<PageTree>> ready_pages(const std::string& path);

  // The pages that were made, to be kept.
  std::vector<PendingPages::SetPtr> take_sets() { return std::move(sets_); }

 private:
  struct Base {  // an ancestor's page of the same directory
    RecordInfo record;
    PageName page;
  };
  base::Result<DiskTree*> disk();
  base::Result<std::optional<PageTree>> pages_of(RecordId record, std::string_view path);
  // Of the directory at this path; nullopt if there were too many to keep.
  base::Result<std::optional<PageTree>> make_pages(const std::string& path);
  base::Result<std::optional<Base>> find_base(const std::string& path);
  base::Result<PageName> update_base(const Base& from, const std::string& path, PageSet& set);
  base::Status scan(const std::string& path, PageSet& set);
  static base::Result<Step> walk_whole(PageTree& pages, const std::string& path, const RecordVisit& visit);

  Store& store_;
  const ImmutableRef& ref_;
  DigestCounts& counts_;
  std::stop_token stop_;
  snapshot::MountedTree mount_;
  std::unique_ptr<DiskTree> disk_;  // with the mount, when first needed
  std::vector<PendingPages::SetPtr> sets_;
};

}  // namespace cairn::cache
