// SPDX-License-Identifier: Apache-2.0
// Names of an earlier process. Rows and trees agree, for each change is one transaction; what does not was repaired or made
// anew from the journal, or somebody has released the lease of a name.
#include <algorithm>
#include <set>

#include "libbase/log/log.h"
#include "libcache/account/check.h"
#include "libcache/names/known_names.h"
#include "libcache/records/lease_rows.h"
#include "libcache/records/scan.h"
#include "libcache/records/store.h"

namespace cairn::cache {

using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::WriteTxn;

TreeNames::TreeNames(Cache& cache)
    : cache_(cache), store_(local_blobs(cache).store()), state_(std::make_unique<State>()) {}

TreeNames::~TreeNames() = default;

Result<std::unique_ptr<TreeNames>> TreeNames::open(Cache& cache) {
  std::unique_ptr<TreeNames> names(new TreeNames(cache));
  TRY(names->load(), "take up the names of trees");
  // Whoever had them mounted has them still.
  for (const NamedTree& tree : names->list(std::nullopt)) {
    if (tree.kind == NameKind::committed) continue;
    const auto spec = names->spec_of(tree.name);
    if (!spec) base::log_warning("{}", spec.error().message);
  }
  return names;
}

// nullopt: what it names is not there any more.
Result<std::optional<TreeNames::Known>> TreeNames::known_of(const TreeNameRow& row) {
  Known known{.row = row};
  if (row.kind == NameKind::committed) {
    known.record = TRY(hold_record(store_, row.record()));
    if (!known.record) return std::optional<Known>();
  } else if (row.tree) {
    const auto about = store_.snapshots.stat(row.tree);
    if (!about || about->kind != snapshot::Kind::active) return std::optional<Known>();
  }
  return known;
}

Status TreeNames::load() {
  std::vector<TreeNameRow> rows, lost, unleased;
  TRY(each_row(store_.env, table::tree_names, [&](ReadTxn& txn, const KeyDigest&, const TreeNameRow& row) -> Status {
    rows.push_back(row);
    const bool leased = !row.lease || TRY(has_row(txn, table::lease_records, {row.lease, row.record()}));
    if (!leased) unleased.push_back(row);
    return {};
  }));
  std::map<TreeName, Known> names;
  for (const TreeNameRow& row : rows) {
    auto known = TRY(known_of(row));
    if (known) names.emplace(row.name, std::move(*known));
    else lost.push_back(row);
  }
  for (const TreeNameRow& row : rows) {
    const auto parent = names.find(TreeName{row.name.space, row.parent});
    if (row.parent.empty() || !names.contains(row.name)) continue;
    if (parent != names.end() && parent->second.record) {
      ++parent->second.children;
    } else if (row.kind == NameKind::view && !row.tree) {
      lost.push_back(row);
      names.erase(row.name);
    }
  }
  std::erase_if(unleased, [&](const TreeNameRow& row) { return !names.contains(row.name); });
  TRY(settle(lost, unleased));
  *state_->names.lock() = std::move(names);
  return {};
}

Status TreeNames::settle(const std::vector<TreeNameRow>& lost, const std::vector<TreeNameRow>& unleased) {
  for (const TreeNameRow& row : lost)
    base::log_warning("snapshot {} of {}: its tree is gone, and now its name", row.name.name, row.name.space);
  std::set<snapshot::SnapshotId> unnamed;
  for (const auto id : TRY(store_.env.view([](ReadTxn& txn) { return snapshot::lent_trees(txn); }))) unnamed.insert(id);
  TRY(each_row(store_.env, table::tree_names, [&](ReadTxn&, const KeyDigest&, const TreeNameRow& row) -> Status {
    unnamed.erase(row.tree);
    return {};
  }));
  if (lost.empty() && unleased.empty() && unnamed.empty()) return {};
  TRY(write([&](WriteTxn& txn) -> Status {
    for (const TreeNameRow& row : lost) TRY(erase_name(txn, row));
    for (const TreeNameRow& row : unleased) TRY(put_lease_of(txn, row));
    for (const auto id : unnamed) TRY(snapshot::end_loan(txn, id));
    return {};
  }));
  for (const auto id : unnamed) abandon(id);
  return {};
}

}  // namespace cairn::cache
