// SPDX-License-Identifier: Apache-2.0
#include <unordered_map>

#include "libcache/account/check.h"
#include "libcache/explain/recipe_rows.h"
#include "libcache/pages/page_rows.h"
#include "libcache/records/scan.h"

namespace cairn::cache {

using base::Status;
using base::lmdb::ReadTxn;

// Pages are what their names say, what they point at is there, and each is counted as often as it is pointed at.
Status check_pages(CheckState& state) {
  std::unordered_map<PageName, std::uint64_t> pointed, counted;
  TRY(each_row(state.env, table::page_roots,
               [&](ReadTxn&, const std::tuple<RecordId, PathDigest>& key, const PageRoot& root) -> Status {
                 ++pointed[root.page];
                 if (!state.records.contains(std::get<0>(key)))
                   state.found(5, "page of record {}, which does not exist", std::get<0>(key));
                 return {};
               }));
  TRY(each_row(state.env, table::recipe_trees, [&](ReadTxn&, const RecordId&, const KeptTreeRow& row) -> Status {
    ++pointed[row.page];
    return {};
  }));
  TRY(each_row(state.env, table::page_counts, [&](ReadTxn& txn, const PageName& page, const PageCount& count) -> Status {
    counted.emplace(page, count.count);
    const auto bytes = TRY(txn.get_raw(table::pages, page.raw()));
    if (!bytes) state.found(5, "page {}: it is counted and not stored", page);
    const auto trash = TRY(txn.get_raw(table::page_trash, page.raw()));
    if (trash.has_value() != (count.count == 0)) state.found(5, "page {}: pointed at, or in the trash, not both", page);
    return {};
  }));
  TRY(each_row(state.env, table::pages, [&](ReadTxn&, const PageName& page, const PageBytes& row) -> Status {
    if (name_of_page(row.bytes) != page) state.found(2, "page {}: its bytes are others", page);
    if (!counted.contains(page)) state.found(5, "page {}: it is not counted", page);
    const RawPage raw = TRY(decode_page(row.bytes), "page {}", page);
    for (const PageName& child : raw.children()) ++pointed[child];
    return {};
  }));
  for (const auto& [page, count] : pointed) {
    const auto known = counted.find(page);
    if (known == counted.end() || known->second != count)
      state.found(5, "page {}: {} point at it, {} are counted", page, count, known == counted.end() ? 0 : known->second);
  }
  for (const auto& [page, count] : counted)
    if (count != 0 && !pointed.contains(page)) state.found(5, "page {}: nothing points at it, {} are counted", page, count);
  return {};
}

}  // namespace cairn::cache
