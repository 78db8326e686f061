// SPDX-License-Identifier: Apache-2.0
// Every public call of libsnapshot, with something to do for it.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "tests/faults/fault_fixture.h"
#include "tests/libsnapshot/tar_builder.h"
#include "tests/support/string_source.h"

namespace cairn::test {
namespace {

using base::Status;
using snapshot::Access;
using snapshot::Copying;
using snapshot::SnapshotId;

std::string layer() {
  snapshot::TarBuilder tar;
  for (int i = 0; i < 20; ++i) {
    const std::string name = "layer" + std::to_string(i);
    tar.dir(name).file(name + "/file", std::string(30'000, 'l')).hard_link(name + "/link", name + "/file");
  }
  return tar.finish();
}

Status write_through(FaultyStore& faulty) {
  const auto tree = TRY(faulty.snapshots().mount(faulty.active, Access::read_write));
  const base::Fd file(::openat(tree.fd(), "written", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file) return base::fail_errno(errno, "make a file");
  return base::write_full(file.get(), std::string_view(std::string(300'000, 'w')));
}

Status publish(FaultyStore& faulty) {
  TRY(faulty.store().writer().wait_durable(TRY(faulty.store().publish(faulty.frozen))));
  faulty.acknowledge(faulty.frozen);
  return {};
}

Status retire(FaultyStore& faulty) {
  faulty.retired(faulty.leaf);  // whether it goes or not is open from here on
  return faulty.store().writer().wait_durable(TRY(faulty.store().retire(faulty.leaf)));
}

Status read_tree(FaultyStore& faulty) {
  const auto tree = TRY(faulty.snapshots().mount(faulty.deep, Access::read_only));
  return snapshot::changes_between(std::nullopt, tree.fd(), [](const snapshot::Change&) { return Status(); }, {});
}

Status merge(FaultyStore& faulty, const std::vector<snapshot::Delta>& deltas, snapshot::Copying copying) {
  faulty.merge_counts = {};
  const snapshot::MergeOptions options{.copying = copying, .stop = {}, .counts = &faulty.merge_counts};
  TRY(snapshot::merge(faulty.snapshots(), deltas, options));
  return {};
}

Status diff(FaultyStore& faulty) {
  return snapshot::diff(faulty.snapshots(), faulty.leaf, faulty.deep, [](const snapshot::Change&) { return Status(); }, {});
}

Status apply_difference(FaultyStore& faulty) {
  return snapshot::apply_changes(faulty.target_tree, [&](const snapshot::ChangeVisitor& visit) {
    return snapshot::diff(faulty.snapshots(), std::nullopt, faulty.deep, visit, {.replay = snapshot::Replay::hard_links});
  });
}

Status prepare_stack(FaultyStore& faulty) {
  const std::vector<SnapshotId> layers = {faulty.frozen, faulty.base};
  TRY(faulty.snapshots().prepare_stack(layers));
  return {};
}

Status write_layer(FaultyStore& faulty) {
  const auto tree = TRY(faulty.snapshots().mount(faulty.deep, Access::read_only));
  const auto changes = [&](const snapshot::ChangeVisitor& visit) {
    return snapshot::changes_between(std::nullopt, tree.fd(), visit, snapshot::changes_for_layer());
  };
  TRY(snapshot::write_layer(tree, changes, [](std::string_view) { return Status(); }, {}));
  return {};
}

template <class T>
Status without_value(const base::Result<T>& result) {
  if (!result) return tl::unexpected(result.error());
  return {};
}

}  // namespace

const std::vector<Step>& all_steps() {
  using F = FaultyStore;
  static const std::vector<Step> steps = {
      {"prepare", [](F& f) { return without_value(f.snapshots().prepare(f.base)); }},
      {"prepare on a deep chain", [](F& f) { return without_value(f.snapshots().prepare(f.deep)); }},
      {"prepare an empty tree", [](F& f) { return without_value(f.snapshots().prepare(std::nullopt)); }},
      {"view", [](F& f) { return without_value(f.snapshots().view(f.base, {})); }},
      {"mount for writing", [](F& f) { return without_value(f.snapshots().mount(f.active, Access::read_write)); }},
      {"mount for reading", [](F& f) { return without_value(f.snapshots().mount(f.deep, Access::read_only)); }},
      {"write", write_through},
      {"freeze", [](F& f) { return without_value(f.snapshots().freeze(f.active)); }},
      {"publish", publish},
      {"retire", retire},
      {"erase", [](F& f) { return without_value(f.snapshots().erase_trash(f.store().writer(), {})); }},
      {"abandon", [](F& f) { return f.snapshots().abandon(f.active); }},
      {"stat", [](F& f) { return without_value(f.snapshots().stat(f.base)); }},
      {"usage", [](F& f) { return without_value(f.snapshots().usage(f.active)); }},
      {"walk",
       [](F& f) {
         return f.snapshots().walk({}, [](const auto&) -> base::Result<base::lmdb::Scan> { return base::lmdb::Scan::next; });
       }},
      {"label", [](F& f) { return without_value(f.snapshots().update(f.base, {{"k", "v"}}, {}, f.store().writer())); }},
      {"apply a layer",
       [](F& f) {
         return without_value(snapshot::apply_layer(f.target_tree, std::make_unique<StringSource>(layer()), {}));
       }},
      {"write a layer", write_layer},
      {"prepare a stack", prepare_stack},
      {"merge by stacking",
       [](F& f) { return merge(f, {{std::nullopt, f.leaf}, {f.base, f.frozen}}, Copying::avoid); }},
      // The one was not made on the other: files are linked from where they lie.
      {"merge by linking", [](F& f) { return merge(f, {{f.leaf, f.deep}}, Copying::avoid); }},
      {"merge by copying", [](F& f) { return merge(f, {{f.leaf, f.deep}}, Copying::always); }},
      {"diff", diff},
      {"apply a difference", apply_difference},
      {"squash", [](F& f) { return f.snapshots().squash(f.deep, f.store().writer(), {}); }},
      {"read a tree", read_tree},
  };
  return steps;
}

}  // namespace cairn::test
