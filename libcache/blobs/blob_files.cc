// SPDX-License-Identifier: Apache-2.0
#include "libcache/blobs/blob_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "libbase/codec.h"
#include "libbase/compress/crc32c.h"
#include "libbase/crash_point.h"
#include "libcache/blobs/blob_rows.h"
#include "libcache/blobs/verified_source.h"

namespace cairn::cache {

using base::Fd;
using base::HostPath;
using base::Result;
using base::Status;

namespace {

constexpr std::size_t chunk_bytes = 1u << 20;
constexpr std::size_t chunks_waiting_max = 4;

HostPath shard_path(const HostPath& root, const BlobDigest& digest) {
  return root / ("blobs/sha256/" + digest.hex().substr(0, 2));
}

Status sync_directory(const HostPath& path) {
  const Fd dir = TRY(base::open_host_dir(path));
  return base::sync_file(dir.get());
}

// Creates the directory of the blob's file. Its own name must last as long as the files in it.
Status make_shard(const HostPath& root, const BlobDigest& digest) {
  const HostPath shard = shard_path(root, digest);
  if (::mkdir(shard.c_str(), 0755) != 0) {
    if (errno == EEXIST) return {};
    return base::fail_errno(errno, "create {}", shard.str());
  }
  return sync_directory(root / "blobs/sha256");
}

std::string name_of_descriptor(const Fd& fd) { return fmt::format("/proc/self/fd/{}", fd.get()); }

Status link_unnamed(const Fd& data, const HostPath& to) {
  if (::linkat(AT_FDCWD, name_of_descriptor(data).c_str(), AT_FDCWD, to.c_str(), AT_SYMLINK_FOLLOW) == 0) return {};
  return base::fail_errno(errno, "link {}", to.str());
}

Result<bool> holds_blob(const HostPath& path, const BlobDigest& digest) {
  const Fd file = TRY(base::open_host(path, O_RDONLY | O_NOFOLLOW));
  const BlobDigest found = TRY(digest_file(file.get()));
  if (found != digest) return false;
  TRY(base::sync_data(file.get()));  // whoever linked it may have died before it was durable
  return true;
}

}  // namespace

HostPath blob_path(const HostPath& root, const BlobDigest& digest) { return shard_path(root, digest) / digest.hex(); }

Result<BlobFile> BlobFile::begin(const HostPath& root) {
  return BlobFile(root, TRY(base::open_host(root / "tmp", O_TMPFILE | O_RDWR, 0644)));
}

Status BlobFile::write(std::string_view bytes) {
  hash_.update(bytes);
  return keep(bytes);
}

Status BlobFile::write_rest(base::ByteSource& source) {
  BlobFileFeed feed(*this);
  TRY(feed.read_rest(source));
  return feed.finish();
}

Status BlobFile::keep(std::string_view bytes) {
  TRY(base::write_full(data_.get(), bytes));
  while (!bytes.empty()) {
    const std::size_t left = piece_bytes - static_cast<std::size_t>(size_ % piece_bytes);
    const std::string_view piece = bytes.substr(0, left);
    piece_sum_ = base::crc32c(piece, piece_sum_);
    size_ += piece.size();
    bytes.remove_prefix(piece.size());
    if (size_ % piece_bytes != 0) break;
    sums_ += base::ByteWriter().u32(piece_sum_).take();
    piece_sum_ = 0;
  }
  writeback_.wrote(data_.get(), size_);
  return {};
}

std::string BlobFile::checksums() {
  if (size_ % piece_bytes != 0) return sums_ + base::ByteWriter().u32(piece_sum_).take();
  return sums_;
}

Result<std::int64_t> BlobFile::place(const BlobDigest& digest, bool replaces) {
  TRY(base::sync_data(data_.get()));  // I1: durable before it has a name, named before it has a row
  TRY(link(digest, replaces));
  TRY(sync_directory(shard_path(root_, digest)));
  CRASH_POINT("cache.blob.linked");
  const auto stat = TRY(base::stat_fd(data_.get()));
  return std::int64_t{stat.st_blocks} * 512;
}

Status BlobFile::link(const BlobDigest& digest, bool replaces) {
  TRY(make_shard(root_, digest));
  const HostPath path = blob_path(root_, digest);
  if (link_unnamed(data_, path)) return {};
  struct ::stat stat {};
  if (::lstat(path.c_str(), &stat) != 0) return link_unnamed(data_, path);  // not because of a file there: say why
  // Left by a crash between the link and the row, or by a collector that has not come to it yet.
  if (!replaces && S_ISREG(stat.st_mode) && static_cast<std::uint64_t>(stat.st_size) == size_) {
    const bool good = TRY(holds_blob(path, digest));
    if (good) return {};
  }
  const HostPath replacement = root_ / ("tmp/blob-" + digest.hex());
  ::unlink(replacement.c_str());
  TRY(link_unnamed(data_, replacement));
  if (::rename(replacement.c_str(), path.c_str()) != 0) return base::fail_errno(errno, "replace {}", path.str());
  return {};
}

BlobFileFeed::BlobFileFeed(BlobFile& file) : file_(file), pipe_(chunk_bytes, chunks_waiting_max) {}

BlobFileFeed::~BlobFileFeed() {
  if (keeping_.joinable()) pipe_.end({});
}

Status BlobFileFeed::write(std::string_view bytes) {
  while (!bytes.empty()) {
    if (!filling_) filling_ = pipe_.fresh();
    const std::span<std::byte> room = filling_->room();
    const std::string_view part = bytes.substr(0, room.size());
    std::memcpy(room.data(), part.data(), part.size());
    file_.hash_.update(part);  // while the processor still has it at hand
    filling_->size += part.size();
    bytes.remove_prefix(part.size());
    if (filling_->room().empty()) TRY(put(*std::exchange(filling_, std::nullopt)));
  }
  return {};
}

Status BlobFileFeed::read_rest(base::ByteSource& source) {
  if (filling_) TRY(put(*std::exchange(filling_, std::nullopt)));
  for (;;) {
    base::PipeChunk chunk = TRY(pipe_.read(source));
    file_.hash_.update(chunk.filled());
    if (chunk.size < chunk.capacity) {
      filling_ = std::move(chunk);
      return {};
    }
    TRY(put(std::move(chunk)));
  }
}

Status BlobFileFeed::put(base::PipeChunk chunk) {
  if (!keeping_.joinable()) {
    keeping_ = std::jthread([this] {
      kept_ = keep_all();
      if (!kept_) pipe_.close(kept_.error());
    });
  }
  return pipe_.put(std::move(chunk));
}

Status BlobFileFeed::keep_all() {
  while (auto chunk = TRY(pipe_.take())) {
    TRY(file_.keep(chunk->text()));
    pipe_.give_back(std::move(*chunk));
  }
  return {};
}

Status BlobFileFeed::finish() {
  pipe_.end({});
  if (keeping_.joinable()) keeping_.join();
  TRY(kept_);
  return filling_ ? file_.keep(std::exchange(filling_, std::nullopt)->text()) : Status();
}

Status move_blob_away(const HostPath& root, const BlobDigest& digest) {
  const HostPath doomed = root / ("tmp/dead-" + digest.hex());
  if (::rename(blob_path(root, digest).c_str(), doomed.c_str()) == 0 || errno == ENOENT) return {};
  return base::fail_errno(errno, "delete blob {}", digest);
}

Status delete_moved_blob(const HostPath& root, const BlobDigest& digest) {
  const HostPath doomed = root / ("tmp/dead-" + digest.hex());
  if (::unlink(doomed.c_str()) == 0 || errno == ENOENT) return {};
  return base::fail_errno(errno, "delete blob {}", digest);
}

}  // namespace cairn::cache
