// SPDX-License-Identifier: Apache-2.0
#include "tools/engine/files.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <span>

#include "libbase/fs/beneath.h"
#include "libbase/read_full.h"
#include "tools/engine/find_record.h"
#include "tools/engine/message_fields.h"

namespace cairn::engine {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;

namespace {

constexpr std::size_t piece_bytes = 8u << 20;

Result<FilePiece> read_blob(Engine& engine, const BlobDigest& digest, std::uint64_t offset) {
  const auto blob = TRY(engine.cache().blobs().find(digest));
  if (!blob) return fail(ErrorCode::not_found, "blob {}: there is none in {}", digest, engine.root().str());
  FilePiece piece;
  piece.file_size = blob->size;
  if (offset >= blob->size) return piece;
  piece.bytes.resize(std::min<std::uint64_t>(piece_bytes, blob->size - offset));
  const auto source = TRY(engine.cache().blobs().open_range(digest, {offset, piece.bytes.size()}));
  const std::size_t got = TRY(base::read_full(*source, std::span<char>(piece.bytes)), "read blob {}", digest);
  if (got < piece.bytes.size()) return fail(ErrorCode::corrupt, "blob {}: it ends after {} bytes", digest, offset + got);
  return piece;
}

Result<FilePiece> read_file_of(Engine& engine, const cache::ImmutableRef& record, const FileOrder& order, std::stop_token stop) {
  TRY(engine.fetch(record, std::move(stop)));
  const snapshot::MountedTree tree = TRY(record.mount());
  const auto path = TRY(base::TreePath::parse(order.path), "{}", order.path);
  const base::Fd file = TRY(base::open_beneath(tree.fd(), path, O_RDONLY | O_NONBLOCK, 0, base::Follow::in_root), "open {} in record {}", order.path, record.id());
  struct ::stat stat{};
  if (::fstat(file.get(), &stat) != 0) return base::fail_errno(errno, "look at {}", order.path);
  if (!S_ISREG(stat.st_mode)) return fail(ErrorCode::invalid_argument, "{} in record {}: not a regular file", order.path, record.id());
  FilePiece piece;
  piece.file_size = static_cast<std::uint64_t>(stat.st_size);
  if (order.offset >= piece.file_size) return piece;
  piece.bytes.resize(std::min<std::uint64_t>(piece_bytes, piece.file_size - order.offset));
  const ssize_t got = ::pread(file.get(), piece.bytes.data(), piece.bytes.size(), static_cast<off_t>(order.offset));
  if (got <= 0) return base::fail_errno(got < 0 ? errno : EIO, "read {} in record {}", order.path, record.id());
  piece.bytes.resize(static_cast<std::size_t>(got));
  return piece;
}

}  // namespace

Result<FilePiece> run_order(Engine& engine, const FileOrder& order, std::stop_token stop) {
  if (const auto* blob = std::get_if<BlobDigest>(&order.of)) return read_blob(engine, *blob, order.offset);
  const auto* mount = std::get_if<KeyDigest>(&order.of);
  const cache::ImmutableRef record =
      mount != nullptr ? TRY(find_newest_version(engine, *mount)) : TRY(find_record(engine, std::get<cache::RecordId>(order.of).value()));
  return read_file_of(engine, record, order, std::move(stop));
}

Status with_tree(Engine& engine, const MountOrder& order, const UseTree& use, std::stop_token stop) {
  const cache::ImmutableRef record = TRY(find_record(engine, order.record));
  TRY(engine.fetch(record, stop));
  const snapshot::MountedTree tree = TRY(record.mount());
  // It will be attached where everybody sees it, and came from who knows where.
  struct ::mount_attr attributes {};
  attributes.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
  if (::mount_setattr(tree.fd(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0)
    return base::fail_errno(errno, "set the attributes of the mount of record {}", order.record);
  return use(tree.fd(), std::move(stop));
}

void wait_until_stopped(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any stopped;
  std::unique_lock lock(mutex);
  stopped.wait(lock, stop, [] { return false; });
}

Message encode(const FileOrder& order) {
  Message message = {{"path", bytes_of(order.path)}, {"offset", order.offset}};
  if (const auto* record = std::get_if<cache::RecordId>(&order.of)) message["record"] = record->value();
  if (const auto* mount = std::get_if<KeyDigest>(&order.of)) message["cache_mount"] = bytes_of(mount->raw());
  if (const auto* blob = std::get_if<BlobDigest>(&order.of)) message["blob"] = bytes_of(blob->raw());
  return message;
}

Result<FileOrder> decode_file_order(const Message& message) {
  FileOrder order;
  if (message.contains("blob")) order.of = TRY(BlobDigest::from_raw(TRY(take<std::string>(message, "blob"))));
  else if (message.contains("cache_mount")) order.of = TRY(KeyDigest::from_raw(TRY(take<std::string>(message, "cache_mount"))));
  else order.of = cache::RecordId(TRY(take<std::uint64_t>(message, "record")));
  order.path = TRY(take<std::string>(message, "path"));
  order.offset = TRY(take<std::uint64_t>(message, "offset"));
  return order;
}

Message encode(const FilePiece& piece) { return {{"bytes", bytes_of(piece.bytes)}, {"file_size", piece.file_size}}; }

Result<FilePiece> decode_file_piece(const Message& message) {
  FilePiece piece;
  piece.bytes = TRY(take<std::string>(message, "bytes"));
  piece.file_size = TRY(take<std::uint64_t>(message, "file_size"));
  return piece;
}

Message encode(const MountOrder& order) { return {{"record", order.record}}; }
Result<MountOrder> decode_mount_order(const Message& message) { return MountOrder{TRY(take<std::uint64_t>(message, "record"))}; }

}  // namespace cairn::engine
