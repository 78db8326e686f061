// SPDX-License-Identifier: Apache-2.0
#include "libcache/pages/page_tree.h"

#include <algorithm>
#include <vector>

#include "libbase/hash/sha256.h"

namespace cairn::cache {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;

namespace {

TreeRecordType record_type(EntryType type) {
  if (type == EntryType::directory) return TreeRecordType::directory;
  return type == EntryType::symlink ? TreeRecordType::symlink : TreeRecordType::file;
}

// The entry as its header was hashed, but for its attributes.
TreeEntry header_entry(const PageEntry& entry, DigestRules rules) {
  TreeEntry header;
  header.type = entry.type;
  header.mode = entry.mode;
  header.uid = entry.uid;
  header.gid = entry.gid;
  header.size = entry.size;
  header.link = entry.link;
  header.mtime_seconds = entry.mtime_seconds;
  header.mtime_nanoseconds = entry.mtime_nanoseconds;
  if (rules == DigestRules::scan) return header;
  header.device_major = entry.device_major;
  header.device_minor = entry.device_minor;
  return header;
}

}  // namespace

PageTree PageTree::with(const Normalisation& policy) const {
  PageTree tree = *this;
  tree.policy_ = policy;
  return tree;
}

Result<TreeDigest> PageTree::digest_of(const PageEntry& entry) const {
  if (policy_.is_off()) return entry.digests.by(rules_);
  TreeEntry header = header_entry(entry, rules_);
  const std::string before = header_text(header);
  normalise(header, policy_);
  const std::string text = header_text(header, policy_.times);
  const bool has_bytes = entry.type == EntryType::file && entry.size > 0;
  const bool no_attribute_counts = policy_.xattrs && policy_.xattrs->empty();
  const bool is_same = text == before;
  if (is_same && (entry.xattrs.is_zero() || !policy_.xattrs)) return entry.digests.by(rules_);
  if (!has_bytes && (entry.xattrs.is_zero() || no_attribute_counts)) return base::digest_of<TreeDigest>(text);
  return fail(ErrorCode::unavailable, "\"{}\" has to be read", entry.name);
}

Result<std::optional<PageEntry>> find_in_directory(const PageName& page, std::string_view name, const PageLoad& read) {
  PageName next = page;
  for (int left = 16; left > 0; --left) {
    const std::string bytes = TRY(read(next));
    RawPage raw = TRY(decode_page(bytes), "page {}", next);
    if (raw.level == 0) {
      const auto found = std::lower_bound(raw.entries.begin(), raw.entries.end(), name,
                                          [](const PageEntry& entry, std::string_view text) { return entry.name < text; });
      if (found == raw.entries.end() || found->name != name) return std::optional<PageEntry>();
      return std::optional<PageEntry>(std::move(*found));
    }
    const auto behind = std::upper_bound(raw.pieces.begin(), raw.pieces.end(), name,
                                         [](std::string_view text, const RawPage::Piece& piece) { return text < piece.first_name; });
    if (behind == raw.pieces.begin()) return std::optional<PageEntry>();
    next = std::prev(behind)->page;
  }
  return fail(ErrorCode::corrupt, "page {} leads nowhere", page);
}

// The root of the pages is an entry without facts of its own, but for its page.
Result<std::optional<PageEntry>> PageTree::entry_at(std::string_view path) {
  CHECK(path.starts_with(top_), "\"{}\" is not below \"{}\"", path, top_);
  PageEntry entry;
  entry.type = EntryType::directory;
  entry.page = page_;
  std::string_view rest = path.substr(top_.size());
  while (!rest.empty()) {
    rest.remove_prefix(1);
    const std::string_view name = rest.substr(0, rest.find('/'));
    rest.remove_prefix(name.size());
    if (!entry.is_directory()) return std::optional<PageEntry>();
    auto found = TRY(find_in_directory(entry.page, name, read_));
    if (!found) return std::optional<PageEntry>();
    entry = std::move(*found);
  }
  return std::optional<PageEntry>(std::move(entry));
}

Result<std::optional<RecordSource::Found>> PageTree::find(std::string_view path) {
  auto entry = TRY(entry_at(path));
  if (!entry) return std::optional<Found>();
  return std::optional<Found>(Found{record_type(entry->type), std::move(entry->link)});
}

Result<std::optional<PageName>> PageTree::page_at(std::string_view path) {
  const auto entry = TRY(entry_at(path));
  if (!entry || !entry->is_directory()) return std::optional<PageName>();
  return std::optional<PageName>(entry->page);
}

// spec/storage 3.2: a client never sends the top of its tree.
Result<TreeDigest> PageTree::header_digest(std::string_view path, const PageEntry& header) const {
  if (path.empty() && rules_ == DigestRules::stream) return base::digest_of<TreeDigest>("");
  return digest_of(header);
}

Result<TreeDigest> PageTree::contents(std::string_view path) {
  if (!policy_.is_off()) return RecordSource::contents(path);
  const auto page = TRY(page_at(path));
  if (!page) return fail(ErrorCode::io, "\"{}\" is no directory", path);
  if (path.empty() && rules_ == DigestRules::stream) {
    const DirectoryPage directory = TRY(load_directory(*page, read_));
    const TreeDigest header = TRY(header_digest(path, directory.header));
    return hash_names({header, header}, directory.names).stream.digest;
  }
  const std::string bytes = TRY(read_(*page));
  const RawPage raw = TRY(decode_page(bytes), "page {}", *page);
  return raw.contents.by(rules_).digest;
}

Status PageTree::walk(std::string_view path, const RecordVisit& visit) {
  const auto start = TRY(entry_at(path));
  if (!start) return {};
  struct Level {
    std::string key;
    std::vector<PageEntry> names;
    std::size_t next = 0;
  };
  std::vector<Level> levels;
  Result<TreeDigest> digest;
  const std::function<Result<TreeDigest>()> known = [&digest]() -> Result<TreeDigest> { return digest; };
  const std::function<Result<TreeDigest>()> none = []() -> Result<TreeDigest> {
    return fail(ErrorCode::io, "a directory record has no digest");
  };
  // The entry's records; a directory becomes the next level.
  const auto visit_entry = [&](const std::string& key, const PageEntry& entry) -> Result<Step> {
    if (!entry.is_directory()) {
      digest = digest_of(entry);
      return visit({key, record_type(entry.type), known});
    }
    const Step step = TRY(visit({key, TreeRecordType::directory, none}));
    if (step == Step::stop || step == Step::skip_below) return step == Step::stop ? step : Step::next;
    DirectoryPage directory = TRY(load_directory(entry.page, read_));
    digest = header_digest(path_of(key), directory.header);
    const std::string header_key = key + '\0';
    if (TRY(visit({header_key, TreeRecordType::header, known})) == Step::stop) return Step::stop;
    levels.push_back({key, std::move(directory.names)});
    return Step::next;
  };
  Step step = TRY(visit_entry(key_of(path), *start));
  while (step != Step::stop && !levels.empty()) {
    Level& level = levels.back();
    if (level.next == level.names.size()) {
      levels.pop_back();
      continue;
    }
    const PageEntry entry = std::move(level.names[level.next++]);
    step = TRY(visit_entry(level.key + '\0' + entry.name, entry));
  }
  return {};
}

}  // namespace cairn::cache
