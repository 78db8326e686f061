// SPDX-License-Identifier: Apache-2.0
#include "libcache/pages/page_difference.h"

#include <utility>
#include <vector>

namespace cairn::cache {

using base::Result;
using base::Status;
using Kind = TreeDifference::Kind;

namespace {

// What one of the trees has at a path: nothing, a directory, or something else.
struct Side {
  const PageEntry* entry = nullptr;
  bool is_directory() const { return entry != nullptr && entry->is_directory(); }
};

class Walk {
 public:
  Walk(const PagedTree& first, const PagedTree& second, const std::function<Status(TreeDifference)>& visit)
      : first_(first), second_(second), visit_(visit) {}

  Status run() {
    TRY(open("", first_.root, second_.root, false));
    while (!levels_.empty()) {
      if (!TRY(step())) levels_.pop_back();
    }
    return {};
  }

 private:
  struct Level {
    std::string path;
    std::vector<PageEntry> first, second;
    std::size_t next_first = 0, next_second = 0;
  };

  // Of what is a directory in one tree at least. is_told: that it differs itself has been visited.
  Status open(std::string path, const std::optional<PageName>& first, const std::optional<PageName>& second, bool is_told) {
    if (first == second) return {};
    DirectoryPage a, b;
    if (first) a = TRY(load_directory(*first, first_.read));
    if (second) b = TRY(load_directory(*second, second_.read));
    if (first && second && a.contents.scan.digest == b.contents.scan.digest) return {};
    const bool same_header = first && second && a.header.digests.scan == b.header.digests.scan;
    if (!same_header && !is_told) TRY(visit_({path, !first ? Kind::added : !second ? Kind::removed : Kind::changed, {}}));
    levels_.push_back({std::move(path), std::move(a.names), std::move(b.names)});
    return {};
  }

  Result<bool> step() {
    Level& level = levels_.back();
    Side a, b;
    if (level.next_first < level.first.size()) a.entry = &level.first[level.next_first];
    if (level.next_second < level.second.size()) b.entry = &level.second[level.next_second];
    if (a.entry == nullptr && b.entry == nullptr) return false;
    if (a.entry != nullptr && b.entry != nullptr && a.entry->name != b.entry->name) {
      (a.entry->name < b.entry->name ? b : a).entry = nullptr;
    }
    if (a.entry != nullptr) ++level.next_first;
    if (b.entry != nullptr) ++level.next_second;
    const std::string& name = a.entry != nullptr ? a.entry->name : b.entry->name;
    std::string path = level.path.empty() ? name : level.path + "/" + name;
    TRY(compare(std::move(path), a, b));
    return true;
  }

  Status compare(std::string path, Side a, Side b) {
    const bool both = a.entry != nullptr && b.entry != nullptr;
    if (both && a.is_directory() == b.is_directory()) {
      if (!a.is_directory())
        return a.entry->digests.scan == b.entry->digests.scan ? Status() : visit_({std::move(path), Kind::changed, {}});
      if (a.entry->contents.scan.digest == b.entry->contents.scan.digest) return {};
      return open(std::move(path), a.entry->page, b.entry->page, false);
    }
    TRY(visit_({path, both ? Kind::changed : a.entry != nullptr ? Kind::removed : Kind::added, {}}));
    std::optional<PageName> first, second;
    if (a.is_directory()) first = a.entry->page;
    if (b.is_directory()) second = b.entry->page;
    return first || second ? open(std::move(path), first, second, true) : Status();
  }

  const PagedTree& first_;
  const PagedTree& second_;
  const std::function<Status(TreeDifference)>& visit_;
  std::vector<Level> levels_;
};

}  // namespace

Status each_page_difference(const PagedTree& first, const PagedTree& second,
                            const std::function<Status(TreeDifference)>& visit) {
  return Walk(first, second, visit).run();
}

}  // namespace cairn::cache
