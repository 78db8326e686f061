// SPDX-License-Identifier: Apache-2.0
#include "tools/engine/pins.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "libbase/fs/beneath.h"
#include "tools/engine/find_record.h"
#include "tools/engine/message_fields.h"

namespace cairn::engine {

using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

constexpr std::size_t piece_bytes = 8u << 20;

}  // namespace

Result<cache::LeaseId> run_order(Engine& engine, const PinOrder& order) {
  cache::Cache& cache = engine.cache();
  if (order.action == PinOrder::Action::release) {
    const auto leases = TRY(cache.leases());
    const bool is_pin = std::any_of(leases.begin(), leases.end(), [&](const cache::LeaseInfo& lease) {
      return lease.id == order.pin && lease.owner.starts_with(pin_owner);
    });
    if (!is_pin) return fail(ErrorCode::not_found, "pin {}: there is none", order.pin);
    TRY(cache.writer().wait_durable(TRY(cache.release_lease(order.pin))), "release pin {}", order.pin);
    return order.pin;
  }
  cache::LeaseRequest request{.owner = pin_owner + order.note, .expires = order.expires, .records = {}, .blobs = order.blobs};
  for (const std::uint64_t number : order.records) request.records.push_back(TRY(find_record(engine, number)));
  const cache::LeaseMade made = TRY(cache.create_lease(std::move(request)), "pin");
  TRY(cache.writer().wait_durable(made.sequence), "pin");
  return made.id;
}

Result<FilePiece> run_order(Engine& engine, const FileOrder& order, std::stop_token stop) {
  const cache::ImmutableRef record = TRY(find_record(engine, order.record));
  TRY(engine.fetch(record, std::move(stop)));
  const snapshot::MountedTree tree = TRY(record.mount());
  const auto path = TRY(base::TreePath::parse(order.path), "{}", order.path);
  const base::Fd file = TRY(base::open_beneath(tree.fd(), path, O_RDONLY | O_NONBLOCK), "open {} in record {}", order.path, order.record);
  struct ::stat stat{};
  if (::fstat(file.get(), &stat) != 0) return base::fail_errno(errno, "look at {}", order.path);
  if (!S_ISREG(stat.st_mode)) return fail(ErrorCode::invalid_argument, "{} in record {}: not a regular file", order.path, order.record);
  FilePiece piece;
  piece.file_size = static_cast<std::uint64_t>(stat.st_size);
  if (order.offset >= piece.file_size) return piece;
  piece.bytes.resize(std::min<std::uint64_t>(piece_bytes, piece.file_size - order.offset));
  const ssize_t got = ::pread(file.get(), piece.bytes.data(), piece.bytes.size(), static_cast<off_t>(order.offset));
  if (got <= 0) return base::fail_errno(got < 0 ? errno : EIO, "read {} in record {}", order.path, order.record);
  piece.bytes.resize(static_cast<std::size_t>(got));
  return piece;
}

Message encode(const PinOrder& order) {
  Message records = Message::array(), blobs = Message::array();
  for (const std::uint64_t record : order.records) records.push_back({{"record", record}});
  for (const BlobDigest& blob : order.blobs) blobs.push_back({{"blob", bytes_of(blob.raw())}});
  Message message = {{"action", static_cast<int>(order.action)}, {"records", std::move(records)}, {"blobs", std::move(blobs)},
                     {"note", bytes_of(order.note)}, {"pin", order.pin.value()}};
  if (order.expires) message["expires"] = base::to_unix_ns(*order.expires);
  return message;
}

Result<PinOrder> decode_pin_order(const Message& message) {
  PinOrder order;
  const auto action = TRY(take<std::uint8_t>(message, "action"));
  if (action > static_cast<std::uint8_t>(PinOrder::Action::release)) return fail(ErrorCode::corrupt, "message with a strange \"action\"");
  order.action = static_cast<PinOrder::Action>(action);
  for (const Message& entry : *TRY(take_array(message, "records"))) order.records.push_back(TRY(take<std::uint64_t>(entry, "record")));
  for (const Message& entry : *TRY(take_array(message, "blobs"))) {
    const std::string raw = TRY(take<std::string>(entry, "blob"));
    order.blobs.push_back(TRY(BlobDigest::from_raw(raw)));
  }
  order.note = TRY(take<std::string>(message, "note"));
  order.pin = cache::LeaseId(TRY(take<std::uint64_t>(message, "pin")));
  if (message.contains("expires")) order.expires = base::from_unix_ns(TRY(take<std::int64_t>(message, "expires")));
  return order;
}

Message encode(const FileOrder& order) {
  return {{"record", order.record}, {"path", bytes_of(order.path)}, {"offset", order.offset}};
}

Result<FileOrder> decode_file_order(const Message& message) {
  FileOrder order;
  order.record = TRY(take<std::uint64_t>(message, "record"));
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

Message encode_pin(cache::LeaseId pin) { return {{"pin", pin.value()}}; }
Result<cache::LeaseId> decode_pin(const Message& message) { return cache::LeaseId(TRY(take<std::uint64_t>(message, "pin"))); }

}  // namespace cairn::engine
