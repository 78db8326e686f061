// SPDX-License-Identifier: Apache-2.0
// Reads a tar archive member by member. The only door to libarchive, and only to its tar reader: decompression is
// ours, and writing to disk is the extractor's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "libbase/result.h"
#include "libsnapshot/tar/tar_entry.h"

namespace cairn::snapshot {

// Where an archive comes from, a block after the other; empty at the end. A block is good until the next call.
using BlockSource = std::function<base::Result<std::span<const char>>()>;

// Not thread-safe. Errors of the source come back as they are; those of the archive are corrupt or invalid_argument.
class TarReader {
 public:
  // The source gives the uncompressed bytes.
  static base::Result<std::unique_ptr<TarReader>> open(BlockSource source);
  ~TarReader();

  // The next member, or nullopt at the end. Data of the previous one that was not read is skipped.
  base::Result<std::optional<TarEntry>> next();

  struct Block {
    std::span<const char> bytes;  // valid until the next call
    std::uint64_t offset = 0;     // in the file; what lies between blocks is a hole
  };
  // The next piece of the current member's data, or nullopt at its end.
  base::Result<std::optional<Block>> read_block();

 private:
  struct State;
  explicit TarReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace cairn::snapshot
