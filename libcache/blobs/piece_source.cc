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
    : file_(std::move(file)), sums_(std::move(sums)), size_(size), at_(range.offset), end_(range.offset + range.length) {}

Status PieceSource::load(std::uint64_t piece) {
  const std::uint64_t begin = piece * piece_bytes;
  buffer_.resize(static_cast<std::size_t>(std::min(piece_bytes, size_ - begin)));
  const std::size_t count = TRY(read_at(file_.get(), begin, buffer_.data(), buffer_.size()));
  if (count != buffer_.size()) return base::fail(base::ErrorCode::corrupt, "read blob: its file has been cut");
  if (!sums_.empty()) {
    base::ByteReader reader(std::string_view(sums_).substr(static_cast<std::size_t>(piece) * 4));
    if (TRY(reader.u32()) != base::crc32c(buffer_))
      return base::fail(base::ErrorCode::corrupt, "read blob: bytes {} to {} have changed", begin, begin + count);
  }
  piece_ = piece;
  return {};
}

Result<std::size_t> PieceSource::read(std::span<std::byte> out) {
  std::size_t done = 0;
  while (done < out.size() && at_ < end_) {
    if (piece_ != at_ / piece_bytes) TRY(load(at_ / piece_bytes));
    const auto from = static_cast<std::size_t>(at_ % piece_bytes);
    const std::size_t count = std::min({out.size() - done, buffer_.size() - from, static_cast<std::size_t>(end_ - at_)});
    std::memcpy(out.data() + done, buffer_.data() + from, count);
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
