// SPDX-License-Identifier: Apache-2.0
#include "libcache/described_tree.h"

#include <fcntl.h>

#include <algorithm>
#include <set>
#include <span>
#include <utility>

#include "libbase/hash/sha256.h"
#include "libcache/pages/page.h"
#include "libcache/records/record_tree.h"
#include "libcache/records/store.h"
#include "libcache/trees/entry_reader.h"

namespace cairn::cache {

using base::Result;
using base::Status;

namespace {

constexpr std::uint32_t none = DescribedName::none;
// A chain keeps what was replaced or removed since its first tree. When it has more layers than this, or this many times
// the bytes of the tree, the tree is made anew, and what nobody uses of the chain can go.
constexpr int layers_max = 64;
constexpr std::int64_t chain_bytes_factor = 3;

// The bytes of all files in the layers; nullopt if there are too many layers.
Result<std::optional<std::int64_t>> measure_chain(snapshot::Snapshotter& snapshots, snapshot::SnapshotId id) {
  std::int64_t bytes = 0;
  for (int layers = 0; id; ++layers) {
    if (layers == layers_max) return std::optional<std::int64_t>();
    const snapshot::SnapshotInfo layer = TRY(snapshots.stat(id));
    bytes += layer.usage.logical_bytes;
    id = layer.parent;
  }
  return std::optional<std::int64_t>(bytes);
}

}  // namespace

struct DescribedTree::State {
  struct Directory {
    PageName page;
    BothContents contents;
    bool is_fresh = false;   // page and contents are those of what is in it now
    bool is_in_base = false; // the base has this page, and so all below it
  };

  explicit State(std::vector<DescribedName> names_in);

  std::span<const std::uint32_t> children(std::uint32_t directory) const {
    const std::size_t at = directory == none ? names.size() : directory;
    return std::span(child).subspan(child_start[at], child_start[at + 1] - child_start[at]);
  }
  void touch(std::uint32_t directory) {
    for (; directory != none && directories[directory_of[directory]].is_fresh; directory = names[directory].parent)
      directories[directory_of[directory]].is_fresh = false;
  }
  std::uint64_t link_group(std::uint32_t index) const;
  PageEntry entry(std::uint32_t index) const;
  std::vector<PageEntry> entries(std::uint32_t directory) const;
  std::string path_of(std::uint32_t index) const;
  void refresh();

  // What changes_from() goes by.
  struct Comparison {
    Changes changes;
    std::vector<char> is_made;
    std::set<std::uint64_t> groups_made;
    std::vector<std::pair<std::uint32_t, PageName>> pending;  // directories to be compared
  };
  Status compare(std::uint32_t directory, const DirectoryPage& old, Comparison& comparison);
  void make(std::uint32_t index, Comparison& comparison) const;
  void make_whole_groups(Comparison& comparison) const;

  std::vector<DescribedName> names;
  std::vector<bool> is_gone;
  std::vector<std::uint32_t> child_start, child;  // by directory, the top last
  std::vector<std::uint32_t> directory_of;        // by name: its number in directories
  std::vector<Directory> directories;
  std::vector<bool> has_links;  // a first name that has others
};

DescribedTree::State::State(std::vector<DescribedName> names_in)
    : names(std::move(names_in)), is_gone(names.size()), directory_of(names.size()), has_links(names.size()) {
  child_start.resize(names.size() + 2);
  const auto slot = [&](std::uint32_t parent) { return parent == none ? names.size() : std::size_t{parent}; };
  for (const DescribedName& name : names) ++child_start[slot(name.parent) + 1];
  for (std::size_t i = 1; i < child_start.size(); ++i) child_start[i] += child_start[i - 1];
  child.resize(names.size());
  std::vector<std::uint32_t> next(child_start.begin(), child_start.end() - 1);
  for (std::uint32_t i = 0; i < names.size(); ++i) {
    child[next[slot(names[i].parent)]++] = i;
    if (names[i].link != none) has_links[names[i].link] = true;
    if (names[i].entry.type != EntryType::directory) continue;
    directory_of[i] = static_cast<std::uint32_t>(directories.size());
    directories.emplace_back();
  }
}

// The number of a link group is made of the path of its first name, so that it is the same in the next sync.
std::uint64_t DescribedTree::State::link_group(std::uint32_t index) const {
  const std::uint32_t first = names[index].link != none ? names[index].link : index;
  if (first == index && !has_links[index]) return 0;
  return link_group_of_path(path_of(first));
}

PageEntry DescribedTree::State::entry(std::uint32_t index) const {
  const DescribedName& name = names[index];
  PageEntry entry = to_page_entry(name.name, name.entry, name.content.digests, link_group(index));
  entry.xattrs = name.content.xattrs;
  if (name.entry.type != EntryType::directory) return entry;
  const Directory& directory = directories[directory_of[index]];
  entry.page = directory.page;
  entry.contents = directory.contents;
  return entry;
}

std::vector<PageEntry> DescribedTree::State::entries(std::uint32_t directory) const {
  std::vector<PageEntry> all;
  const auto below = children(directory);
  all.reserve(below.size());
  for (const std::uint32_t index : below)
    if (!is_gone[index]) all.push_back(entry(index));
  return all;
}

std::string DescribedTree::State::path_of(std::uint32_t index) const {
  std::string path;
  for (; index != none; index = names[index].parent)
    path = path.empty() ? names[index].name : names[index].name + "/" + path;
  return path;
}

// What is in a directory comes behind it, so going backward everything is there when it is needed.
void DescribedTree::State::refresh() {
  for (std::size_t i = names.size(); i-- > 0;) {
    const auto index = static_cast<std::uint32_t>(i);
    if (names[i].entry.type != EntryType::directory || is_gone[i]) continue;
    Directory& directory = directories[directory_of[i]];
    if (directory.is_fresh) continue;
    BuiltDirectory built = build_directory(entry(index), entries(index), [](const PageName&, std::string) {});
    directory = {built.page, std::move(built.contents), true, false};
  }
}

DescribedTree::DescribedTree(std::vector<DescribedName> names) : state_(std::make_unique<State>(std::move(names))) {}
DescribedTree::DescribedTree(DescribedTree&&) noexcept = default;
DescribedTree& DescribedTree::operator=(DescribedTree&&) noexcept = default;
DescribedTree::~DescribedTree() = default;

void DescribedTree::set(std::uint32_t index, const TreeEntry& entry, const NameContent& content) {
  DescribedName& name = state_->names[index];
  name.entry = entry;
  name.content = content;
  if (entry.type == EntryType::directory) state_->touch(index);
  state_->touch(name.parent);
}

void DescribedTree::remove(std::uint32_t index) {
  state_->is_gone[index] = true;
  state_->touch(state_->names[index].parent);
}

TreeDigest DescribedTree::digest() {
  state_->refresh();
  // spec/storage 3.2: a client never sends the top of its tree.
  const TreeDigest header = base::digest_of<TreeDigest>("");
  return hash_names({header, header}, state_->entries(none)).stream.digest;
}

void DescribedTree::State::make(std::uint32_t index, Comparison& comparison) const {
  // All that is below comes right behind it.
  std::uint32_t end = index + 1;
  const auto is_below = [&](std::uint32_t name) {
    while (name != none && name > index) name = names[name].parent;
    return name == index;
  };
  if (names[index].entry.type == EntryType::directory)
    while (end < names.size() && is_below(names[end].parent)) ++end;
  for (std::uint32_t i = index; i < end; ++i) {
    if (is_gone[i] || comparison.is_made[i]) continue;
    comparison.is_made[i] = true;
    if (const std::uint64_t group = link_group(i); group != 0) comparison.groups_made.insert(group);
  }
}

Status DescribedTree::State::compare(std::uint32_t directory, const DirectoryPage& old, Comparison& comparison) {
  const std::string path = directory == none ? "" : path_of(directory) + "/";
  std::vector<std::string>& removed = comparison.changes.removed;
  auto next = old.names.begin();
  for (const std::uint32_t index : children(directory)) {
    if (is_gone[index]) continue;
    for (; next != old.names.end() && next->name < names[index].name; ++next) removed.push_back(path + next->name);
    if (next == old.names.end() || next->name != names[index].name) {
      make(index, comparison);
      continue;
    }
    const PageEntry before = *next++;
    const bool is_directory = names[index].entry.type == EntryType::directory;
    // With other attributes a directory is made anew: setting its metadata takes none away.
    if (is_directory && before.is_directory() && before.xattrs == names[index].content.xattrs) {
      if (directories[directory_of[index]].page == before.page) {
        directories[directory_of[index]].is_in_base = true;
      } else {
        comparison.pending.emplace_back(index, before.page);
      }
      continue;
    }
    if (!is_directory && entry(index) == before) continue;
    removed.push_back(path + before.name);
    make(index, comparison);
  }
  for (; next != old.names.end(); ++next) removed.push_back(path + next->name);
  return {};
}

// On an overlay a file that is changed is copied up, away from its other names.
void DescribedTree::State::make_whole_groups(Comparison& comparison) const {
  if (comparison.groups_made.empty()) return;
  for (std::uint32_t i = 0; i < names.size(); ++i) {
    if (is_gone[i] || comparison.is_made[i] || names[i].entry.type == EntryType::directory) continue;
    if (const std::uint64_t group = link_group(i); group == 0 || !comparison.groups_made.contains(group)) continue;
    comparison.is_made[i] = true;
    comparison.changes.removed.push_back(path_of(i));
  }
}

Result<std::optional<DescribedTree::Changes>> DescribedTree::changes_from(const ImmutableRef& base) {
  state_->refresh();
  Store& store = base.hold_->store;
  const auto chain_bytes = TRY(measure_chain(store.snapshots, base.snapshot()));
  if (!chain_bytes) return std::optional<Changes>();
  DigestCounts counts;
  RecordTree tree(store, base, counts, {});
  const auto pages = TRY(tree.known_pages(""));
  if (!pages) return std::optional<Changes>();
  const PageLoad load = [&tree](const PageName& page) { return tree.read_page(page); };
  State::Comparison comparison;
  comparison.is_made.resize(state_->names.size());
  comparison.pending.emplace_back(none, *TRY(PageTree(*pages).page_at("")));
  std::vector<std::uint32_t> compared;
  while (!comparison.pending.empty()) {
    const auto [directory, page] = comparison.pending.back();
    comparison.pending.pop_back();
    if (directory != none) compared.push_back(directory);
    TRY(state_->compare(directory, TRY(load_directory(page, load)), comparison));
  }
  state_->make_whole_groups(comparison);
  Changes changes = std::move(comparison.changes);
  std::uint64_t bytes = 0;
  std::set<std::uint32_t> directories(compared.begin(), compared.end());
  for (std::uint32_t i = 0; i < state_->names.size(); ++i) {
    const DescribedName& name = state_->names[i];
    if (name.entry.type == EntryType::file && name.link == none) bytes += name.entry.size;
    if (!comparison.is_made[i]) continue;
    changes.made.push_back(i);
    if (name.entry.type == EntryType::file && name.link == none) changes.bytes_made += name.entry.size;
    if (name.parent != none && !comparison.is_made[name.parent]) directories.insert(name.parent);
  }
  changes.directories.assign(directories.begin(), directories.end());
  const auto made = static_cast<std::int64_t>(changes.bytes_made), whole = static_cast<std::int64_t>(bytes);
  if (made > whole / 2 || *chain_bytes + made > chain_bytes_factor * whole) return std::optional<Changes>();
  return std::optional<Changes>(std::move(changes));
}

Result<std::shared_ptr<const PageSet>> DescribedTree::take_pages(RecordId record, int tree) && {
  state_->refresh();
  auto set = std::make_shared<PageSet>();
  set->record = record;
  const PageSink sink = [&set](const PageName& name, std::string bytes) { set->add(name, std::move(bytes)); };
  std::vector<std::uint32_t> pending = {none};
  while (!pending.empty()) {
    const std::uint32_t directory = pending.back();
    pending.pop_back();
    for (const std::uint32_t index : state_->children(directory)) {
      if (state_->is_gone[index] || state_->names[index].entry.type != EntryType::directory) continue;
      if (!state_->directories[state_->directory_of[index]].is_in_base) pending.push_back(index);
    }
    if (directory != none) build_directory(state_->entry(directory), state_->entries(directory), sink);
  }
  EntryReader reader({}, {});
  TreeEntry top;
  const StatX seen = TRY(reader.look_at_directory(tree, ""));
  const EntryDigests digests = TRY(reader.read_header(tree, seen, "", top));
  set->root = build_directory(to_page_entry("", top, digests, 0), state_->entries(none), sink).page;
  return std::shared_ptr<const PageSet>(std::move(set));
}

}  // namespace cairn::cache
