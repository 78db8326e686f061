// SPDX-License-Identifier: Apache-2.0
#include "libcache/explain/content.h"

#include <map>
#include <utility>

#include "libcache/explain/recipe_rows.h"
#include "libcache/pages/page_difference.h"
#include "libcache/pages/page_fields.h"
#include "libcache/pages/page_tree.h"
#include "libcache/patterns/clean.h"
#include "libcache/trees/selection_filter.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using Kind = TreeDifference::Kind;

namespace {

std::string shown_path(std::string_view path) {
  if (path.starts_with('/')) path.remove_prefix(1);
  return std::string(path);
}

// Two trees side by side; what differs is collected by its path.
class Pair {
 public:
  Pair(const ReadTxn& txn, const TreeSide& before, const TreeSide& after, ExplainCounts& counts)
      : txn_(txn), before_(before), after_(after), counts_(counts) {
    read_ = [this](const PageName& page) -> Result<std::string> {
      ++counts_.pages_read;
      const auto bytes = TRY(txn_.get_raw(table::pages, page.raw()));
      if (!bytes) return base::fail(ErrorCode::not_found, "page {} is gone", page);
      return std::string(*bytes);
    };
  }

  // Whether both trees have pages for it.
  Result<bool> compare(const Selection& selection) {
    const bool filters = selection.wildcard || !selection.include_patterns.empty() || !selection.exclude_patterns.empty();
    const std::string path = clean_rooted(selection.path);
    const bool whole = TRY(open(""));
    if (!whole && (filters || path.empty() || !TRY(open(path)))) return false;
    if (filters) {
      TRY(compare_filtered(selection));
    } else {
      const FollowLast follow = selection.follow_links ? FollowLast::yes : FollowLast::no;
      const std::string from = whole ? TRY(resolve(*first_, path, follow)).path : path;
      const std::string to = whole ? TRY(resolve(*second_, path, follow)).path : path;
      TRY(compare_plain(from, to));
    }
    return true;
  }
  PathDifferences take() {
    PathDifferences all;
    all.total = found_.size();
    for (auto& [key, difference] : found_)
      if (all.paths.size() < explained_paths_max) all.paths.push_back(std::move(difference));
    return all;
  }

 private:
  Result<std::optional<PageName>> root_of(RecordId record, const std::string& path) const {
    const auto root = TRY(txn_.get(table::page_roots, {record, digest_path_name(path)}));
    if (root) return std::optional<PageName>(root->page);
    if (!path.empty()) return std::optional<PageName>();
    const auto kept = TRY(txn_.get(table::recipe_trees, record));
    return kept ? std::optional<PageName>(kept->page) : std::optional<PageName>();
  }

  Result<bool> open(const std::string& path) {
    const auto first = TRY(root_of(before_.record, path)), second = TRY(root_of(after_.record, path));
    if (!first || !second) return false;
    first_.emplace(path, *first, before_.rules, read_);
    second_.emplace(path, *second, after_.rules, read_);
    return true;
  }

  // Of a directory its header.
  Result<std::optional<PageEntry>> entry(PageTree& tree, const std::string& path) {
    if (const auto page = TRY(tree.page_at(path))) return std::optional<PageEntry>(TRY(load_directory(*page, read_)).header);
    return tree.entry_at(path);
  }

  void note(TreeDifference difference) {
    std::string key = key_of(difference.path);
    found_.try_emplace(std::move(key), std::move(difference));
  }

  Status note_at(const std::string& from, const std::string& to, Kind kind) {
    TreeDifference difference{shown_path(to), kind, {}};
    if (kind == Kind::changed && found_.size() < explained_paths_max) {
      const auto old = TRY(entry(*first_, from)), now = TRY(entry(*second_, to));
      if (old && now) difference.fields = differing_fields(*old, *now);
    }
    note(std::move(difference));
    return {};
  }

  Status compare_plain(const std::string& from, const std::string& to) {
    const auto old_page = TRY(first_->page_at(from)), page = TRY(second_->page_at(to));
    if (old_page && page) {
      return each_page_difference({old_page, read_}, {page, read_}, [&](const TreeDifference& each) -> Status {
        const std::string below = each.path.empty() ? "" : "/" + each.path;
        if ((to + below).empty() && after_.rules == DigestRules::stream) return {};  // the top has no header there
        return note_at(from + below, to + below, each.kind);
      });
    }
    const auto old = TRY(entry(*first_, from)), now = TRY(entry(*second_, to));
    if (!old && !now) return {};
    if (old && now && old->digests == now->digests && old->type == now->type) return {};
    TRY(note_at(from, to, !old ? Kind::added : !now ? Kind::removed : Kind::changed));
    const std::optional<PageName> none;
    if (!old_page && !page) return {};
    return each_page_difference({old_page, read_}, {page, read_}, [&](const TreeDifference& each) -> Status {
      if (!each.path.empty()) note({shown_path(to + "/" + each.path), each.kind, {}});
      return {};
    });
  }

  using Listing = std::map<std::string, std::pair<std::string, TreeDigest>>;  // name, as it is selected → path, digest
  Result<Listing> list(PageTree& tree, const Selection& selection) {
    SelectionFilter filter = TRY(SelectionFilter::prepare(tree, selection));
    if (filter.scope())
      TRY(tree.walk(*filter.scope(), [&filter](const RecordView& record) { return filter.visit(record); }));
    Listing listing;
    filter.each_taken([&](std::string_view name, const std::string& path, const TreeDigest& digest) {
      listing.emplace(key_of(name), std::pair(path, digest));
    });
    return listing;
  }

  Status compare_filtered(const Selection& selection) {
    const Listing old = TRY(list(*first_, selection)), now = TRY(list(*second_, selection));
    for (const auto& [name, taken] : now) {
      const auto was = old.find(name);
      if (was == old.end()) TRY(note_at(taken.first, taken.first, Kind::added));
      else if (was->second.second != taken.second) TRY(note_at(was->second.first, taken.first, Kind::changed));
    }
    for (const auto& [name, taken] : old)
      if (!now.contains(name)) TRY(note_at(taken.first, taken.first, Kind::removed));
    return {};
  }

  const ReadTxn& txn_;
  const TreeSide before_, after_;
  ExplainCounts& counts_;
  PageLoad read_;
  std::optional<PageTree> first_, second_;
  std::map<std::string, TreeDifference> found_;
};

}  // namespace

Result<std::optional<PathDifferences>> differing_paths(const ReadTxn& txn, const TreeSide& before, const TreeSide& after,
                                                       std::vector<Selection> selections, ExplainCounts& counts) {
  if (!before.record || !after.record) return std::optional<PathDifferences>();
  if (selections.empty()) selections.emplace_back();
  Pair pair(txn, before, after, counts);
  for (const Selection& selection : selections) {
    auto compared = pair.compare(selection);
    // A page that is missing, or a path that is a link to nowhere: then the paths are not known.
    if (!compared && compared.error().code == ErrorCode::not_found) return std::optional<PathDifferences>();
    if (!TRY(std::move(compared))) return std::optional<PathDifferences>();
  }
  return std::optional<PathDifferences>(pair.take());
}

}  // namespace cairn::cache
