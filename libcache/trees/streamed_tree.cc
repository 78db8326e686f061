// SPDX-License-Identifier: Apache-2.0
// BuildKit keeps the announced records in a persistent tree and works on a draft of it until somebody asks. Some of its
// steps look at the draft and some at the tree before it; to give the same digests, both views are kept here.
#include "libcache/streamed_tree.h"

#include <utility>

#include "libcache/patterns/clean.h"
#include "libcache/trees/records.h"

namespace cairn::cache {
namespace {

std::string_view parent_path(std::string_view path) { return path.substr(0, path.rfind('/')); }

}  // namespace

class StreamedRecords final : public RecordSource {
 public:
  using Kind = StreamedTree::Kind;
  explicit StreamedRecords(const StreamedTree& tree) : records_(tree.records_) {}

  base::Result<std::optional<Found>> find(std::string_view path) override {
    const auto found = records_.find(key_of(path));
    if (found == records_.end()) return std::nullopt;
    return Found{type_of(found->second.kind), found->second.link};
  }

  base::Status walk(std::string_view path, const RecordVisit& visit) override {
    const std::string start = key_of(path);
    const std::string below = start + '\0';
    std::string skipped;  // the keys that begin with it; none if empty
    for (auto at = records_.lower_bound(start); at != records_.end(); ++at) {
      const std::string& key = at->first;
      const StreamedTree::Record& record = at->second;
      if (key != start && !key.starts_with(below)) break;
      if (!skipped.empty() && key.starts_with(skipped)) continue;
      const std::function<base::Result<TreeDigest>()> digest = [&record] { return record.digest; };
      const Step step = TRY(visit({key, type_of(record.kind), digest}));
      if (step == Step::stop) break;
      if (step == Step::skip_below) skipped = key + '\0';
    }
    return {};
  }

 private:
  static TreeRecordType type_of(Kind kind) {
    switch (kind) {
      case Kind::directory: return TreeRecordType::directory;
      case Kind::header: return TreeRecordType::header;
      case Kind::symlink: return TreeRecordType::symlink;
      case Kind::file: break;
    }
    return TreeRecordType::file;
  }

  const std::map<std::string, StreamedTree::Record>& records_;
};

StreamedTree::StreamedTree() {
  records_[""] = {Kind::directory, {}, ""};
  // spec/storage 3.2: the top is never sent, so its header has a fixed digest.
  records_[std::string(1, '\0')] = {Kind::header, base::digest_of<TreeDigest>(""), ""};
}

bool StreamedTree::was_directory(const std::string& key) const {
  if (const auto touched = touched_.find(key); touched != touched_.end()) return touched->second == Kind::directory;
  const auto found = records_.find(key);
  return found != records_.end() && found->second.kind == Kind::directory && !added_.contains(key);
}

void StreamedTree::put(const std::string& key, Record record) {
  const auto found = records_.find(key);
  if (found == records_.end()) {
    if (!touched_.contains(key)) added_.insert(key);
    records_.emplace(key, std::move(record));
    return;
  }
  if (!added_.contains(key)) touched_.emplace(key, found->second.kind);
  found->second = std::move(record);
}

void StreamedTree::erase(const std::string& key) {
  const auto found = records_.find(key);
  if (found == records_.end()) return;
  if (added_.erase(key) == 0) touched_.emplace(key, found->second.kind);
  records_.erase(found);
}

// Removes what was below the key before the batch; what the batch itself has put there stays.
void StreamedTree::remove_below(const std::string& key) {
  const std::string below = key + '\0';
  for (auto at = records_.lower_bound(below); at != records_.end() && at->first.starts_with(below);) {
    const std::string doomed = (at++)->first;
    if (!added_.contains(doomed)) erase(doomed);
  }
}

void StreamedTree::apply(const Change& change) {
  const std::string path = clean_rooted(change.path);
  if (path.empty()) return;
  const std::string key = key_of(path);
  if (change.type == EntryType::directory) {
    put(key, {Kind::directory, {}, ""});
    put(key + '\0', {Kind::header, change.digest, ""});
    changed_directories_.insert(path);
    return;
  }
  if (was_directory(key)) remove_below(key);
  Record record{Kind::file, change.digest, ""};
  if (change.type == EntryType::symlink) {
    record.kind = Kind::symlink;
    record.link = change.link;
  } else if (!change.link.empty()) {
    const std::string first_name = clean_rooted(change.link);
    if (const auto found = records_.find(key_of(first_name)); found != records_.end()) record = found->second;
    other_names_[first_name].push_back(key);
  }
  put(key, record);
  changed_directories_.insert(std::string(parent_path(path)));
  // The bytes of a file arrive late, so its other names may be known before it.
  if (const auto followers = other_names_.extract(path); !followers.empty()) {
    for (const std::string& follower : followers.mapped()) {
      put(follower, record);
      changed_directories_.insert(std::string(parent_path(path_of(follower))));
    }
  }
}

void StreamedTree::remove(std::string_view removed) {
  const std::string path = clean_rooted(removed);
  if (path.empty()) return;
  const std::string key = key_of(path);
  const auto found = records_.find(key);
  const bool is_directory = found != records_.end() && found->second.kind == Kind::directory;
  erase(key);
  if (is_directory) remove_below(key);
  changed_directories_.insert(std::string(parent_path(path)));
}

void StreamedTree::end_batch() {
  std::set<std::string> directories;
  for (std::string_view path : changed_directories_) {
    // All above an ancestor that was seen before have been seen with it.
    while (directories.insert(std::string(path)).second && !path.empty()) path = parent_path(path);
  }
  // Whatever has this key now is held for a directory from here on. (Without a header it then has no digest.)
  for (const std::string& path : directories) {
    const auto found = records_.find(key_of(path));
    if (found != records_.end()) found->second = {Kind::directory, {}, ""};
  }
  added_.clear();
  touched_.clear();
  changed_directories_.clear();
}

base::Result<TreeDigest> StreamedTree::digest(const Selection& selection) {
  end_batch();
  StreamedRecords records(*this);
  return TRY(digest_selection(records, selection), "digest of \"{}\"", selection.path);
}

}  // namespace cairn::cache
