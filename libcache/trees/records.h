// SPDX-License-Identifier: Apache-2.0
// A tree seen as an ordered row of records (spec/storage 3.2). The key of a path is the path with each '/' replaced by
// NUL ("/a/b" is 00 61 00 62, the root is ""), so that all of a directory follows it at once. A directory has two
// records: one for its contents at its key, and one for its own header at key and NUL.
// Every query is answered over this row, wherever it comes from: the disk, or the changes that a client announced.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/result.h"
#include "libcache/digests.h"
#include "libcache/tree_digest.h"

namespace cairn::cache {

enum class TreeRecordType : std::uint8_t { file, directory, header, symlink };  // file: all that is none of the others

std::string key_of(std::string_view path);
std::string path_of(std::string_view key);

struct RecordView {
  std::string_view key;
  TreeRecordType type;
  // Computes the digest of the record, now; valid during the visit only. Not to be asked of a directory record.
  const std::function<base::Result<TreeDigest>()>& digest;
  // Writes it to *into, which stays where it is, before the walk ends: together with others, by all cores. Null: there is
  // nothing to be gained by that.
  const std::function<void(TreeDigest* into)>* digest_later = nullptr;
};

// skip_below: neither the header nor the contents of this directory. all_below: next, and the digest of everything in this
// directory will be asked for.
enum class Step { next, skip_below, all_below, stop };
using RecordVisit = std::function<base::Result<Step>(const RecordView&)>;

class RecordSource {
 public:
  virtual ~RecordSource() = default;

  struct Found {
    TreeRecordType type;
    std::string link;  // the target, of a symlink
  };
  // What is at this path (clean, from the root: "/a/b" or ""), no link on the way followed; nullopt if there is
  // nothing.
  virtual base::Result<std::optional<Found>> find(std::string_view path) = 0;
  // Visits the record at the path and all below it, in key order. Nothing there: nothing is visited.
  virtual base::Status walk(std::string_view path, const RecordVisit& visit) = 0;
  // The digest of all that is in the directory at this path; by walk(), unless the source knows a better way. Errors: io
  // (no directory), not_found (a directory without its header).
  virtual base::Result<TreeDigest> contents(std::string_view path);
};

enum class FollowLast { no, yes };
struct Resolved {
  std::string path;  // where the path led, even if nothing is there
  std::optional<RecordSource::Found> found;
};
// Follows the links in a path, and in its last component if asked, as if the top of the tree were "/" (spec/storage
// 3.4). What does not exist is taken as if it were no link. Errors: invalid_argument (more than 255 links).
base::Result<Resolved> resolve(RecordSource& source, std::string_view path, FollowLast follow);

// The digest of a selection. Errors: those of tree_digest.
base::Result<TreeDigest> digest_selection(RecordSource& source, const Selection& selection);
// What a content digest makes of those of its selections (spec/storage 3.6). digest_one gets each with its path made
// absolute, without a trailing slash.
base::Result<TreeDigest> combine_digests(const std::vector<Selection>& selections,
                                         const std::function<base::Result<TreeDigest>(const Selection&)>& digest_one);
// The digest of one path: of its record, or of its contents if it is a directory.
base::Result<TreeDigest> digest_path(RecordSource& source, std::string_view path, FollowLast follow);

}  // namespace cairn::cache
