// SPDX-License-Identifier: Apache-2.0
#include "libcache/cache.h"
#include "libserve/grpc/byte_stream.h"

namespace cairn::serve {

using base::ErrorCode;
using base::Status;

namespace {

// A blob on its way in. Each message is taken in on a worker before the next one is asked for. A stream that breaks off
// is kept.
class Writing final : public grpc::ServerReadReactor<bytestream::WriteRequest> {
 public:
  Writing(GrpcContext& context, const grpc::CallbackServerContext& call, Uploads& uploads,
          bytestream::WriteResponse& response)
      : context_(context), call_(call), uploads_(uploads), response_(response) {
    uploads_.sweep();
    StartRead(&request_);
  }
  void OnReadDone(bool ok) override {
    const Status taken =
        context_.workers.submit([this, ok](std::stop_token) { ok ? take_message() : end_of_stream(); });
    if (!taken) end(to_status(taken.error()));
  }
  void OnDone() override { delete this; }

 private:
  void end(const grpc::Status& status) {
    if (upload_) uploads_.ended(text_);
    upload_.reset();
    Finish(status);
  }

  void take_message() {
    if (text_.empty()) {
      if (!begin()) return;
    } else if (!request_.resource_name().empty() && request_.resource_name() != text_) {
      return end(invalid("the resource name changed in the middle"));
    }
    if (request_.write_offset() != static_cast<std::int64_t>(upload_->received))
      return end(
          invalid(fmt::format("an offset of {} where {} bytes have come", request_.write_offset(), upload_->received)));
    const Status written = write();
    if (!written) return end(to_status(written.error()));
    if (request_.finish_write()) return finish_blob();
    StartRead(&request_);
  }

  Status write() {
    const std::string& data = request_.data();
    const bool plain = name_.compression == base::Compression::none;
    if (plain && upload_->received + data.size() > name_.blob.size)
      return base::fail(ErrorCode::invalid_argument, "blob {}: more bytes came than the {} that were said",
                        name_.blob.digest, name_.blob.size);
    TRY(upload_->receiver->write(data));
    upload_->received += data.size();
    uploads_.begun(text_, upload_->received);
    return {};
  }

  // False: the call has its answer.
  bool begin() {
    if (request_.resource_name().empty()) return end(invalid("the first message has no resource name")), false;
    auto name = parse_write_name(request_.resource_name());
    if (!name) return end(to_status(name.error())), false;
    const Admission admitted = context_.admit(call_, Rpc::write, name->instance);
    if (!admitted) return end(admitted.error()), false;
    store_.emplace(*admitted);
    Intake& intake = admitted->intake;
    text_ = request_.resource_name();
    name_ = std::move(*name);
    if (name_.blob.size > intake.body_max)
      return end(invalid(fmt::format("a blob of {} bytes: {} are the most", name_.blob.size, intake.body_max))), false;
    // Nothing has to be sent twice.
    if (promise_if_there(*admitted, name_.blob)) {
      response_.set_committed_size(
          name_.compression == base::Compression::none ? static_cast<std::int64_t>(name_.blob.size) : -1);
      return end(grpc::Status::OK), false;
    }
    upload_ = request_.write_offset() == 0 ? std::nullopt : uploads_.take(text_);
    if (upload_) return true;
    if (const Status room = expect_room(intake, name_.blob.size); !room) return end(to_status(room.error())), false;
    auto receiver = make_receiver(intake, admitted->viewer.space, name_.compression, name_.blob.size, name_.blob.digest);
    if (!receiver) return end(to_status(receiver.error())), false;
    upload_ = Upload{std::move(*receiver), 0};
    return true;
  }

  void finish_blob() {
    if (name_.compression == base::Compression::none && upload_->received != name_.blob.size)
      return end(invalid(fmt::format("blob {}: {} bytes came where {} were said", name_.blob.digest, upload_->received,
                                     name_.blob.size)));
    const auto put = upload_->receiver->finish();
    if (!put) return end(to_status(put.error()));
    store_->entries.uploaded(name_.blob.digest);
    response_.set_committed_size(static_cast<std::int64_t>(upload_->received));
    context_.waits.add(put->sequence,
                       [this](const Status& durable) { end(durable ? grpc::Status::OK : to_status(durable.error())); });
  }

  // Without finish_write: it was cut off, or the client forgot.
  void end_of_stream() {
    if (!upload_) return end(invalid("a stream without a message"));
    uploads_.keep(text_, std::move(*upload_));
    end(invalid("the stream ended without finish_write"));
  }

  GrpcContext& context_;
  const grpc::CallbackServerContext& call_;
  Uploads& uploads_;
  std::optional<Admitted> store_;
  bytestream::WriteRequest request_;
  bytestream::WriteResponse& response_;
  std::string text_;  // the name as it came
  ResourceName name_;
  std::optional<Upload> upload_;
};

}  // namespace

grpc::ServerReadReactor<bytestream::WriteRequest>* ByteStreamService::Write(Call* call,
                                                                            bytestream::WriteResponse* response) {
  return new Writing(context_, *call, uploads_, *response);
}

grpc::ServerUnaryReactor* ByteStreamService::QueryWriteStatus(Call* call,
                                                              const bytestream::QueryWriteStatusRequest* request,
                                                              bytestream::QueryWriteStatusResponse* response) {
  grpc::ServerUnaryReactor* const reactor = call->DefaultReactor();
  const auto name = parse_write_name(request->resource_name());
  if (!name) return finish(reactor, to_status(name.error()));
  const Admission admitted = context_.admit(*call, Rpc::query_write_status, name->instance);
  if (!admitted) return finish(reactor, admitted.error());
  const bool complete = promise_if_there(*admitted, name->blob);
  response->set_complete(complete);
  response->set_committed_size(
      complete ? static_cast<std::int64_t>(name->blob.size)
               : static_cast<std::int64_t>(uploads_.received(request->resource_name()).value_or(0)));
  return finish(reactor, grpc::Status::OK);
}

}  // namespace cairn::serve
