// SPDX-License-Identifier: Apache-2.0
#include "libcache/stored_digest.h"

#include "libcache/pages/page_rows.h"
#include "libcache/pages/page_tree.h"
#include "libcache/records/record_rows.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Result;
using base::lmdb::ReadTxn;

Result<std::optional<TreeDigest>> stored_digest(base::lmdb::Env& env, RecordId record, const Selection& selection) {
  const auto row = TRY(env.view([&](ReadTxn& txn) { return txn.get(table::records, record); }));
  if (!row) return base::fail(ErrorCode::not_found, "record {}: there is none", record);
  // Only pages of the whole tree: a selection may lead anywhere by links.
  const auto root = TRY(env.view([&](ReadTxn& txn) { return txn.get(table::page_roots, {record, digest_path_name("")}); }));
  if (!root || !selection.normalisation.is_off()) return std::optional<TreeDigest>();
  bool is_going = false;
  const PageLoad load = [&](const PageName& page) -> Result<std::string> {
    auto bytes = TRY(env.view([&](ReadTxn& txn) { return txn.get(table::pages, page); }));
    if (bytes) return std::move(bytes->bytes);
    is_going = true;
    return base::fail(ErrorCode::corrupt, "page {} is missing", page);
  };
  PageTree tree("", root->page, to_info(record, *row).facts.rules, load);
  auto digest = digest_selection(tree, selection);
  if (is_going) return std::optional<TreeDigest>();
  return std::optional<TreeDigest>(TRY(std::move(digest), "digest of \"{}\"", selection.path));
}

}  // namespace cairn::cache
