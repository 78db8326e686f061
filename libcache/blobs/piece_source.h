// SPDX-License-Identifier: Apache-2.0
// Parts of blobs: of a file, each piece compared with its checksum before a byte of it is given out; of bytes in memory.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "libbase/compress/decoder.h"
#include "libbase/fs/fd.h"
#include "libcache/blob_store.h"

namespace cairn::cache {

class PieceSource final : public base::ByteSource {
 public:
  // sums: the CRC-32C of each piece of the file of `size` bytes, or empty: it has been compared as a whole. The range is
  // inside of it.
  PieceSource(base::Fd file, std::string sums, std::uint64_t size, ByteRange range);
  base::Result<std::size_t> read(std::span<std::byte> out) override;  // corrupt, io

 private:
  // Whole pieces of the file, compared. `out` has the bytes of them all.
  base::Status read_pieces(std::uint64_t first, std::span<char> out);
  base::Status load(std::uint64_t piece);

  base::Fd file_;
  std::string sums_;
  std::uint64_t size_, at_, end_;
  std::uint64_t piece_ = ~std::uint64_t{0};  // in buffer_
  std::string buffer_;
};

// Tells somebody that the source was found to be corrupt.
class WatchedSource final : public base::ByteSource {
 public:
  using Damaged = std::function<void(const std::string& why)>;
  WatchedSource(std::unique_ptr<base::ByteSource> source, Damaged damaged)
      : source_(std::move(source)), damaged_(std::move(damaged)) {}
  base::Result<std::size_t> read(std::span<std::byte> out) override;

 private:
  std::unique_ptr<base::ByteSource> source_;
  Damaged damaged_;
};

class MemorySource final : public base::ByteSource {
 public:
  MemorySource(std::string bytes, std::size_t from) : bytes_(std::move(bytes)), at_(from) {}
  base::Result<std::size_t> read(std::span<std::byte> out) override;

 private:
  std::string bytes_;
  std::size_t at_;
};

}  // namespace cairn::cache
