// SPDX-License-Identifier: Apache-2.0
// Deflates one block of a gzip stream, so that blocks can be compressed beside each other. For the files of this room.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace cairn::base {

// Not thread-safe; kept for its tables and used for one block after the other.
class BlockDeflater {
 public:
  virtual ~BlockDeflater() = default;
  // Raw deflate data that ends on a whole byte and is not the last of its stream. It refers to nothing before it.
  virtual void deflate(std::string_view block, std::string& out) = 0;
};

// Level as in decoder.h: isa-l up to 5, zlib from 6 on.
std::unique_ptr<BlockDeflater> make_block_deflater(int level);

std::uint32_t crc32_of(std::string_view block);
// Of two pieces in a row, the second `size` bytes long.
std::uint32_t crc32_joined(std::uint32_t first, std::uint32_t second, std::uint64_t size);

}  // namespace cairn::base
