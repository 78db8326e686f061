// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/open.h"

#include <algorithm>
#include <cstdlib>

#include "libbase/log/log.h"
#include "libsnapshot/drivers/choice.h"
#include "libsnapshot/meta/id_pool.h"
#include "libsnapshot/meta/totals.h"
#include "libsnapshot/store/tree_snapshotter.h"

namespace cairn::snapshot {
namespace {

base::Result<Choice> choose(const base::HostPath& root, const std::string& wanted) {
  if (!wanted.empty()) return choose_driver(root, wanted);
  const char* forced = std::getenv("CAIRN_SNAPSHOTTER");
  if (forced == nullptr || *forced == '\0') return choose_driver(root, "");
  auto choice = TRY(choose_driver(root, forced), "CAIRN_SNAPSHOTTER");
  choice.why = "CAIRN_SNAPSHOTTER names it";
  return choice;
}

}  // namespace

base::Result<std::unique_ptr<Snapshotter>> open(const base::HostPath& root, base::lmdb::Env& env, OpenOptions options) {
  auto trees = TRY(TreeDirs::open(root));
  auto choice = TRY(choose(root, options.driver));
  auto dead_blocks = TRY(recover(trees, env));
  TRY(make_totals(env), "count what is in {}", root.str());
  base::log_info("snapshots in {} use the {} driver: {}", root.str(), choice.driver->name(), choice.why);
  static const base::SystemClock system_clock;
  const base::Clock& clock = options.clock != nullptr ? *options.clock : system_clock;
  auto opened = std::make_unique<TreeSnapshotter>(std::move(trees), env, std::move(choice.driver), clock,
                                           SquashRules{.chain_max = options.chain_max,
                                                       .squash_depth = options.squash_depth,
                                                       .quiet = options.squash_quiet,
                                                       .patience = options.squash_patience},
                                           std::move(dead_blocks));
  TRY(opened->take_up_lent());
  return opened;
}

base::Status keep_ids_unused(base::lmdb::WriteTxn& txn, std::span<const SnapshotId> seen) {
  SnapshotId highest;
  TRY(each_snapshot(txn, [&](const SnapshotInfo& info) -> base::Result<base::lmdb::Scan> {
    highest = std::max(highest, info.id);
    return base::lmdb::Scan::next;
  }));
  for (const SnapshotId id : seen) {
    highest = std::max(highest, id);
    const auto row = TRY(find_snapshot(txn, id));
    if (!row) TRY(put_block_of(txn, id));
  }
  return highest ? put_block_of(txn, highest) : base::Status();
}

}  // namespace cairn::snapshot
