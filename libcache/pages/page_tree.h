// SPDX-License-Identifier: Apache-2.0
// The records of a tree from its pages: nothing on disk is touched but LMDB.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "libcache/pages/page.h"
#include "libcache/trees/records.h"

namespace cairn::cache {

class PageTree final : public RecordSource {
 public:
  // The page of the directory at `top` (clean) of the tree; only what is below it can be asked for.
  PageTree(std::string top, const PageName& page, DigestRules rules, PageLoad read)
      : top_(std::move(top)), page_(page), rules_(rules), read_(std::move(read)) {}
  // As a dependency with this policy sees the tree. Then every digest may fail with unavailable: pages hold the hash of a
  // file with its header in front, and of attributes only a hash, so a file whose header is another by the policy, and
  // what has attributes of which some count, must be read.
  PageTree with(const Normalisation& policy) const;

  base::Result<std::optional<Found>> find(std::string_view path) override;
  base::Status walk(std::string_view path, const RecordVisit& visit) override;
  base::Result<TreeDigest> contents(std::string_view path) override;
  // The page of the directory at this path; nullopt if there is none.
  base::Result<std::optional<PageName>> page_at(std::string_view path);
  // What is at this path; of a directory only its page and contents. nullopt if there is nothing.
  base::Result<std::optional<PageEntry>> entry_at(std::string_view path);

 private:
  base::Result<TreeDigest> digest_of(const PageEntry& entry) const;
  base::Result<TreeDigest> header_digest(std::string_view path, const PageEntry& header) const;

  std::string top_;
  PageName page_;
  DigestRules rules_;
  PageLoad read_;
  Normalisation policy_;
};

// The entry with this name in a directory, reading one leaf if it is a wide one.
base::Result<std::optional<PageEntry>> find_in_directory(const PageName& page, std::string_view name, const PageLoad& read);

}  // namespace cairn::cache
