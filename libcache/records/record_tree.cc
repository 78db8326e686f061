// SPDX-License-Identifier: Apache-2.0
#include "libcache/records/record_tree.h"

#include <utility>

#include "libbase/log/log.h"
#include "libcache/pages/page_update.h"
#include "libcache/records/record_rows.h"
#include "libcache/records/store.h"
#include "libcache/trees/subtree_digester.h"
#include "libsnapshot/diff.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Result;
using base::Status;
using base::lmdb::ReadTxn;

namespace {

constexpr int ancestors_max = 64;  // beyond it a difference costs a walk of both trees

bool is_within(std::string_view path, std::string_view directory) {
  return path.starts_with(directory) && (path.size() == directory.size() || path[directory.size()] == '/');
}

// Of a record that cannot go because something is made on it.
Result<std::optional<RecordInfo>> find_info(Store& store, RecordId id) {
  if (auto info = store.holds.find_info(id)) return info;
  auto row = TRY(store.keys.in_version([&](ReadTxn& txn) { return txn.get(table::records, id); }));
  if (!row) return std::optional<RecordInfo>();
  return std::optional<RecordInfo>(to_info(id, std::move(*row)));
}

}  // namespace

RecordTree::RecordTree(Store& store, const ImmutableRef& ref, DigestCounts& counts, std::stop_token stop)
    : store_(store), ref_(ref), counts_(counts), stop_(std::move(stop)) {}

Result<DiskTree*> RecordTree::disk() {
  if (!disk_) {
    mount_ = TRY(ref_.mount());
    disk_ = std::make_unique<DiskTree>(mount_.fd(), DiskTree::Options{.rules = ref_.info().facts.rules,
                                                                      .normalisation = {},
                                                                      .counts = &counts_,
                                                                      .stop = stop_});
  }
  return disk_.get();
}

Result<std::string> RecordTree::read_page(const PageName& page) const {
  ++counts_.pages_read;
  for (const auto& set : sets_)
    if (const auto found = set->pages.find(page); found != set->pages.end()) return found->second;
  if (auto bytes = store_.pages.bytes(page)) return std::move(*bytes);
  auto row = TRY(store_.keys.in_version([&](ReadTxn& txn) { return txn.get(table::pages, page); }));
  if (!row) return base::fail(ErrorCode::corrupt, "page {} is missing", page);
  return std::move(row->bytes);
}

Result<std::optional<PageTree>> RecordTree::pages_of(RecordId record, std::string_view path) {
  const auto tree_at = [&](std::string_view top, const PageName& page) {
    return std::optional<PageTree>(PageTree(std::string(top), page, ref_.info().facts.rules,
                                            [this](const PageName& name) { return read_page(name); }));
  };
  std::vector<std::string_view> tops;
  for (std::string_view top = path;; top = top.substr(0, top.rfind('/'))) {
    tops.push_back(top);
    for (const auto& set : sets_)
      if (set->record == record && set->path == top) return tree_at(top, set->root);
    if (const auto page = store_.pages.root(record, top)) return tree_at(top, *page);
    if (top.empty()) break;
  }
  std::optional<PageTree> found;
  TRY(store_.keys.in_version([&](ReadTxn& txn) -> Status {
    for (const std::string_view top : tops) {
      const auto row = TRY(txn.get(table::page_roots, {record, digest_path_name(top)}));
      if (!row) continue;
      found = tree_at(top, row->page);
      break;
    }
    return {};
  }));
  return found;
}

Result<std::optional<PageTree>> RecordTree::known_pages(std::string_view path) { return pages_of(ref_.id(), path); }

Result<std::optional<RecordTree::Base>> RecordTree::find_base(const std::string& path) {
  std::vector<RecordId> parents = ref_.info().parents;
  for (int i = 0; i < ancestors_max && parents.size() == 1; ++i) {
    auto info = TRY(find_info(store_, parents.front()));
    if (!info) break;
    if (auto tree = TRY(pages_of(info->id, path))) {
      const auto page = TRY(tree->page_at(path));
      if (!page) break;  // the directory is newer than these pages
      return std::optional<Base>(Base{std::move(*info), *page});
    }
    parents = info->parents;
  }
  return std::optional<Base>();
}

Result<PageName> RecordTree::update_base(const Base& from, const std::string& path, PageSet& set) {
  std::vector<ChangedPath> changes;
  snapshot::ChangeOptions options;
  options.replay = snapshot::Replay::hard_links;
  options.stop = stop_;
  if (!path.empty()) {
    options.may_differ = [&path](const base::TreePath& asked) {
      const std::string absolute = asked.is_root() ? "" : "/" + asked.str();
      return is_within(path, absolute) || is_within(absolute, path);
    };
  }
  TRY(snapshot::diff(store_.snapshots, from.record.snapshot, ref_.snapshot(),
                     [&](const snapshot::Change& change) -> Status {
                       const std::string changed = change.path.is_root() ? "" : "/" + change.path.str();
                       if (!is_within(changed, path)) return {};
                       auto kind = ChangedPath::Kind::changed;
                       if (change.kind == snapshot::ChangeKind::add) kind = ChangedPath::Kind::made;
                       if (change.kind == snapshot::ChangeKind::remove) kind = ChangedPath::Kind::removed;
                       changes.push_back({changed, kind});
                       return {};
                     },
                     options));
  TRY(disk());
  PageUpdate update;
  update.tree = mount_.fd();
  update.link_salt = ref_.snapshot().value();
  update.read = [&](const PageName& name) -> Result<std::string> {
    if (const auto made = set.pages.find(name); made != set.pages.end()) return made->second;
    return read_page(name);
  };
  update.sink = [&](const PageName& name, std::string bytes) { set.add(name, std::move(bytes)); };
  update.counts = &counts_;
  update.stop = stop_;
  return update_pages(from.page, path, std::move(changes), update);
}

Status RecordTree::scan(const std::string& path, PageSet& set) {
  TRY(disk());
  SubtreeDigester digester(
      mount_.fd(),
      {.rules = ref_.info().facts.rules,
       .normalisation = {},
       .stop = stop_,
       .pages = [&](const PageName& name, std::string bytes) { set.add(name, std::move(bytes)); },
       .link_salt = ref_.snapshot().value()});
  const auto contents = digester.digest(path);
  counts_ += digester.counts();
  if (!contents) return tl::unexpected(contents.error());
  set.root = digester.page().page;
  return {};
}

Result<std::optional<PageTree>> RecordTree::make_pages(const std::string& path) {
  auto set = std::make_shared<PageSet>();
  set->record = ref_.id();
  set->path = path;
  bool is_made = false;
  if (const auto from = TRY(find_base(path))) {
    auto updated = update_base(*from, path, *set);
    if (updated && !set->is_given_up) {
      set->root = *updated;
      is_made = true;
    } else if (!updated && updated.error().code == ErrorCode::cancelled) {
      return tl::unexpected(std::move(updated).error());
    } else {
      base::log_warning("record {}: its digest is taken from scratch: {}", ref_.id(),
                        updated ? "too much has changed" : updated.error().message);
      set->pages.clear();
      set->bytes = 0;
      set->is_given_up = false;
    }
  }
  if (!is_made) TRY(scan(path, *set));
  if (set->is_given_up) return std::optional<PageTree>();
  sets_.push_back(set);
  return std::optional<PageTree>(
      PageTree(path, set->root, ref_.info().facts.rules, [this](const PageName& name) { return read_page(name); }));
}

Result<std::optional<PageTree>> RecordTree::ready_pages(const std::string& path) {
  if (auto pages = TRY(known_pages(path))) return pages;
  if (!TRY(find_base(path))) return std::optional<PageTree>();
  return make_pages(path);
}

Result<std::optional<RecordSource::Found>> RecordTree::find(std::string_view path) {
  if (auto pages = TRY(known_pages(path))) return pages->find(path);
  return TRY(disk())->find(path);
}

Status RecordTree::walk(std::string_view path, const RecordVisit& visit) {
  if (auto pages = TRY(known_pages(path))) return pages->walk(path, visit);
  const std::string directory(path);
  const auto found = TRY(find(path));
  if (found && found->type == TreeRecordType::directory) {
    if (auto pages = TRY(ready_pages(directory))) return pages->walk(path, visit);
  }
  // A filter reads what it selects and makes pages of directories that it takes as wholes; but each costs a row.
  constexpr int wholes_max = 32;
  int wholes = 0;
  return TRY(disk())->walk(path, [&](const RecordView& record) -> Result<Step> {
    const Step step = TRY(visit(record));
    if (step != Step::all_below) return step;
    const std::string whole = path_of(record.key);
    auto pages = TRY(known_pages(whole));
    if (!pages && wholes++ < wholes_max) pages = TRY(make_pages(whole));
    return pages ? walk_whole(*pages, whole, visit) : Result<Step>(step);
  });
}

// Goes on with the pages of a directory whose own record has been visited.
Result<Step> RecordTree::walk_whole(PageTree& pages, const std::string& path, const RecordVisit& visit) {
  Step last = Step::next;
  bool is_first = true;
  TRY(pages.walk(path, [&](const RecordView& record) -> Result<Step> {
    if (std::exchange(is_first, false)) return Step::next;
    last = TRY(visit(record));
    return last;
  }));
  return last == Step::stop ? Step::stop : Step::skip_below;
}

Result<TreeDigest> RecordTree::contents(std::string_view path) {
  if (auto pages = TRY(known_pages(path))) return pages->contents(path);
  if (auto pages = TRY(make_pages(std::string(path)))) return pages->contents(path);
  return TRY(disk())->contents(path);
}

}  // namespace cairn::cache
