// SPDX-License-Identifier: Apache-2.0
// Makes a tree, forks it, changes the fork, says what changed, and exports that as a layer: fork_tree STORE LAYER
#include <fcntl.h>
#include <cstdio>
#include "libbase/fs/beneath.h"
#include "libsnapshot/diff.h"
#include "libsnapshot/layer.h"
#include "libsnapshot/open.h"
using namespace cairn;
using namespace cairn::snapshot;

base::Status fork_tree(const char* store, const char* layer) {
  const auto root = TRY(base::HostPath::from_user(store));
  const auto env = TRY(base::lmdb::Env::open(root / "meta", tables(), {}));
  const auto trees = TRY(open(root, *env, {}));
  base::lmdb::GroupWriter writer(*env, [&](auto tokens) { return trees->sync(tokens); }, {});
  const auto commit_with = [&](std::optional<SnapshotId> parent, const char* name) -> base::Result<SnapshotId> {
    const SnapshotId id = TRY(trees->prepare(parent));
    if (const auto tree = TRY(trees->mount(id, Access::read_write))) {
      const auto path = TRY(base::TreePath::parse(name));
      TRY(base::write_full(TRY(base::open_beneath(tree.fd(), path, O_WRONLY | O_CREAT, 0644)).get(), "some text\n"));
    }
    TRY(trees->freeze(id));  // unwritable from here on; it gets its name once its data is durable
    const auto publish = [&trees, id](base::lmdb::WriteTxn& txn) { return trees->publish(txn, id); };
    TRY(writer.wait_durable(TRY(writer.enqueue({publish, {trees->data_token(id)}}))));
    trees->published(id);
    return id;
  };
  const SnapshotId first = TRY(commit_with({}, "first")), fork = TRY(commit_with(first, "second"));
  const auto changes = [&](const ChangeVisitor& to) { return diff(*trees, first, fork, to, changes_for_layer()); };
  TRY(changes([](const Change& change) { return std::printf("/%s\n", change.path.str().c_str()), base::Status(); }));
  const auto out = TRY(base::open_host(TRY(base::HostPath::from_user(layer)), O_WRONLY | O_CREAT | O_TRUNC, 0644));
  const auto sink = [&](std::string_view bytes) { return base::write_full(out.get(), bytes); };
  std::puts(TRY(write_layer(TRY(trees->mount(fork, Access::read_only)), changes, sink, {})).diff.str().c_str());
  return {};
}

int main(int argc, char** argv) { return argc == 3 && fork_tree(argv[1], argv[2]) ? 0 : 1; }
