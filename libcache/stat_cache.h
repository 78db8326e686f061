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

// Thread-safe.
class StatCache {
 public:
  // For one digest or several at a time; what changes after this is made is not remembered.
  // env has the tables of this library. Without a writer it is looked into and nothing is added. All outlive it.
  StatCache(base::lmdb::Env& env, base::lmdb::GroupWriter* writer, const base::Clock& clock);
  ~StatCache();  // queues what is still to be written

  std::uint64_t written() const;  // directories about which something was learned
  // Queues what has been learned. Losing it costs reading files again, so nobody waits for it.
  void flush();

 private:
  friend class DirectoryStats;
  struct State;
  std::unique_ptr<State> state_;
};

// Drops the rows of directories that nobody has asked for since then, in small transactions. O(rows).
base::Status forget_stats(base::lmdb::Env& env, base::lmdb::GroupWriter& writer, base::WallTime used_before);

}  // namespace cairn::cache
