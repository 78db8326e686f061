// SPDX-License-Identifier: Apache-2.0
// What is remembered of the files of plain directories, so that a directory in which nothing has changed gets its digest
// without opening a file. A file is believed to be as it was if its inode, birth time, size, mtime and ctime are what they
// were when it was read, and both times were by then older than two seconds (git's rule for racily clean entries: a later
// change in the same tick of the clock would not show). The ctime covers mode, owner and attributes, and cannot be set
// back. A row is named by the id of its file system and the inode of the directory, never by a device number, and nothing
// is remembered of overlays, of network and read-only file systems, or of any whose id does not tell it apart
// (docs/formats/stat-cache.md).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "libbase/clock.h"
#include "libbase/lmdb/env.h"
#include "libbase/lmdb/group_writer.h"

namespace cairn::cache {

// Whose digests are kept: of names as a scan sees them, or as a client sends them (libsolver's local source), which leaves
// out owners and some attributes.
enum class StatsOf : std::uint8_t { scanned = 0, sent = 1 };

// Thread-safe.
class StatCache {
 public:
  // For one digest or several at a time; what changes after this is made is not remembered.
  // env has the tables of this library. Without a writer it is looked into and nothing is added. All outlive it.
  StatCache(base::lmdb::Env& env, base::lmdb::GroupWriter* writer, const base::Clock& clock,
            StatsOf of = StatsOf::scanned);
  ~StatCache();  // queues what is still to be written

  std::uint64_t written() const;  // directories about which something was learned
  // Queues what has been learned. Losing it costs reading files again, so nobody waits for it.
  void flush();

 private:
  friend class DirectoryStats;
  struct State;
  std::unique_ptr<State> state_;
};

// Drops the rows of directories that nobody has asked for since then, and of the rest those that nobody has asked for longest,
// until what is left has at most this many bytes; in small transactions. O(rows).
inline constexpr std::size_t stats_bytes_max = 256 << 20;
base::Status forget_stats(base::lmdb::Env& env, base::lmdb::GroupWriter& writer, base::WallTime used_before,
                          std::size_t bytes_max = stats_bytes_max);

}  // namespace cairn::cache
