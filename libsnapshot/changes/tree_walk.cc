// SPDX-License-Identifier: Apache-2.0
// The walk of two trees side by side, over all names or over those that the layers between them hold. Where both have a
// directory both cursors step down; where only the new tree has one, only its cursor does, so each level says which
// cursors are in it.
#include <dirent.h>
#include <fcntl.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "libbase/fs/deep_cursor.h"
#include "libsnapshot/changes/compare.h"
#include "libsnapshot/changes/layered_walk.h"
#include "libsnapshot/changes/link_groups.h"

namespace cairn::snapshot {
namespace {

using base::ErrorCode;
using base::Status;

enum class Place { lower, upper, both, unknown };  // unknown: a layer has the name, which may be a whiteout

struct Candidate {
  std::string name;
  Place place;
};

struct Level {
  bool has_lower = false;
  std::vector<std::size_t> layers;  // those that have the directory; none: all names were listed
  std::vector<Candidate> candidates;
  std::size_t next = 0;
};

bool same_directory(const struct ::stat& a, const struct ::stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

bool has_mark(int directory, const char* mark, bool any_value) {
  for (const char* prefix : {"trusted.overlay.", "user.overlay."}) {
    std::array<char, 2> value{};
    const ssize_t size = ::fgetxattr(directory, (prefix + std::string(mark)).c_str(), value.data(), value.size());
    if (any_value ? size >= 0 || errno == ERANGE : size == 1 && value[0] == 'y') return true;
  }
  return false;
}

class TreeWalk {
 public:
  TreeWalk(std::optional<int> lower, int upper, std::span<const int> layers, const ChangeVisitor& visitor,
           const ChangeOptions& options)
      : lower_(lower.value_or(-1)), upper_(upper), visitor_(visitor), options_(options) {
    Level& root = levels_.emplace_back();
    root.has_lower = lower.has_value();
    for (const int layer : layers) {
      root.layers.push_back(layers_.size());
      layers_.emplace_back(layer);
    }
  }

  Status run() {
    if (TRY(root())) return {};
    while (true) {
      if (options_.stop.stop_requested()) return base::fail(ErrorCode::cancelled, "compare trees");
      Level& level = levels_.back();
      if (level.next < level.candidates.size()) {
        // Taken out: stepping down moves the levels.
        const Candidate candidate = std::move(level.candidates[level.next++]);
        const base::TreePath path = path_.child(candidate.name);
        TRY(visit(path, candidate), "\"{}\"", path.str());
      } else if (levels_.size() > 1) {
        TRY(leave());
      } else {
        return {};
      }
    }
  }

 private:
  // True if both roots are one directory.
  base::Result<bool> root() {
    const Entry upper = TRY(look(upper_, "."));
    Level& level = levels_.back();
    Comparison comparison{.same = false, .in_layer = InLayer::no};
    if (level.has_lower) {
      const Entry lower = TRY(look(lower_, "."));
      if (same_directory(lower.status, upper.status)) return true;
      comparison = TRY(compare_entries(lower, upper, options_), "the root");
    }
    if (!comparison.same) TRY(report(ChangeKind::modify, InLayer::no, path_, upper));
    TRY(list(level), "the root");
    return false;
  }

  Status visit(const base::TreePath& path, const Candidate& candidate) {
    const char* name = candidate.name.c_str();
    switch (candidate.place) {
      case Place::lower: return removed(path);
      case Place::upper: return added(path, TRY(look(upper_, name)));
      case Place::both:
        if (options_.may_differ && !options_.may_differ(path)) return {};
        return in_both(path, TRY(look(lower_, name)), TRY(look(upper_, name)));
      case Place::unknown: break;
    }
    const auto upper = TRY(find(upper_, name));
    const auto lower = TRY(find(lower_, name));
    if (!upper && !lower) return {};
    if (!upper) return removed(path);
    if (!lower) return added(path, *upper);
    if (options_.may_differ && !options_.may_differ(path)) return {};
    return in_both(path, *lower, *upper);
  }

  Status removed(const base::TreePath& path) {
    return visitor_(Change{.kind = ChangeKind::remove,
                           .in_layer = InLayer::yes,
                           .path = path,
                           .directory = upper_.fd(),
                           .name = path.name()});
  }

  Status added(const base::TreePath& path, const Entry& upper) {
    links_of_new(upper);
    TRY(report(ChangeKind::add, InLayer::yes, path, upper));
    if (S_ISDIR(upper.status.st_mode)) TRY(enter(path, upper.name, Level{}));
    return {};
  }

  Status in_both(const base::TreePath& path, const Entry& lower, const Entry& upper) {
    const Comparison comparison = TRY(compare_entries(lower, upper, options_));
    if (!comparison.same) {
      links_of_new(upper);
      TRY(report(ChangeKind::modify, comparison.in_layer, path, upper));
    } else if (!S_ISDIR(upper.status.st_mode)) {
      return same_but_links(path, lower, upper);
    }
    if (!S_ISDIR(upper.status.st_mode)) return {};
    if (!S_ISDIR(lower.status.st_mode)) return enter(path, upper.name, Level{});
    if (same_directory(lower.status, upper.status)) return {};
    return enter_both(path, upper);
  }

  Status same_but_links(const base::TreePath& path, const Entry& lower, const Entry& upper) {
    if (lower.status.st_nlink < 2 && upper.status.st_nlink < 2) return {};
    // Copying up parts a file from its links, and whether there are any left is not known to a walk of layers.
    const bool parted = !levels_.back().layers.empty() && lower.status.st_nlink > 1;
    if (!links_.kept(lower.status, upper.status) || parted) return report(ChangeKind::relink, InLayer::no, path, upper);
    if (options_.replay == Replay::nothing || upper.status.st_nlink < 2) return {};
    return report(ChangeKind::unmodified, InLayer::no, path, upper);
  }

  void links_of_new(const Entry& upper) {
    if (!S_ISDIR(upper.status.st_mode) && upper.status.st_nlink > 1) links_.made_anew(upper.status);
  }

  base::Result<std::optional<Entry>> find(const base::DeepCursor& cursor, const char* name) {
    Entry entry{.directory = cursor.fd(), .name = name};
    if (options_.counts != nullptr) ++options_.counts->entries;
    if (::fstatat(entry.directory, name, &entry.status, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) == 0) return entry;
    if (errno == ENOENT) return std::nullopt;
    return base::fail_errno(errno, "stat \"{}\"", name);
  }

  base::Result<Entry> look(const base::DeepCursor& cursor, const char* name) {
    const auto entry = TRY(find(cursor, name));
    if (!entry) return base::fail(ErrorCode::busy, "stat \"{}\": it vanished while its tree was compared", name);
    return *entry;
  }

  Status report(ChangeKind kind, InLayer in_layer, const base::TreePath& path, const Entry& upper) {
    return visitor_(Change{.kind = kind,
                           .in_layer = in_layer,
                           .path = path,
                           .status = upper.status,
                           .directory = upper.directory,
                           .name = upper.name});
  }

  // Both trees have the directory: goes on with the layers that have it, or with all names.
  Status enter_both(const base::TreePath& path, const Entry& upper) {
    Level below;
    below.has_lower = true;
    bool everything = levels_.back().layers.empty();
    bool opaque = false;
    for (const std::size_t layer : levels_.back().layers) {
      const auto entry = TRY(find(layers_[layer], upper.name));
      if (!entry) continue;
      below.layers.push_back(layer);
      // Something else, or a whiteout: a layer above it has the directory anew.
      if (!S_ISDIR(entry->status.st_mode)) everything = true;
    }
    if (!everything) {
      for (const std::size_t layer : below.layers) {
        TRY(layers_[layer].enter(upper.name));
        opaque = opaque || has_mark(layers_[layer].fd(), "opaque", false);
        everything = everything || opaque || has_mark(layers_[layer].fd(), "redirect", true);
      }
      if (everything) {
        for (const std::size_t layer : below.layers) TRY(layers_[layer].leave());
      }
    }
    if (everything) below.layers.clear();
    if (opaque && options_.opaque == Opaque::keep) {
      below.has_lower = false;
      TRY(report(ChangeKind::opaque, InLayer::yes, path, upper));
    }
    return enter(path, upper.name, std::move(below));
  }

  // The layers of `level` have been entered already.
  Status enter(const base::TreePath& path, const char* name, Level level) {
    const std::string own(name);
    TRY(upper_.enter(own));
    if (level.has_lower) TRY(lower_.enter(own));
    levels_.push_back(std::move(level));
    path_ = path;
    return list(levels_.back());
  }

  Status leave() {
    if (levels_.back().has_lower) TRY(lower_.leave());
    for (const std::size_t layer : levels_.back().layers) TRY(layers_[layer].leave());
    levels_.pop_back();
    path_ = path_.parent();
    return upper_.leave();
  }

  Status list(Level& level) {
    if (!level.layers.empty()) return list_layers(level);
    const auto upper = TRY(names_in(upper_, Of::tree));
    if (!level.has_lower) {
      for (const auto& name : upper) level.candidates.push_back({name, Place::upper});
      return {};
    }
    const auto lower = TRY(names_in(lower_, Of::tree));
    for (auto a = lower.begin(), b = upper.begin(); a != lower.end() || b != upper.end();) {
      const int order = a == lower.end() ? 1 : b == upper.end() ? -1 : a->compare(*b);
      level.candidates.push_back({order < 0 ? *a : *b, order < 0 ? Place::lower : order > 0 ? Place::upper : Place::both});
      if (order <= 0) ++a;
      if (order >= 0) ++b;
    }
    return {};
  }

  Status list_layers(Level& level) {
    std::vector<std::string> names;
    for (const std::size_t layer : level.layers) {
      auto more = TRY(names_in(layers_[layer], Of::layer));
      names.insert(names.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
    }
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    for (auto& name : names) level.candidates.push_back({std::move(name), Place::unknown});
    return {};
  }

  enum class Of { tree, layer };
  base::Result<std::vector<std::string>> names_in(const base::DeepCursor& cursor, Of of) {
    if (options_.counts != nullptr) ++options_.counts->directories;
    std::vector<std::string> names;
    for (auto& entry : TRY(base::read_entries(cursor.fd()))) {
      // The kernel lists the whiteouts of a directory that only one layer of a mount has, though nothing is there.
      if (of == Of::tree && entry.type == DT_CHR && !TRY(find(cursor, entry.name.c_str()))) continue;
      names.push_back(std::move(entry.name));
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  base::DeepCursor lower_, upper_;
  std::deque<base::DeepCursor> layers_;
  const ChangeVisitor& visitor_;
  const ChangeOptions& options_;
  std::vector<Level> levels_;  // from the root down
  base::TreePath path_;        // of the last level
  LinkGroups links_;
};

}  // namespace

Status changes_between(std::optional<int> lower, int upper, const ChangeVisitor& visitor,
                       const ChangeOptions& options) {
  return TreeWalk(lower, upper, {}, visitor, options).run();
}

Status changes_in_layers(int lower, int upper, std::span<const int> layers, const ChangeVisitor& visitor,
                         const ChangeOptions& options) {
  return TreeWalk(lower, upper, layers, visitor, options).run();
}

}  // namespace cairn::snapshot
