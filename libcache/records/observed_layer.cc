// SPDX-License-Identifier: Apache-2.0
#include "libcache/observed_layer.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "libbase/fs/beneath.h"
#include "libbase/log/log.h"
#include "libcache/pages/page_update.h"
#include "libcache/records/record_tree.h"
#include "libcache/records/store.h"
#include "libcache/trees/entry_digester.h"
#include "libcache/trees/entry_reader.h"
#include "libcache/trees/records.h"

namespace cairn::cache {

using base::Result;
using base::TreePath;

namespace {

constexpr std::uint64_t holes_max = 1 << 30;  // bytes of one layer

std::string absolute(const TreePath& path) { return path.is_root() ? "" : "/" + path.str(); }

}  // namespace

struct ObservedLayer::State {
  struct Inode {
    PageEntry entry;
    bool is_known = true;  // its digests; else it has to be read
    // Of its names that are left in the end:
    std::size_t names = 0;
    std::string first_name;
  };
  struct Name {
    enum class Kind : std::uint8_t { directory, other, removed };
    Kind kind = Kind::directory;
    bool is_new = false;  // nothing of what the parent had here is left
    std::shared_ptr<Inode> inode;
  };

  void lose(std::string_view why);
  Name& note(const TreePath& path);
  void keep(const TreePath& path, const Result<Inode>& inode);
  Result<Inode> look(const TreePath& path, int directory, const std::string& name);
  Result<Inode> finish_file(const TreePath& path, int file);
  void add_hole(std::uint64_t bytes);
  void count_names();
  std::optional<PageEntry> entry_at(const std::string& path, const std::optional<PageName>& base) const;
  std::vector<ChangedPath> changes() const;

  std::map<std::string, Name> names;  // by key, as in records.h
  EntryReader reader{{}, {}};
  std::string lost;  // why this knows nothing; empty: it does

  // The file that is being written.
  EntryDigester digester;
  TreeEntry says;
  std::uint64_t position = 0;
  bool is_in_order = true;
  std::uint64_t holes = 0;
};

void ObservedLayer::State::lose(std::string_view why) {
  if (lost.empty()) lost = why;
  names.clear();
}

// The name, and above it directories, which something has changed in.
ObservedLayer::State::Name& ObservedLayer::State::note(const TreePath& path) {
  const std::string key = key_of(absolute(path));
  for (std::size_t end = key.rfind('\0'); end != std::string::npos; end = end == 0 ? std::string::npos : key.rfind('\0', end - 1)) {
    const auto [above, is_first] = names.try_emplace(key.substr(0, end));
    if (!is_first && above->second.kind == Name::Kind::directory) break;
    above->second.kind = Name::Kind::directory;
  }
  return names[key];
}

void ObservedLayer::State::keep(const TreePath& path, const Result<Inode>& inode) {
  if (!inode) return lose(inode.error().message);
  Name& name = note(path);
  name.kind = Name::Kind::other;
  name.inode = std::make_shared<Inode>(*inode);
}

// A file that is not empty keeps its digests unknown.
Result<ObservedLayer::State::Inode> ObservedLayer::State::look(const TreePath& path, int directory, const std::string& name) {
  const std::string shown = absolute(path);
  const Place place{directory, name, shown};
  const StatX seen = TRY(reader.look(place));
  TreeEntry entry = entry_of(seen);
  EntryDigests digests;
  const bool has_bytes = entry.type == EntryType::file && entry.size > 0;
  if (has_bytes) {
    entry.xattrs = TRY(base::list_xattrs_at(directory, name));
  } else {
    digests = TRY(reader.read(place, seen, entry));
  }
  return Inode{.entry = to_page_entry("", entry, digests, 0), .is_known = !has_bytes, .names = 0, .first_name = {}};
}

void ObservedLayer::State::add_hole(std::uint64_t bytes) {
  static constexpr std::array<std::byte, 64 << 10> zeros{};
  holes += bytes;
  if (holes > holes_max) return lose("it has holes of more than 1 GiB");
  position += bytes;
  for (; bytes > 0; bytes -= std::min<std::uint64_t>(bytes, zeros.size()))
    digester.update(std::span(zeros).first(std::min<std::uint64_t>(bytes, zeros.size())));
}

// The digest stands only if the file became what the layer said before its bytes were hashed.
Result<ObservedLayer::State::Inode> ObservedLayer::State::finish_file(const TreePath& path, int file) {
  if (is_in_order && position < says.size) add_hole(says.size - position);
  const EntryDigests digests = digester.finish();
  const StatX seen = TRY(reader.look_at_directory(file, absolute(path)));
  TreeEntry entry = entry_of(seen);
  entry.xattrs = TRY(base::list_xattrs(file));
  const bool is_known = is_in_order && position == entry.size && header_text(entry) == header_text(says);
  return Inode{.entry = to_page_entry("", entry, digests, 0), .is_known = is_known, .names = 0, .first_name = {}};
}

void ObservedLayer::State::count_names() {
  for (auto& [key, name] : names) {
    if (!name.inode) continue;
    if (name.inode->names++ == 0) name.inode->first_name = path_of(key).substr(1);
  }
}

// As it is in the page of its directory, but for its name; nullopt: it has to be read. base: the page of the tree below.
std::optional<PageEntry> ObservedLayer::State::entry_at(const std::string& path, const std::optional<PageName>& base) const {
  const auto name = names.find(key_of(path));
  if (name == names.end() || !name->second.inode || !name->second.inode->is_known) return std::nullopt;
  const Inode& inode = *name->second.inode;
  PageEntry entry = inode.entry;
  // Without a base like that of a described tree, so that equal trees have equal pages. With one, the first name may have been
  // that of another inode, which has other names still.
  if (inode.names > 1) entry.link_group = link_group_of_path(inode.first_name, base ? base->raw() : std::string_view());
  return entry;
}

std::vector<ChangedPath> ObservedLayer::State::changes() const {
  std::vector<ChangedPath> changes = {{"", ChangedPath::Kind::changed}};
  for (const auto& [key, name] : names) {
    if (key.empty()) continue;
    const bool is_made = name.kind == Name::Kind::other || name.is_new;
    auto kind = is_made ? ChangedPath::Kind::made : ChangedPath::Kind::changed;
    if (name.kind == Name::Kind::removed) kind = ChangedPath::Kind::removed;
    changes.push_back({path_of(key), kind});
  }
  return changes;
}

ObservedLayer::ObservedLayer() : state_(std::make_unique<State>()) {}
ObservedLayer::ObservedLayer(ObservedLayer&&) noexcept = default;
ObservedLayer& ObservedLayer::operator=(ObservedLayer&&) noexcept = default;
ObservedLayer::~ObservedLayer() = default;

void ObservedLayer::begin_file(const File& says) {
  State& state = *state_;
  state.says = {};
  state.says.mode = says.mode & 07777;
  state.says.uid = says.uid;
  state.says.gid = says.gid;
  state.says.size = says.size;
  for (const auto& [key, value] : says.xattrs) state.says.xattrs.insert_or_assign(key, value);
  state.digester.begin(state.says);
  state.position = 0;
  state.is_in_order = true;
}

void ObservedLayer::bytes(std::uint64_t offset, std::span<const char> bytes) {
  State& state = *state_;
  if (!state.lost.empty() || !state.is_in_order) return;
  if (offset < state.position) {
    state.is_in_order = false;
    return;
  }
  if (offset > state.position) state.add_hole(offset - state.position);
  state.digester.update(std::as_bytes(bytes));
  state.position += bytes.size();
}

void ObservedLayer::made_file(const TreePath& path, int file) {
  if (state_->lost.empty()) state_->keep(path, state_->finish_file(path, file));
}

void ObservedLayer::made_other(const TreePath& path, int directory, const std::string& name) {
  if (state_->lost.empty()) state_->keep(path, state_->look(path, directory, name));
}

void ObservedLayer::made_link(const TreePath& path, const TreePath& existing, int directory, const std::string& name) {
  State& state = *state_;
  if (!state.lost.empty()) return;
  const auto of = state.names.find(key_of(absolute(existing)));
  // What has changed with a file of the parent, and which of its names, depends on the driver.
  if (of == state.names.end() || !of->second.inode) return state.lose("it has another name of a file of its parent");
  const std::shared_ptr<State::Inode> inode = of->second.inode;
  auto now = state.look(path, directory, name);
  if (!now) return state.lose(now.error().message);
  const auto header = [](const PageEntry& entry) {
    return std::tie(entry.type, entry.mode, entry.uid, entry.gid, entry.size, entry.xattrs);
  };
  if (!now->is_known && header(now->entry) == header(inode->entry)) {
    now->entry.digests = inode->entry.digests;
    now->is_known = inode->is_known;
  }
  *inode = std::move(*now);
  State::Name& made = state.note(path);
  made.kind = State::Name::Kind::other;
  made.inode = inode;
}

void ObservedLayer::made_directory(const TreePath& path) {
  if (state_->lost.empty()) state_->note(path).kind = State::Name::Kind::directory;
}

void ObservedLayer::removed(const TreePath& path) {
  State& state = *state_;
  if (!state.lost.empty()) return;
  State::Name& name = state.note(path);
  name = {State::Name::Kind::removed, true, nullptr};
  // What is below it comes right behind it.
  const std::string below = key_of(absolute(path)) + '\0';
  auto end = state.names.lower_bound(below);
  while (end != state.names.end() && end->first.starts_with(below)) end = state.names.erase(end);
}

Result<std::shared_ptr<const PageSet>> ObservedLayer::take_pages(Store& store, const std::optional<ImmutableRef>& parent,
                                                                 RecordId record, int tree) && {
  State& state = *state_;
  if (!state.lost.empty()) {
    base::log_info("record {}: its pages are not made with it: {}", record, state.lost);
    return std::shared_ptr<const PageSet>();
  }
  DigestCounts counts;
  std::optional<RecordTree> below;
  std::optional<PageName> base;
  if (parent) {
    below.emplace(store, *parent, counts, std::stop_token());
    if (auto pages = TRY(below->known_pages(""))) base = TRY(pages->page_at(""));
    if (!base) return std::shared_ptr<const PageSet>();
  }
  state.count_names();
  auto set = std::make_shared<PageSet>();
  set->record = record;
  PageUpdate update;
  update.tree = tree;
  update.link_salt = record.value();
  update.read = [&](const PageName& name) -> Result<std::string> {
    if (const auto made = set->pages.find(name); made != set->pages.end()) return made->second;
    CHECK(below.has_value(), "a page of no parent");
    return below->read_page(name);
  };
  update.sink = [&](const PageName& name, std::string bytes) { set->add(name, std::move(bytes)); };
  update.made = [&state, &base](const std::string& path) { return state.entry_at(path, base); };
  update.counts = &counts;
  const auto page = update_pages(base, "", state.changes(), update);
  store.tree_bytes_read += counts.bytes_read;
  *store.digest_counts.lock() += counts;
  if (!page) return tl::unexpected(page.error());
  if (set->is_given_up) return std::shared_ptr<const PageSet>();
  set->root = *page;
  return std::shared_ptr<const PageSet>(std::move(set));
}

}  // namespace cairn::cache
