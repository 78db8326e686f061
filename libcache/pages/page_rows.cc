// SPDX-License-Identifier: Apache-2.0
#include "libcache/pages/page_rows.h"

#include <vector>

#include "libbase/codec.h"
#include "libbase/hash/sha256.h"
#include "libcache/records/scan.h"

namespace cairn::cache {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;
using base::lmdb::Scan;
using base::lmdb::WriteTxn;

namespace {

// Counts one more user of a page. True if it is new, so that what it points at has to be counted, too.
Result<bool> count_up(WriteTxn& txn, const PageSet& set, const PageName& page) {
  const auto row = TRY(txn.get(table::page_counts, page));
  if (row) {
    // Out of the trash, what it points at is still counted.
    if (row->count == 0) TRY(txn.erase(table::page_trash, page));
    TRY(txn.put(table::page_counts, page, PageCount{row->count + 1}));
    return false;
  }
  const auto found = set.pages.find(page);
  if (found == set.pages.end()) return fail(ErrorCode::not_found, "store page {}: its bytes are not here", page);
  TRY(txn.put_raw(table::pages, page.raw(), found->second));
  TRY(txn.put(table::page_counts, page, PageCount{1}));
  return true;
}

Status count_down(WriteTxn& txn, const PageName& page) {
  const auto row = TRY(txn.get(table::page_counts, page));
  if (!row || row->count == 0) return fail(ErrorCode::corrupt, "page {} is pointed at and not counted", page);
  TRY(txn.put(table::page_counts, page, PageCount{row->count - 1}));
  if (row->count == 1) TRY(txn.put(table::page_trash, page, Present{}));
  return {};
}

}  // namespace

void PageSet::add(const PageName& name, std::string page) {
  if (is_given_up) return;
  bytes += page.size() + sizeof(PageName);
  pages.emplace(name, std::move(page));
  if (bytes <= bytes_max) return;
  is_given_up = true;
  pages.clear();
}

PathDigest digest_path_name(std::string_view path) { return base::digest_of<PathDigest>(path); }

Result<bool> can_store_pages(WriteTxn& txn, const PageSet& set) {
  const auto is_here = [&](const PageName& page) -> Result<bool> {
    if (set.pages.contains(page)) return true;
    const auto row = TRY(txn.get_raw(table::page_counts, page.raw()));
    return row.has_value();
  };
  if (!TRY(is_here(set.root))) return false;
  for (const auto& [name, bytes] : set.pages) {
    const RawPage raw = TRY(decode_page(bytes));
    for (const PageName& child : raw.children())
      if (!TRY(is_here(child))) return false;
  }
  return true;
}

Status store_pages(WriteTxn& txn, const PageSet& set) {
  const std::tuple<RecordId, PathDigest> key{set.record, digest_path_name(set.path)};
  if (TRY(txn.get(table::page_roots, key))) return {};
  std::vector<PageName> pending = {set.root};
  while (!pending.empty()) {
    const PageName page = pending.back();
    pending.pop_back();
    if (!TRY(count_up(txn, set, page))) continue;
    const RawPage raw = TRY(decode_page(set.pages.at(page)));
    for (const PageName& child : raw.children()) pending.push_back(child);
  }
  return txn.put(table::page_roots, key, PageRoot{set.root, set.path});
}

Status release_pages_of(WriteTxn& txn, RecordId record) {
  std::vector<std::pair<std::tuple<RecordId, PathDigest>, PageName>> roots;
  TRY(scan_rows(txn, table::page_roots, key_prefix(record), [&](const auto& key, const PageRoot& root) -> Result<Scan> {
    roots.emplace_back(key, root.page);
    return Scan::next;
  }));
  for (const auto& [key, page] : roots) {
    TRY(txn.erase(table::page_roots, key));
    TRY(count_down(txn, page));
  }
  return {};
}

Status hold_page(WriteTxn& txn, const PageName& page) {
  (void)TRY(count_up(txn, PageSet{}, page));
  return {};
}

Status release_page(WriteTxn& txn, const PageName& page) { return count_down(txn, page); }

Result<bool> erase_page_trash(WriteTxn& txn, std::size_t pages_max) {
  for (std::size_t erased = 0; erased < pages_max;) {
    std::vector<PageName> batch;
    TRY(scan_rows(txn, table::page_trash, "", [&](const PageName& page, const Present&) -> Result<Scan> {
      batch.push_back(page);
      return erased + batch.size() < pages_max ? Scan::next : Scan::stop;
    }));
    if (batch.empty()) return false;
    for (const PageName& page : batch) {
      const auto bytes = TRY(txn.get_raw(table::pages, page.raw()));
      const RawPage raw = bytes ? TRY(decode_page(*bytes), "page {}", page) : RawPage();
      for (const PageName& child : raw.children()) TRY(count_down(txn, child));
      TRY(txn.erase(table::pages, page));
      TRY(txn.erase(table::page_counts, page));
      TRY(txn.erase(table::page_trash, page));
    }
    erased += batch.size();
  }
  return TRY(txn.count(table::page_trash)) > 0;
}

}  // namespace cairn::cache

namespace cairn::base {

std::string Codec<cache::PageCount>::encode(const cache::PageCount& count) {
  return ByteWriter().u8(cache::row_version).u64(count.count).take();
}

Result<cache::PageCount> Codec<cache::PageCount>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  const std::uint64_t count = TRY(reader.u64());
  TRY(reader.expect_end());
  return cache::PageCount{count};
}

std::string Codec<cache::PageRoot>::encode(const cache::PageRoot& root) {
  return ByteWriter().u8(cache::row_version).raw(root.page.raw()).string(root.path).take();
}

Result<cache::PageRoot> Codec<cache::PageRoot>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  cache::PageRoot root;
  root.page = TRY(cache::read_key_part<cache::PageName>(reader));
  root.path = std::string(TRY(reader.string()));
  TRY(reader.expect_end());
  return root;
}

}  // namespace cairn::base
