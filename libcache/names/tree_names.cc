// SPDX-License-Identifier: Apache-2.0
// What is done with names. Each change is one of the writer; the lock of the names is held for looks at memory only.
#include "libcache/tree_names.h"

#include <algorithm>
#include <utility>

#include "libbase/crash_point.h"
#include "libbase/log/log.h"
#include "libcache/names/known_names.h"
#include "libcache/records/batch.h"
#include "libcache/records/freeze.h"
#include "libcache/records/store.h"

namespace cairn::cache {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;
using base::lmdb::WriteTxn;
using snapshot::Access;
using snapshot::Labels;
using snapshot::MountSpec;
using snapshot::SnapshotId;

namespace {

std::string turn_of(const TreeName& name) { return name.space + '\0' + name.name; }

Status check(const TreeName& name) {
  if (name.name.empty() || name.name.size() > tree_name_bytes_max)
    return fail(ErrorCode::invalid_argument, "a name of {} bytes: 1 to {} are wanted", name.name.size(), tree_name_bytes_max);
  if (name.space.empty() || name.space.size() > tree_space_bytes_max)
    return fail(ErrorCode::invalid_argument, "a space with a name of {} bytes: 1 to {} are wanted", name.space.size(),
                tree_space_bytes_max);
  return {};
}

tl::unexpected<base::Error> none(const TreeName& name) {
  return fail(ErrorCode::not_found, "snapshot {}: there is none in {}", name.name, name.space);
}
tl::unexpected<base::Error> there_already(const TreeName& name) {
  return fail(ErrorCode::already_exists, "snapshot {}: there is one in {} already", name.name, name.space);
}

NamedTree told(const TreeNameRow& row) {
  return {row.name, row.kind, row.parent, row.labels, row.created, row.updated, row.record()};
}

template <class Names>
auto* find(Names& names, const TreeName& name) {
  const auto found = names.find(name);
  return found == names.end() ? nullptr : &found->second;
}

// Of a name that goes.
void let_go(auto& names, const TreeNameRow& row) {
  if (row.parent.empty()) return;
  if (auto* const parent = find(names, TreeName{row.name.space, row.parent})) --parent->children;
}

}  // namespace

Status TreeNames::write(std::function<Status(WriteTxn&)> change) {
  base::lmdb::GroupWriter::Entry entry;
  entry.change = std::move(change);
  return store_.writer.wait_durable(TRY(enqueue(store_, std::move(entry))));
}

Result<MountSpec> TreeNames::prepare(const TreeName& name, const std::string& parent, Labels labels) {
  return TRY(make(name, parent, std::move(labels), NameKind::active), "prepare");
}

Result<MountSpec> TreeNames::view(const TreeName& name, const std::string& parent, Labels labels) {
  return TRY(make(name, parent, std::move(labels), NameKind::view), "view");
}

// A child from here on, so that the parent is not removed meanwhile.
Result<std::optional<ImmutableRef>> TreeNames::pin_parent(const TreeName& name, const std::string& parent) {
  auto names = state_->names.lock();
  if (names->contains(name)) return there_already(name);
  if (parent.empty()) return std::optional<ImmutableRef>();
  const TreeName below{name.space, parent};
  Known* const known = find(*names, below);
  if (!known || known->going) return none(below);
  if (known->row.kind != NameKind::committed)
    return fail(ErrorCode::invalid_argument, "snapshot {}: it is {}, so nothing is built on it", parent, to_string(known->row.kind));
  ++known->children;
  return known->record;
}

Result<MountSpec> TreeNames::make(const TreeName& name, const std::string& parent, Labels labels, NameKind kind) {
  TRY(check(name));
  TRY(snapshot::check_labels(labels));
  const auto turn = state_->turns.take(turn_of(name));
  const auto below = TRY(pin_parent(name, parent));
  TreeNameRow row{.name = name, .kind = kind, .parent = parent, .tree = {}, .lease = {}, .created = store_.clock.now(), .updated = {}, .labels = std::move(labels)};
  row.updated = row.created;
  const Status made = kind == NameKind::view && below ? write([row](WriteTxn& txn) { return put_name(txn, row); })
                                                      : make_tree(row, below);
  {
    auto names = state_->names.lock();
    if (made) names->emplace(name, Known{.row = row});
    else let_go(*names, row);
  }
  TRY(made);
  return spec_of(name);
}

Status TreeNames::make_tree(TreeNameRow& row, const std::optional<ImmutableRef>& below) {
  row.tree = TRY(store_.snapshots.prepare(below ? std::optional(below->snapshot()) : std::nullopt));
  const Status written = write([&snapshots = std::as_const(store_.snapshots), row](WriteTxn& txn) -> Status {
    TRY(snapshot::lend(txn, snapshots, row.tree));
    TRY(put_name(txn, row));
    CRASH_POINT("cache.name.made");
    return {};
  });
  if (!written) abandon(row.tree);
  return written;
}

void TreeNames::abandon(SnapshotId tree) {
  const Status abandoned = store_.snapshots.abandon(tree);
  if (!abandoned) base::log_warning("{}", abandoned.error().message);
}

Result<MountSpec> TreeNames::mounts(const TreeName& name) { return TRY(spec_of(name), "mounts"); }

Result<MountSpec> TreeNames::spec_of(const TreeName& name) {
  SnapshotId tree;
  NameKind kind{};
  {
    auto names = state_->names.lock();
    const Known* const known = find(*names, name);
    if (!known) return none(name);
    kind = known->row.kind;
    if (known->record) return fail(ErrorCode::busy, "snapshot {}: {}", name.name,
                                   kind == NameKind::committed ? "it is committed" : "it could not be committed");
    tree = known->row.tree;
    const Known* const parent = tree ? nullptr : find(*names, TreeName{name.space, known->row.parent});
    if (parent) tree = parent->record->snapshot();
  }
  const Access access = kind == NameKind::active ? Access::read_write : Access::read_only;
  auto mount = TRY(snapshot::mount_outside(store_.snapshots, store_.root, tree, access));
  auto names = state_->names.lock();
  if (Known* const known = find(*names, name)) std::swap(known->in_use, mount.in_use);
  return std::move(mount.spec);
}

// What may be committed, and on what it lies.
Result<std::pair<TreeNameRow, std::optional<ImmutableRef>>> TreeNames::begin_commit(const TreeName& active, const TreeName& as) {
  auto names = state_->names.lock();
  const Known* const known = find(*names, active);
  if (!known) return none(active);
  if (known->row.kind != NameKind::active)
    return fail(ErrorCode::busy, "snapshot {}: it is {}, not active", active.name, to_string(known->row.kind));
  if (known->record) return fail(ErrorCode::busy, "snapshot {}: it could not be written when it was committed before", active.name);
  if (names->contains(as)) return there_already(as);
  const Known* const parent = find(*names, TreeName{active.space, known->row.parent});
  return std::pair(known->row, parent ? parent->record : std::nullopt);
}

Status TreeNames::commit(const TreeName& active, const std::string& as, Labels labels) {
  TreeNameRow row{.name = {active.space, as}, .kind = NameKind::committed, .parent = {}, .tree = {}, .lease = {}, .created = {}, .updated = {}, .labels = std::move(labels)};
  TRY(check(row.name), "commit {}", active.name);
  TRY(snapshot::check_labels(row.labels), "commit {}", active.name);
  if (active.name == as) return there_already(active);
  // In one order, so that two who exchange names do not wait for each other.
  const auto first = state_->turns.take(std::min(turn_of(active), turn_of(row.name)));
  const auto second = state_->turns.take(std::max(turn_of(active), turn_of(row.name)));
  const auto [before, below] = TRY(begin_commit(active, row.name), "commit");
  row.parent = before.parent;
  row.tree = before.tree;
  row.lease = LeaseId(TRY(store_.snapshots.reserve_id(), "commit {}", active.name).value());
  RecordFacts facts;
  facts.description = active.space + " " + as;
  facts.owner.project = active.space;
  const ImmutableRef record = TRY(freeze_as_record(store_, row.tree, below, std::move(facts)), "commit {}", active.name);
  row.created = row.updated = record.info().created;
  const Status published = publish(record, before, row);
  std::map<TreeName, Known>::node_type gone;  // ends behind the lock
  auto names = state_->names.lock();
  if (!published) {
    names->at(active).record = record;
    return tl::unexpected(base::add_context(published.error(), "commit " + active.name));
  }
  gone = names->extract(active);
  names->emplace(row.name, Known{.row = row, .record = record});
  return {};
}

Status TreeNames::publish(const ImmutableRef& record, const TreeNameRow& before, const TreeNameRow& row) {
  Batch batch;
  batch.records.push_back(record.info());
  batch.holds.push_back(record);
  batch.names = [before, row](WriteTxn& txn) -> Status {
    TRY(erase_name(txn, before));
    TRY(put_name(txn, row));
    TRY(put_lease_of(txn, row));
    CRASH_POINT("cache.name.committed");
    return {};
  };
  return store_.writer.wait_durable(TRY(enqueue_batch(store_, std::move(batch))));
}

Status TreeNames::remove(const TreeName& name) {
  const auto turn = state_->turns.take(turn_of(name));
  TreeNameRow row;
  {
    auto names = state_->names.lock();
    Known* const known = find(*names, name);
    if (!known) return none(name);
    if (known->children > 0) return fail(ErrorCode::busy, "remove snapshot {}: others are built on it", name.name);
    known->going = true;
    row = known->row;
  }
  const bool is_lent = row.kind != NameKind::committed && row.tree;
  const Status written = write([row, is_lent](WriteTxn& txn) -> Status {
    TRY(erase_name(txn, row));
    if (is_lent) TRY(snapshot::end_loan(txn, row.tree));
    CRASH_POINT("cache.name.removed");
    return {};
  });
  std::map<TreeName, Known>::node_type gone;
  {
    auto names = state_->names.lock();
    if (!written) {
      names->at(name).going = false;
      return tl::unexpected(base::add_context(written.error(), "remove snapshot " + name.name));
    }
    gone = names->extract(name);
    let_go(*names, row);
  }
  CRASH_POINT("cache.name.gone");
  if (is_lent && !gone.mapped().record) abandon(row.tree);  // else its ref does
  return {};
}

Result<NamedTree> TreeNames::update(const TreeName& name, const Labels& labels, std::span<const std::string> fields) {
  const auto turn = state_->turns.take(turn_of(name));
  const auto found = [&]() -> std::optional<TreeNameRow> {
    auto names = state_->names.lock();
    const Known* const known = find(*names, name);
    return known ? std::optional(known->row) : std::nullopt;
  }();
  if (!found) return none(name);
  TreeNameRow row = *found;
  row.labels = TRY(snapshot::edit_labels(row.labels, labels, fields), "update snapshot {}", name.name);
  row.updated = std::max(store_.clock.now(), row.updated + std::chrono::nanoseconds(1));
  TRY(write([row](WriteTxn& txn) -> Status {
        TRY(put_name(txn, row));
        CRASH_POINT("cache.name.updated");
        return {};
      }),
      "update snapshot {}", name.name);
  state_->names.lock()->at(name).row = row;
  return told(row);
}

Result<NamedTree> TreeNames::stat(const TreeName& name) {
  auto names = state_->names.lock();
  const Known* const known = find(*names, name);
  if (!known) return none(name);
  return told(known->row);
}

Result<snapshot::Usage> TreeNames::usage(const TreeName& name) {
  const NamedTree about = TRY(stat(name));
  if (about.kind == NameKind::view) return snapshot::Usage{};
  const auto [tree, record] = [&] {
    auto names = state_->names.lock();
    const Known* const known = find(*names, name);
    return known ? std::pair(known->row.tree, known->record) : std::pair(SnapshotId(), std::optional<ImmutableRef>());
  }();
  if (record) return record->info().usage;
  return TRY(store_.snapshots.usage(tree), "usage of snapshot {}", name.name);
}

std::vector<NamedTree> TreeNames::list(const std::optional<std::string>& space) {
  std::vector<NamedTree> all;
  auto names = state_->names.lock();
  for (const auto& [name, known] : *names)
    if (!space || name.space == *space) all.push_back(told(known.row));
  return all;
}

Result<std::int64_t> TreeNames::cleanup(const std::string& space_prefix) {
  PolicyRule rule;
  rule.name = "removed names";
  rule.filters.push_back(TRY(RecordFilter::parse("description~=|^" + space_prefix + "|")));
  PruneOptions options;
  options.policy.emplace();
  options.policy->rules.push_back(std::move(rule));
  const PruneReport report = TRY(cache_.prune(options), "clean up what was removed");
  return report.freed_bytes;
}

}  // namespace cairn::cache
