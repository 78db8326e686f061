// SPDX-License-Identifier: Apache-2.0
#include "libbase/read_full.h"
#include "libcache/cache.h"
#include "libserve/grpc/byte_stream.h"

namespace cairn::serve {

using base::ErrorCode;
using base::Result;
using base::Status;

namespace {

constexpr std::size_t piece_bytes = 1024 * 1024;

// A blob on its way out. Each piece is read on a worker, and sent before the next one is read.
class Reading final : public grpc::ServerWriteReactor<bytestream::ReadResponse> {
 public:
  Reading(GrpcContext& context, const Admitted& store, const ResourceName& name, const bytestream::ReadRequest& request)
      : context_(context), store_(store) {
    begin(name, request);
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::CANCELLED);
    go_on();
  }
  void OnDone() override { delete this; }

 private:
  void begin(const ResourceName& name, const bytestream::ReadRequest& request) {
    if (open(name, request)) return go_on();
    cache::Tiers* const tiers = store_.blob_tiers();
    if (tiers == nullptr || !std::exchange(is_missing_, false)) return Finish(*refused_);
    tiers->fetch_blob(name.blob, [this, name, request](cache::TierAnswer said) {
      if (said != cache::TierAnswer::found) return Finish(*refused_);
      begin(name, request);
    });
  }

  bool refuse(grpc::Status status) {
    refused_ = std::move(status);
    return false;
  }

  bool open(const ResourceName& name, const bytestream::ReadRequest& request) {
    const auto size = static_cast<std::int64_t>(name.blob.size);
    const std::int64_t offset = request.read_offset(), limit = request.read_limit();
    if (offset < 0 || offset > size)
      return refuse({grpc::StatusCode::OUT_OF_RANGE, fmt::format("an offset of {} in {} bytes", offset, size)});
    if (limit < 0) return refuse({grpc::StatusCode::INVALID_ARGUMENT, fmt::format("a limit of {} bytes", limit)});
    const bool packed = name.compression == base::Compression::zstd;
    if (packed && limit != 0) return refuse(invalid("a limit is not for a blob that is sent compressed"));
    cache::BlobStore& blobs = store_.blobs;
    if (!is_there(blobs, name.blob)) {
      is_missing_ = !refused_;
      return refuse(
          {grpc::StatusCode::NOT_FOUND, fmt::format("blob {} of {} bytes is not there", name.blob.digest, size)});
    }
    if (packed)
      encoder_ = base::make_encoder(
          base::Compression::zstd,
          [this](std::string_view bytes) { return response_.mutable_data()->append(bytes), Status(); }, 1);
    left_ = static_cast<std::uint64_t>(limit == 0 ? size - offset : std::min(limit, size - offset));
    if (left_ == 0) return true;
    auto source = offset == 0 && limit == 0
                      ? blobs.open(name.blob.digest)
                      : blobs.open_range(name.blob.digest, {static_cast<std::uint64_t>(offset), left_});
    if (!source) return refuse(read_failed(source.error()));
    source_ = std::move(*source);
    return true;
  }

  // What is damaged has become a miss.
  static grpc::Status read_failed(const base::Error& error) {
    return error.code == ErrorCode::corrupt ? grpc::Status(grpc::StatusCode::NOT_FOUND, error.message)
                                            : to_status(error);
  }

  void go_on() {
    if (left_ == 0 && !encoder_) return Finish(grpc::Status::OK);
    const Status taken = context_.workers.submit([this](std::stop_token) { send_piece(); });
    if (!taken) Finish(to_status(taken.error()));
  }

  void send_piece() {
    response_.mutable_data()->clear();
    const Status filled = encoder_ ? fill_packed() : fill();
    if (!filled) return Finish(read_failed(filled.error()));
    StartWrite(&response_);
  }

  Status fill() { return read_into(*response_.mutable_data(), std::min<std::uint64_t>(left_, piece_bytes)); }

  Status read_into(std::string& into, std::uint64_t count) {
    into.resize(static_cast<std::size_t>(count));
    if (TRY(base::read_full(*source_, std::span<char>(into))) < count)
      return base::fail(ErrorCode::corrupt, "the blob ends early");
    left_ -= count;
    // The end says whether the whole was what its name says.
    std::byte behind{};
    if (left_ == 0) TRY(source_->read(std::span(&behind, 1)));
    return {};
  }

  // As many pieces as give one that is worth sending; the last with the trailer.
  Status fill_packed() {
    std::string plain;
    while (left_ > 0 && response_.data().size() < piece_bytes / 2) {
      TRY(read_into(plain, std::min<std::uint64_t>(left_, piece_bytes)));
      TRY(encoder_->write(plain));
    }
    if (left_ > 0) return {};
    TRY(encoder_->finish());
    encoder_.reset();
    return {};
  }

  GrpcContext& context_;
  const Admitted store_;
  std::optional<grpc::Status> refused_;
  bool is_missing_ = false;  // and no tier has been asked for it
  std::unique_ptr<base::ByteSource> source_;
  std::unique_ptr<base::Encoder> encoder_;
  std::uint64_t left_ = 0;
  bytestream::ReadResponse response_;
};

}  // namespace

grpc::ServerWriteReactor<bytestream::ReadResponse>* ByteStreamService::Read(Call* call,
                                                                            const bytestream::ReadRequest* request) {
  const auto name = parse_read_name(request->resource_name());
  if (!name) return refuse_stream<bytestream::ReadResponse>(to_status(name.error()));
  const Admission admitted = context_.admit(*call, Rpc::read, name->instance);
  if (!admitted) return refuse_stream<bytestream::ReadResponse>(admitted.error());
  return new Reading(context_, *admitted, *name, *request);
}

}  // namespace cairn::serve
