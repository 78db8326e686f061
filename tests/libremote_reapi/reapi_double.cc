// SPDX-License-Identifier: Apache-2.0
#include "tests/libremote_reapi/reapi_double.h"

#include <chrono>
#include <thread>

#include "libbase/compress/decoder.h"

namespace cairn::test {

using grpc::Status;
using grpc::StatusCode;

struct DoubleServices final : reapi::Capabilities::Service,
                              reapi::ContentAddressableStorage::Service,
                              reapi::ActionCache::Service,
                              bytestream::ByteStream::Service {
  explicit DoubleServices(ReapiDouble& owner_in) : owner(owner_in) {}

  // What becomes of a call before it is looked at.
  Status begin(const grpc::ServerContext& context, const std::string& instance) {
    {
      auto state = owner.state_.lock();
      state->seen.instances.push_back(instance);
      const auto shown = context.client_metadata().find("authorization");
      state->seen.authorizations.emplace_back(
          shown == context.client_metadata().end() ? "" : std::string(shown->second.data(), shown->second.size()));
    }
    if (owner.ailment == Ailment::black_hole) return hang(context);
    return owner.ailment == Ailment::refuses ? owner.status : Status::OK;
  }
  Status hang(const grpc::ServerContext& context) const {
    while (!context.IsCancelled() && !owner.stopping_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return {StatusCode::INTERNAL, "it was a black hole"};
  }
  static std::string path_of(const reapi::Digest& digest) {
    return digest.hash() + "/" + std::to_string(digest.size_bytes());
  }
  static google::rpc::Status rpc_status(StatusCode code) {
    google::rpc::Status status;
    status.set_code(code);
    return status;
  }
  // The bytes as this one gives them; nullptr: none.
  std::unique_ptr<std::string> bytes_of(const std::string& path) {
    auto state = owner.state_.lock();
    const auto found = state->blobs.find(path);
    if (found == state->blobs.end() || owner.ailment == Ailment::forgets) return nullptr;
    auto bytes = std::make_unique<std::string>(found->second);
    if (owner.ailment == Ailment::wrong_bytes) bytes->front() = static_cast<char>(bytes->front() ^ 1);
    if (owner.ailment == Ailment::cut_off) bytes->resize(bytes->size() / 2);
    if (owner.ailment == Ailment::endless) *bytes += *bytes;
    return bytes;
  }

  Status GetCapabilities(grpc::ServerContext* context, const reapi::GetCapabilitiesRequest* request,
                         reapi::ServerCapabilities* response) override {
    ++owner.state_.lock()->seen.capabilities;
    if (const Status begun = begin(*context, request->instance_name()); !begun.ok()) return begun;
    *response = owner.said;
    return owner.capabilities_status;
  }

  Status FindMissingBlobs(grpc::ServerContext* context, const reapi::FindMissingBlobsRequest* request,
                          reapi::FindMissingBlobsResponse* response) override {
    if (const Status begun = begin(*context, request->instance_name()); !begun.ok()) return begun;
    auto state = owner.state_.lock();
    for (const reapi::Digest& digest : request->blob_digests())
      if (owner.ailment != Ailment::forgets && !state->blobs.contains(path_of(digest)))
        *response->add_missing_blob_digests() = digest;
    return Status::OK;
  }

  Status BatchUpdateBlobs(grpc::ServerContext* context, const reapi::BatchUpdateBlobsRequest* request,
                          reapi::BatchUpdateBlobsResponse* response) override {
    if (const Status begun = begin(*context, request->instance_name()); !begun.ok()) return begun;
    auto state = owner.state_.lock();
    ++state->seen.batches_in;
    for (const auto& each : request->requests()) {
      if (owner.ailment == Ailment::says_little) continue;
      state->blobs[path_of(each.digest())] = each.data();
      *response->add_responses()->mutable_digest() = each.digest();
    }
    return Status::OK;
  }

  Status BatchReadBlobs(grpc::ServerContext* context, const reapi::BatchReadBlobsRequest* request,
                        reapi::BatchReadBlobsResponse* response) override {
    if (const Status begun = begin(*context, request->instance_name()); !begun.ok()) return begun;
    if (owner.ailment == Ailment::slow_drip) return hang(*context);
    ++owner.state_.lock()->seen.batches_out;
    for (const reapi::Digest& digest : request->digests()) {
      if (owner.ailment == Ailment::says_little) continue;
      auto* const answer = response->add_responses();
      *answer->mutable_digest() = digest;
      const auto bytes = bytes_of(path_of(digest));
      if (bytes) answer->set_data(*bytes);
      if (!bytes) *answer->mutable_status() = rpc_status(StatusCode::NOT_FOUND);
    }
    return Status::OK;
  }

  Status GetActionResult(grpc::ServerContext* context, const reapi::GetActionResultRequest* request,
                         reapi::ActionResult* response) override {
    if (const Status begun = begin(*context, request->instance_name()); !begun.ok()) return begun;
    auto state = owner.state_.lock();
    const auto found = state->results.find(request->instance_name() + "/" + request->action_digest().hash());
    if (found == state->results.end()) return {StatusCode::NOT_FOUND, "no such result"};
    response->ParseFromString(found->second);
    return Status::OK;
  }

  Status UpdateActionResult(grpc::ServerContext* context, const reapi::UpdateActionResultRequest* request,
                            reapi::ActionResult* response) override {
    if (const Status begun = begin(*context, request->instance_name()); !begun.ok()) return begun;
    owner.state_.lock()->results[request->instance_name() + "/" + request->action_digest().hash()] =
        request->action_result().SerializeAsString();
    *response = request->action_result();
    return Status::OK;
  }

  // [INSTANCE/][uploads/UUID/]{blobs|compressed-blobs/zstd}/HASH/SIZE
  static std::string path_in(const std::string& resource) {
    const std::size_t size = resource.rfind('/');
    return resource.substr(resource.rfind('/', size - 1) + 1);
  }
  static bool is_packed(const std::string& resource) {
    return resource.find("compressed-blobs/zstd/") != std::string::npos;
  }
  Status begin_stream(const grpc::ServerContext& context, const std::string& resource) {
    owner.state_.lock()->seen.resources.push_back(resource);
    const std::size_t end = resource.find(resource.find("uploads/") != std::string::npos ? "uploads/"
                                          : is_packed(resource)                          ? "compressed-blobs/"
                                                                                         : "blobs/");
    return begin(context, resource.substr(0, end == 0 ? 0 : end - 1));
  }

  Status Read(grpc::ServerContext* context, const bytestream::ReadRequest* request,
              grpc::ServerWriter<bytestream::ReadResponse>* writer) override {
    if (const Status begun = begin_stream(*context, request->resource_name()); !begun.ok()) return begun;
    auto bytes = bytes_of(path_in(request->resource_name()));
    if (!bytes) return {StatusCode::NOT_FOUND, "no such blob"};
    if (is_packed(request->resource_name())) *bytes = *base::compress(base::Compression::zstd, *bytes);
    const std::size_t piece = owner.ailment == Ailment::slow_drip ? 1 : 100'000;
    for (std::size_t at = 0; at < bytes->size(); at += piece) {
      bytestream::ReadResponse response;
      response.set_data(bytes->substr(at, piece));
      if (!writer->Write(response)) break;
      if (owner.ailment == Ailment::slow_drip) return hang(*context);
    }
    return Status::OK;
  }

  Status Write(grpc::ServerContext* context, grpc::ServerReader<bytestream::WriteRequest>* reader,
               bytestream::WriteResponse* response) override {
    bytestream::WriteRequest message;
    if (!reader->Read(&message)) return {StatusCode::INVALID_ARGUMENT, "no message"};
    const std::string resource = message.resource_name();
    if (const Status begun = begin_stream(*context, resource); !begun.ok()) return begun;
    if (owner.state_.lock()->blobs.contains(path_in(resource))) {
      response->set_committed_size(is_packed(resource) ? -1 : std::stoll(resource.substr(resource.rfind('/') + 1)));
      return Status::OK;
    }
    std::string bytes;
    do {
      if (message.write_offset() != static_cast<std::int64_t>(bytes.size()))
        return {StatusCode::INVALID_ARGUMENT, "a wrong offset"};
      bytes += message.data();
      owner.state_.lock()->seen.pieces.push_back(message.data().size());
    } while (!message.finish_write() && reader->Read(&message));
    if (!message.finish_write()) return {StatusCode::INVALID_ARGUMENT, "it was cut off"};
    response->set_committed_size(static_cast<std::int64_t>(bytes.size()));
    if (owner.ailment == Ailment::took_little) response->set_committed_size(1);
    if (is_packed(resource)) bytes = base::decompress(base::Compression::zstd, bytes, 1 << 30).value();
    owner.state_.lock()->blobs[path_in(resource)] = bytes;
    return Status::OK;
  }

  ReapiDouble& owner;
};

ReapiDouble::ReapiDouble(std::shared_ptr<grpc::ServerCredentials> credentials) : credentials_(std::move(credentials)) {
  said.mutable_low_api_version()->set_major(2);
  said.mutable_high_api_version()->set_major(2);
  said.mutable_cache_capabilities()->add_digest_functions(reapi::DigestFunction::SHA256);
  start();
}

ReapiDouble::~ReapiDouble() { stop(); }

void ReapiDouble::start() {
  stopping_ = false;
  services_ = std::make_unique<DoubleServices>(*this);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(address_, credentials_, &port);
  builder.SetMaxReceiveMessageSize(8 << 20);
  builder.RegisterService(static_cast<reapi::Capabilities::Service*>(services_.get()));
  builder.RegisterService(static_cast<reapi::ContentAddressableStorage::Service*>(services_.get()));
  builder.RegisterService(static_cast<reapi::ActionCache::Service*>(services_.get()));
  builder.RegisterService(static_cast<bytestream::ByteStream::Service*>(services_.get()));
  server_ = builder.BuildAndStart();
  if (server_) address_ = "127.0.0.1:" + std::to_string(port);
}

void ReapiDouble::stop() {
  stopping_ = true;
  if (server_) server_->Shutdown(std::chrono::system_clock::now());
  server_.reset();
}

}  // namespace cairn::test
