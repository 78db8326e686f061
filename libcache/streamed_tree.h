// SPDX-License-Identifier: Apache-2.0
// The digests of a tree that a client sends piece by piece: it announces what it adds, changes and deletes, and the
// digests are a by-product of the transfer, without reading the tree again (spec/storage 3.1 "stream path").
// The order of the announcements and of the questions matters in places, just as in BuildKit: see apply().
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "libcache/tree_digest.h"
#include "libcache/tree_entry.h"

namespace cairn::cache {

// Not thread-safe.
class StreamedTree {
 public:
  // What a client announces. Paths are relative to the top of the tree; the top itself is never announced.
  struct Change {
    std::string path;
    EntryType type = EntryType::file;
    std::string link;   // of a symlink: its target. Of anything else: the path of which this is another name
    TreeDigest digest;  // by EntryHasher, of the entry and its bytes; a directory's is of its header
  };

  StreamedTree();
  // A file, link or directory that is new or has changed. What was in a directory stays if it is still a directory, and
  // goes if it is something else now. Another name of a file takes the digest of that file if it is known by now, and
  // again with its next change; later changes of the file do not reach it.
  void apply(const Change& change);
  void remove(std::string_view path);

  // The digest of a selection. Ends the batch of changes since the last digest: removing a directory takes along what
  // was in it before the batch began, not what the same batch put there. Errors: not_found, invalid_argument.
  base::Result<TreeDigest> digest(const Selection& selection);

 private:
  friend class StreamedRecords;
  enum class Kind : std::uint8_t { file, directory, header, symlink };
  struct Record {
    Kind kind = Kind::file;
    TreeDigest digest;
    std::string link;
  };

  bool was_directory(const std::string& key) const;  // before the batch
  void put(const std::string& key, Record record);
  void erase(const std::string& key);
  void remove_below(const std::string& key);
  void end_batch();

  std::map<std::string, Record> records_;  // by key: the path with NUL for '/', a header's with one more NUL
  // Since the batch began: keys that were not there before, the kinds of those that were and have been touched, and
  // directories in which something has changed.
  std::set<std::string> added_;
  std::map<std::string, Kind> touched_;
  std::set<std::string> changed_directories_;
  std::map<std::string, std::vector<std::string>> other_names_;  // path of a file → keys that follow it
};

}  // namespace cairn::cache
