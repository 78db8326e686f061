// SPDX-License-Identifier: Apache-2.0
// Trees under names that somebody else chooses, who mounts them himself: containerd's snapshots, behind libserve. A name
// is active, and its tree a lent one (libsnapshot/lent.h); or committed, and its tree a record that it keeps by a lease
// until the name is removed; or a view of a committed one. Names, trees and records change together in one transaction,
// so they agree after a crash at any moment (docs/decisions/0033).
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "libbase/clock.h"
#include "libbase/result.h"
#include "libbase/sync.h"
#include "libcache/record.h"
#include "libcache/ref.h"
#include "libsnapshot/lent.h"
#include "libsnapshot/snapshotter.h"

namespace cairn::cache {

class Cache;
struct Store;        // private
struct TreeNameRow;  // private

// Two spaces have nothing to do with each other. A space is also the project that owns its records ("containerd/default").
struct TreeName {
  std::string space;
  std::string name;
  auto operator<=>(const TreeName&) const = default;
};
inline constexpr std::size_t tree_name_bytes_max = 1024;
inline constexpr std::size_t tree_space_bytes_max = 256;  // as other labels of owners

enum class NameKind : std::uint8_t { view = 1, active = 2, committed = 3 };
std::string_view to_string(NameKind kind);  // the words above

struct NamedTree {
  TreeName name;
  NameKind kind = NameKind::active;
  std::string parent;  // the name of a committed one in the same space; "": none
  snapshot::Labels labels;
  base::WallTime created{}, updated{};
  RecordId record;  // of a committed one; else 0
};

// The names of a cache, which outlives this; one at a time for each cache. Thread-safe. What changes something is durable
// when it returns. Errors, where nothing else is said: not_found (the name, or a parent), already_exists (the new name),
// invalid_argument (a parent that is not committed; too long a name; labels over their bounds), busy (the kind of the name,
// or what is built on it, forbids it), no_space, io.
class TreeNames {
 public:
  // Takes up what an earlier process has left. Errors: io, corrupt.
  static base::Result<std::unique_ptr<TreeNames>> open(Cache& cache);
  ~TreeNames();

  // A new active tree on a committed one ("": empty), and how to mount it.
  base::Result<snapshot::MountSpec> prepare(const TreeName& name, const std::string& parent, snapshot::Labels labels);
  // A new name that shows what the committed parent holds ("": nothing), read-only.
  base::Result<snapshot::MountSpec> view(const TreeName& name, const std::string& parent, snapshot::Labels labels);
  // The same as was said when it was made. busy: it is committed.
  base::Result<snapshot::MountSpec> mounts(const TreeName& name);
  // The active tree becomes a record under the new name; the old one is gone. Nobody has it mounted for writing any more.
  // busy: it is not active. After an error while the record was written, the tree can only be removed.
  base::Status commit(const TreeName& active, const std::string& as, snapshot::Labels labels);
  // Forgets the name. An active tree goes with it. The record of a committed one is one like others, without a key,
  // from then on: cleanup(), a prune or the policy takes it. busy: others are built on it.
  base::Status remove(const TreeName& name);
  // Changes labels as Snapshotter::update does. Returns what is true now.
  base::Result<NamedTree> update(const TreeName& name, const snapshot::Labels& labels, std::span<const std::string> fields);
  base::Result<NamedTree> stat(const TreeName& name);
  // Of its own changes: as measured when it was committed; of an active one now, O(changed files); of a view nothing.
  base::Result<snapshot::Usage> usage(const TreeName& name);
  // Of one space, or all; by space and name. A copy of what is in memory.
  std::vector<NamedTree> list(const std::optional<std::string>& space);
  // Takes the records of removed names whose space begins like this, and what only those keep, and waits until their
  // space is free. Returns the bytes freed.
  base::Result<std::int64_t> cleanup(const std::string& space_prefix);

 private:
  struct Known;
  struct State;
  explicit TreeNames(Cache& cache);
  base::Status load();
  base::Result<std::optional<Known>> known_of(const TreeNameRow& row);
  base::Status settle(const std::vector<TreeNameRow>& lost, const std::vector<TreeNameRow>& unleased);
  base::Result<std::optional<ImmutableRef>> pin_parent(const TreeName& name, const std::string& parent);
  base::Result<snapshot::MountSpec> make(const TreeName& name, const std::string& parent, snapshot::Labels labels,
                                         NameKind kind);
  base::Status make_tree(TreeNameRow& row, const std::optional<ImmutableRef>& below);
  base::Result<snapshot::MountSpec> spec_of(const TreeName& name);
  base::Result<std::pair<TreeNameRow, std::optional<ImmutableRef>>> begin_commit(const TreeName& active, const TreeName& as);
  base::Status publish(const ImmutableRef& record, const TreeNameRow& before, const TreeNameRow& row);
  base::Status write(std::function<base::Status(base::lmdb::WriteTxn&)> change);  // durable when it returns
  void abandon(snapshot::SnapshotId tree);

  Cache& cache_;
  Store& store_;
  std::unique_ptr<State> state_;
};

}  // namespace cairn::cache
