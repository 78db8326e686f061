// SPDX-License-Identifier: Apache-2.0
// Both selections are listed by the very code that digests them, so that what is reported is what made the difference.
#include "libcache/tree_difference.h"

#include <fcntl.h>

#include <array>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "libbase/fs/beneath.h"
#include "libbase/hash/sha256.h"
#include "libcache/patterns/clean.h"
#include "libcache/trees/differing_fields.h"
#include "libcache/trees/disk_tree.h"
#include "libcache/trees/selection_filter.h"

namespace cairn::cache {

using base::ErrorCode;
using base::fail;
using base::Fd;
using base::Result;
using base::Status;

namespace {

constexpr std::size_t chunk_size = 128 << 10;

// What one selection takes: key, as the digest sees it, to the record. A directory is its header here.
struct Taken {
  TreeDigest digest;
  std::string path;  // where it is in its tree
};
using Listing = std::map<std::string, Taken>;

DiskTree open_tree(const SelectedTree& selected, const Selection& selection, const std::stop_token& stop) {
  return DiskTree(selected.tree, {.rules = selected.rules, .normalisation = selection.normalisation, .stop = stop});
}

// The digest of a directory without filters: all that is below it.
Status list_plain(DiskTree& tree, const Selection& selection, Listing& listing) {
  const std::string path = clean_rooted(selection.path);
  const Resolved resolved = TRY(resolve(tree, path, selection.follow_links ? FollowLast::yes : FollowLast::no));
  if (!resolved.found) return fail(ErrorCode::not_found, "\"{}\": not found", selection.path);
  return tree.walk(resolved.path, [&](const RecordView& record) -> Result<Step> {
    if (record.type == TreeRecordType::directory) return Step::next;
    std::string key(record.key.substr(resolved.path.size()));
    std::string found = path_of(record.key);
    if (record.type == TreeRecordType::header) {
      key.pop_back();
      found.pop_back();
    }
    listing.emplace(std::move(key), Taken{TRY(record.digest()), std::move(found)});
    return Step::next;
  });
}

Status list_filtered(DiskTree& tree, const Selection& selection, Listing& listing) {
  SelectionFilter filter = TRY(SelectionFilter::prepare(tree, selection));
  if (filter.scope()) {
    TRY(tree.walk(*filter.scope(), [&filter](const RecordView& record) { return filter.visit(record); }));
  }
  filter.each_taken([&](std::string_view name, const std::string& path, const TreeDigest& digest) {
    listing.emplace(key_of(name), Taken{digest, path});
  });
  return {};
}

Result<Listing> list(const SelectedTree& selected, const Selection& selection, const std::stop_token& stop) {
  DiskTree tree = open_tree(selected, selection, stop);
  Listing listing;
  const bool filters = selection.wildcard || !selection.include_patterns.empty() || !selection.exclude_patterns.empty();
  if (filters) {
    TRY(list_filtered(tree, selection, listing), "list \"{}\"", selection.path);
  } else {
    TRY(list_plain(tree, selection, listing), "list \"{}\"", selection.path);
  }
  return listing;
}

// An entry without the bytes of a file, and the hash of those by themselves.
struct Details {
  TreeEntry entry;
  base::Sha256Bytes content{};
};

Result<base::Sha256Bytes> hash_file(int tree, const base::TreePath& name, const std::stop_token& stop) {
  const Fd file = TRY(base::open_beneath(tree, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK), "read \"{}\"", name.str());
  base::Sha256 hash;
  std::vector<std::byte> buffer(chunk_size);
  while (const std::size_t got = TRY(base::read_full(file.get(), buffer), "read \"{}\"", name.str())) {
    hash.update(std::span<const std::byte>(buffer).first(got));
    if (stop.stop_requested()) return fail(ErrorCode::cancelled, "read \"{}\"", name.str());
  }
  return hash.finish();
}

Result<Details> look_closely(const SelectedTree& selected, const std::string& path, const Normalisation& policy,
                             const std::stop_token& stop) {
  Details details;
  EntryReader reader(policy, {});
  const auto place = TRY(base::TreePath::parse(path));
  const Fd parent = TRY(base::open_beneath(selected.tree, place.parent(), O_RDONLY | O_DIRECTORY), "read \"{}\"", path);
  const std::string name = place.is_root() ? "." : std::string(place.name());
  const StatX seen = TRY(reader.look({parent.get(), name, path}));
  if (type_of(seen.stx_mode) == EntryType::directory) {
    const Fd fd = TRY(base::open_beneath(selected.tree, place, O_RDONLY | O_DIRECTORY), "read \"{}\"", path);
    TRY(reader.read_header(fd.get(), seen, path, details.entry));
  } else {
    TRY(reader.read({parent.get(), name, path}, seen, details.entry));
    if (details.entry.type == EntryType::file) details.content = TRY(hash_file(selected.tree, place, stop));
  }
  if (selected.rules == DigestRules::scan) {
    details.entry.device_major = details.entry.device_minor = 0;
  } else {
    std::erase_if(details.entry.xattrs, [](const auto& xattr) { return xattr.first.starts_with("com.apple."); });
  }
  return details;
}

// Of the attributes, those that count, as they are hashed.
std::string counted_xattrs(const TreeEntry& entry) {
  TreeEntry bare;
  bare.xattrs = entry.xattrs;
  return header_text(bare);
}

std::vector<DifferenceField> compare(const Details& a, const Details& b, Times times) {
  std::vector<DifferenceField> fields;
  if (a.entry.type != b.entry.type) fields.push_back(DifferenceField::type);
  const bool same_content = a.content == b.content && a.entry.link == b.entry.link;
  if (a.entry.type == b.entry.type && !same_content) fields.push_back(DifferenceField::content);
  if (a.entry.mode != b.entry.mode) fields.push_back(DifferenceField::mode);
  if (a.entry.uid != b.entry.uid || a.entry.gid != b.entry.gid) fields.push_back(DifferenceField::owner);
  if (counted_xattrs(a.entry) != counted_xattrs(b.entry)) fields.push_back(DifferenceField::xattr);
  if (a.entry.device_major != b.entry.device_major || a.entry.device_minor != b.entry.device_minor)
    fields.push_back(DifferenceField::device);
  const auto mtime = [](const TreeEntry& entry) { return std::pair(entry.mtime_seconds, entry.mtime_nanoseconds); };
  if (times == Times::counted && mtime(a.entry) != mtime(b.entry)) fields.push_back(DifferenceField::time);
  return fields;
}

}  // namespace

std::string_view to_string(DifferenceField field) {
  static constexpr std::array<std::string_view, 7> names = {"type", "content", "mode", "owner", "xattr", "device", "time"};
  return names[static_cast<std::size_t>(field)];
}

std::string_view to_string(TreeDifference::Kind kind) {
  static constexpr std::array<std::string_view, 3> names = {"added", "removed", "changed"};
  return names[static_cast<std::size_t>(kind)];
}

Result<std::vector<DifferenceField>> differing_fields(const NameInTree& first, const NameInTree& second, const Normalisation& policy,
                                                      const std::stop_token& stop) {
  const Details old = TRY(look_closely(first.tree, first.path, policy, stop));
  const Details now = TRY(look_closely(second.tree, second.path, policy, stop));
  return compare(old, now, policy.times);
}

Status each_difference(const SelectedTree& first, const SelectedTree& second, const Selection& selection,
                       const std::function<Status(const TreeDifference&)>& visit, std::stop_token stop) {
  const Listing a = TRY(list(first, selection, stop)), b = TRY(list(second, selection, stop));
  const auto shown = [](const std::string& key) {
    std::string path = path_of(key);
    if (path.starts_with('/')) path.erase(0, 1);
    return path;
  };
  auto left = a.begin();
  auto right = b.begin();
  while (left != a.end() || right != b.end()) {
    if (right == b.end() || (left != a.end() && left->first < right->first)) {
      TRY(visit({shown(left++->first), TreeDifference::Kind::removed, {}}));
    } else if (left == a.end() || right->first < left->first) {
      TRY(visit({shown(right++->first), TreeDifference::Kind::added, {}}));
    } else {
      if (left->second.digest != right->second.digest) {
        auto fields = TRY(differing_fields({first, left->second.path}, {second, right->second.path}, selection.normalisation, stop));
        TRY(visit({shown(left->first), TreeDifference::Kind::changed, std::move(fields)}));
      }
      ++left;
      ++right;
    }
  }
  return {};
}

}  // namespace cairn::cache
