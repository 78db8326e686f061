// SPDX-License-Identifier: Apache-2.0
#include "libremote/reapi/streams.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include "libbase/read_full.h"
#include "libremote/bodies/bodies.h"

namespace cairn::remote {

using base::Compression;
using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;
using cache::SizedBlob;
using cache::TierCall;

namespace {

constexpr std::size_t piece_bytes = 256 << 10;
constexpr int zstd_level = 1;  // a network is quick, too

std::string path_of(const SizedBlob& blob, Compression compression) {
  return fmt::format("{}/{}/{}", compression == Compression::zstd ? "compressed-blobs/zstd" : "blobs",
                     blob.digest.hex(), blob.size);
}

std::string below(const std::string& instance, const std::string& name) {
  return instance.empty() ? name : instance + "/" + name;
}

// Of an upload: any that no other has.
std::string make_uuid() {
  std::random_device random;
  const auto word = [&] { return random() & 0xffffu; };
  return fmt::format("{:04x}{:04x}-{:04x}-4{:03x}-{:04x}-{:04x}{:04x}{:04x}", word(), word(), word(), word() & 0xfffu,
                     0x8000u | (word() & 0x3fffu), word(), word(), word());
}

class Arriving final : public base::ByteSource {
 public:
  Arriving(Peer& peer, const std::string& resource, TierCall call)
      : peer_(peer), call_(std::move(call)), one_(call_, peer.authorization()) {
    bytestream::ReadRequest request;
    request.set_resource_name(resource);
    reader_ = peer_.streams().Read(one_.context(), request);
  }
  ~Arriving() override {
    if (ended_) return;
    one_.context()->TryCancel();
    (void)reader_->Finish();
  }

  // Waits for the first message. False: there is no such blob.
  Result<bool> begin() {
    const auto more = next();
    if (more) return true;
    if (status_.error_code() == grpc::StatusCode::NOT_FOUND) return false;
    return tl::unexpected(more.error());
  }

  Result<std::size_t> read(std::span<std::byte> out) override {
    while (at_ == message_.data().size()) {
      if (ended_ && status_.ok()) return std::size_t{0};
      TRY(next());
    }
    const std::size_t count = std::min(out.size(), message_.data().size() - at_);
    std::memcpy(out.data(), message_.data().data() + at_, count);
    at_ += count;
    return count;
  }

 private:
  // Ok: a message, or the end.
  Status next() {
    if (!ended_) {
      at_ = 0;
      message_.mutable_data()->clear();
      if (reader_->Read(&message_)) return {};
      message_.mutable_data()->clear();
      ended_ = true;
      status_ = reader_->Finish();
    }
    if (status_.ok()) return {};
    return tl::unexpected(peer_.error_of(status_, call_, "read a blob"));
  }

  Peer& peer_;
  const TierCall call_;
  PeerCall one_;
  std::unique_ptr<grpc::ClientReader<bytestream::ReadResponse>> reader_;
  bytestream::ReadResponse message_;
  std::size_t at_ = 0;
  bool ended_ = false;
  grpc::Status status_;
};

// A blob on its way out, put together into messages.
class Leaving {
 public:
  Leaving(Peer& peer, std::string resource, const TierCall& call)
      : peer_(peer), call_(call), one_(call, peer.authorization()) {
    message_.set_resource_name(std::move(resource));
    message_.mutable_data()->reserve(piece_bytes);
    writer_ = peer_.streams().Write(one_.context(), &response_);
  }
  ~Leaving() {
    if (ended_) return;
    one_.context()->TryCancel();
    (void)writer_->Finish();
  }

  // The server has said something already: that it has the blob, or why it does not take it.
  bool is_answered() const { return answered_; }

  void add(std::string_view bytes) {
    while (!bytes.empty() && !answered_) {
      std::string& data = *message_.mutable_data();
      const std::size_t count = std::min(bytes.size(), piece_bytes - data.size());
      data.append(bytes.substr(0, count));
      bytes.remove_prefix(count);
      if (data.size() == piece_bytes) send();
    }
  }

  Status finish(const SizedBlob& blob) {
    message_.set_finish_write(true);
    if (!answered_) send();
    ended_ = true;
    writer_->WritesDone();
    const grpc::Status status = writer_->Finish();
    if (!status.ok()) return tl::unexpected(peer_.error_of(status, call_, fmt::format("put {}", blob.digest)));
    // -1 is said of compressed ones that it has already.
    const std::int64_t taken = response_.committed_size();
    const bool is_whole = taken == -1 || taken == static_cast<std::int64_t>(blob.size) ||
                          (!answered_ && taken == message_.write_offset());
    if (is_whole) return {};
    return fail(ErrorCode::io, "{}: put {}: it took {} bytes of {}", peer_.name(), blob.digest, taken, blob.size);
  }

 private:
  void send() {
    answered_ = !writer_->Write(message_);
    message_.set_write_offset(message_.write_offset() + static_cast<std::int64_t>(message_.data().size()));
    message_.clear_resource_name();
    message_.mutable_data()->clear();
  }

  Peer& peer_;
  const TierCall& call_;
  PeerCall one_;
  bytestream::WriteRequest message_;
  bytestream::WriteResponse response_;
  std::unique_ptr<grpc::ClientWriter<bytestream::WriteRequest>> writer_;
  bool answered_ = false, ended_ = false;
};

Result<std::string_view> next_piece(base::ByteSource& source, std::span<char> room) {
  return std::string_view(room.data(), TRY(base::read_full(source, room)));
}

bool pays(std::string_view first_bytes) {
  const auto packed = base::compress(Compression::zstd, first_bytes, zstd_level);
  return packed && packed->size() < first_bytes.size() / 10 * 9;
}

}  // namespace

Result<std::unique_ptr<base::ByteSource>> read_stream(Peer& peer, const SizedBlob& blob, Compression compression,
                                                      const TierCall& call) {
  auto arriving =
      std::make_unique<Arriving>(peer, below(peer.instance_of_blobs(call), path_of(blob, compression)), call);
  if (!TRY(arriving->begin())) return nullptr;
  std::unique_ptr<base::ByteSource> bytes = std::move(arriving);
  // Who ends it at the right size is the one below, by the error of a tier.
  if (compression != Compression::none) bytes = base::make_decoder(compression, std::move(bytes), ~std::uint64_t{0});
  return std::make_unique<SizedBody>(std::move(bytes), blob.size, fmt::format("{}: blob {}", peer.name(), blob.digest));
}

Status write_stream(Peer& peer, const SizedBlob& blob, base::ByteSource& source, Compression compression,
                    const TierCall& call) {
  const auto wrong_size = [&](std::string_view what) {
    return fail(ErrorCode::corrupt, "{}: put {}: what is to be sent {} the {} bytes that were said", peer.name(),
                blob.digest, what, blob.size);
  };
  std::vector<char> buffer(piece_bytes);
  std::string_view piece = TRY(next_piece(source, buffer));
  if (compression == Compression::zstd && !pays(piece)) compression = Compression::none;
  Leaving leaving(
      peer, below(peer.instance_of_blobs(call), "uploads/" + make_uuid() + "/" + path_of(blob, compression)), call);
  const auto encoder = base::make_encoder(
      compression, [&](std::string_view bytes) { return leaving.add(bytes), Status(); }, zstd_level);
  std::uint64_t left = blob.size;
  while (!piece.empty() && !leaving.is_answered()) {
    if (piece.size() > left) return wrong_size("has more than");
    left -= piece.size();
    TRY(encoder->write(piece));
    piece = TRY(next_piece(source, buffer));
  }
  if (!leaving.is_answered()) {
    if (left > 0) return wrong_size("ends before");
    TRY(encoder->finish());
  }
  return leaving.finish(blob);
}

}  // namespace cairn::remote
