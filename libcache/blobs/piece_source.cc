// SPDX-License-Identifier: Apache-2.0
#include "libcache/blobs/piece_source.h"

#include <algorithm>
#include <cstring>

#include "libbase/codec.h"
#include "libbase/compress/crc32c.h"
#include "libcache/blobs/blob_rows.h"
#include "libcache/blobs/positioned.h"

namespace cairn::cache {

using base::Result;
using base::Status;

PieceSource::PieceSource(base::Fd file, std::string sums, std::uint64_t size, ByteRange range)
    : file_(std::move(file)),
      sums_(std::move(sums)),
      size_(size),
      at_(range.offset),
      end_(range.offset + range.length) {}

Status PieceSource::read_pieces(std::uint64_t first, std::span<char> out) {
  const std::uint64_t begin = first * piece_bytes;
  if (TRY(read_at(file_.get(), begin, out.data(), out.size())) != out.size())
    return base::fail(base::ErrorCode::corrupt, "read blob: its file has been cut");
  if (sums_.empty()) return {};
  base::ByteReader sums(std::string_view(sums_).substr(static_cast<std::size_t>(first) * 4));
  for (std::size_t at = 0; at < out.size(); at += piece_bytes) {
    const auto piece = std::string_view(out.data(), out.size()).substr(at, piece_bytes);
    if (TRY(sums.u32()) != base::crc32c(piece))
      return base::fail(base::ErrorCode::corrupt, "read blob: bytes {} to {} have changed", begin + at,
                        begin + at + piece.size());
  }
  return {};
}

Status PieceSource::load(std::uint64_t piece) {
  buffer_.resize(static_cast<std::size_t>(std::min(piece_bytes, size_ - piece * piece_bytes)));
  TRY(read_pieces(piece, std::span(buffer_)));
  piece_ = piece;
  return {};
}

Result<std::size_t> PieceSource::read(std::span<std::byte> out) {
  std::size_t done = 0;
  while (done < out.size() && at_ < end_) {
    const std::size_t wanted = std::min(out.size() - done, static_cast<std::size_t>(end_ - at_));
    auto* const to = reinterpret_cast<char*>(out.data()) + done;
    // Pieces that are wanted whole go where they are wanted.
    if (const std::size_t whole = wanted - wanted % piece_bytes; whole > 0 && at_ % piece_bytes == 0) {
      TRY(read_pieces(at_ / piece_bytes, {to, whole}));
      done += whole;
      at_ += whole;
      continue;
    }
    if (piece_ != at_ / piece_bytes) TRY(load(at_ / piece_bytes));
    const auto from = static_cast<std::size_t>(at_ % piece_bytes);
    const std::size_t count = std::min(wanted, buffer_.size() - from);
    std::memcpy(to, buffer_.data() + from, count);
    done += count;
    at_ += count;
  }
  return done;
}

Result<std::size_t> WatchedSource::read(std::span<std::byte> out) {
  auto count = source_->read(out);
  if (!count && count.error().code == base::ErrorCode::corrupt) damaged_(count.error().message);
  return count;
}

Result<std::size_t> MemorySource::read(std::span<std::byte> out) {
  const std::size_t count = std::min(out.size(), bytes_.size() - at_);
  std::memcpy(out.data(), bytes_.data() + at_, count);
  at_ += count;
  return count;
}

}  // namespace cairn::cache
