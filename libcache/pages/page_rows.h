// SPDX-License-Identifier: Apache-2.0
// The pages in LMDB: each once, counted by the rows and pages that point at it. A page whose count falls to nothing goes
// into the trash, and what it points at is counted down when it is taken out of there, a bounded number at a time; until
// then it can be pointed at again.
#pragma once

#include <memory>
#include <string>
#include <tuple>
#include <unordered_map>

#include "libbase/lmdb/env.h"
#include "libcache/pages/page.h"
#include "libcache/record.h"
#include "libcache/records/row_keys.h"

namespace cairn::cache {

using PathDigest = base::Digest<struct PathMeaning>;
PathDigest digest_path_name(std::string_view path);

struct PageBytes {  // a page is its own row: its version byte is in it
  std::string bytes;
};
struct PageCount {
  std::uint64_t count = 0;
};
// From a record and a directory in its tree to the page of that directory.
struct PageRoot {
  PageName page;
  std::string path;
  bool operator==(const PageRoot&) const = default;
};

// Pages that are about to be stored with the row that points at the first of them.
struct PageSet {
  RecordId record;
  std::string path;  // clean: "/a/b" or ""
  PageName root;
  std::unordered_map<PageName, std::string> pages;  // those that may be new

  // They are in memory until they are durable, so there is a bound: beyond it they are given up, all of the set.
  std::size_t bytes = 0, bytes_max = 256 << 20;
  bool is_given_up = false;
  void add(const PageName& name, std::string page);
};

// Whether everything that the pages of the set point at is in it or stored. O(pages of the set).
base::Result<bool> can_store_pages(base::lmdb::WriteTxn& txn, const PageSet& set);
// Inserts what is absent, counts, and writes the row. Nothing if the record has a row for the path already. Errors:
// not_found (a page that is neither stored nor in the set), corrupt, no_space, io.
base::Status store_pages(base::lmdb::WriteTxn& txn, const PageSet& set);
// Takes away the rows of a record, and counts down what they point at.
base::Status release_pages_of(base::lmdb::WriteTxn& txn, RecordId record);
// Counts one more user of a stored page, and one less. Errors: not_found (it is not stored), corrupt.
base::Status hold_page(base::lmdb::WriteTxn& txn, const PageName& page);
base::Status release_page(base::lmdb::WriteTxn& txn, const PageName& page);
// Erases up to this many pages of the trash; true if more are left.
base::Result<bool> erase_page_trash(base::lmdb::WriteTxn& txn, std::size_t pages_max);

}  // namespace cairn::cache

template <>
struct cairn::base::Codec<cairn::cache::PageBytes> {
  static std::string encode(const cache::PageBytes& page) { return page.bytes; }
  static Result<cache::PageBytes> decode(std::string_view bytes) { return cache::PageBytes{std::string(bytes)}; }
};
template <>
struct cairn::base::Codec<cairn::cache::PageCount> {
  static std::string encode(const cache::PageCount& count);
  static Result<cache::PageCount> decode(std::string_view bytes);
};
template <>
struct cairn::base::Codec<cairn::cache::PageRoot> {
  static std::string encode(const cache::PageRoot& root);
  static Result<cache::PageRoot> decode(std::string_view bytes);
};

namespace cairn::cache::table {

inline constexpr base::lmdb::TableSpec<PageName, PageBytes> pages{{"cache.pages", base::lmdb::Precious::rebuildable}};
inline constexpr base::lmdb::TableSpec<PageName, PageCount> page_counts{
    {"cache.page_counts", base::lmdb::Precious::rebuildable}};
inline constexpr base::lmdb::TableSpec<std::tuple<RecordId, PathDigest>, PageRoot> page_roots{
    {"cache.page_roots", base::lmdb::Precious::rebuildable}};
inline constexpr base::lmdb::TableSpec<PageName, Present> page_trash{
    {"cache.page_trash", base::lmdb::Precious::rebuildable}};

}  // namespace cairn::cache::table
