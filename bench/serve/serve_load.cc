// SPDX-License-Identifier: Apache-2.0
// A load for any server of the Remote Execution API: so many clients with a connection each do one thing as fast as
// they are answered.
//
//   serve_load ADDRESS WORK [--clients N] [--seconds N] [--size BYTES] [--batch N] [--instance NAME] [--json]
//
// WORK: batch-update, batch-read, find-missing, write, read, get-action, update-action. What is read was put before the
// clock runs. Random bytes, made and hashed before it, too.
//
//   serve_load ADDRESS http-get PATH | http-put PATH      the same over HTTP/1.1, on connections that are kept
//
//   serve_load ADDRESS empty      serves get-action with a handler that does nothing: what gRPC itself costs on this
//   machine
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <build/bazel/remote/execution/v2/remote_execution.grpc.pb.h>
#include <google/bytestream/bytestream.grpc.pb.h>
#include "bench/serve/http_load.h"
#include "libbase/hash/sha256.h"
#include "libcache/digests.h"

namespace {

namespace reapi = build::bazel::remote::execution::v2;
namespace bytestream = google::bytestream;
using Clock = std::chrono::steady_clock;

struct Options {
  std::string address, work, path, instance;
  unsigned clients = 8;
  double seconds = 5;
  std::size_t size = 1024, batch = 100;
  bool json = false;
};

[[noreturn]] void fail(const std::string& why) {
  std::fprintf(stderr, "serve_load: %s\n", why.c_str());
  std::exit(1);
}
void must(const grpc::Status& status, const char* what) {
  if (!status.ok()) fail(std::string(what) + ": " + std::to_string(status.error_code()) + " " + status.error_message());
}

reapi::Digest digest_of(const std::string& bytes) {
  reapi::Digest digest;
  digest.set_hash(cairn::base::digest_of<cairn::BlobDigest>(bytes).hex());
  digest.set_size_bytes(static_cast<std::int64_t>(bytes.size()));
  return digest;
}

class Client {
 public:
  Client(const Options& options, unsigned number) : options_(options), random_(std::random_device{}() + number) {
    if (options.work.starts_with("http")) return;
    grpc::ChannelArguments arguments;
    arguments.SetInt("client", static_cast<int>(number));  // a connection of its own
    arguments.SetMaxReceiveMessageSize(-1);
    const auto channel = grpc::CreateCustomChannel(options.address, grpc::InsecureChannelCredentials(), arguments);
    cas_ = reapi::ContentAddressableStorage::NewStub(channel);
    actions_ = reapi::ActionCache::NewStub(channel);
    streams_ = bytestream::ByteStream::NewStub(channel);
  }

  // Things done by one call of work().
  std::size_t per_call() const {
    return options_.work.starts_with("batch") || options_.work == "find-missing" ? options_.batch : 1;
  }
  std::size_t bytes_per_call() const {
    return options_.work == "find-missing" || options_.work.ends_with("action") ? 0 : per_call() * options_.size;
  }

  void prepare() {
    const std::string& work = options_.work;
    if (work.starts_with("http")) {
      http_.emplace(options_.address);
      if (work == "http-put") bytes_ = random_bytes(options_.size);
      return;
    }
    if (work == "batch-update") {
      for (int i = 0; i < 400; ++i) ready_.push_back(new_batch());
      return;
    }
    if (work == "batch-read" || work == "find-missing") {
      const std::size_t step =
          std::max<std::size_t>(1, std::min<std::size_t>(options_.batch, 3'000'000 / options_.size));
      for (std::size_t done = 0; done < options_.batch; done += step) {
        const auto batch = new_batch(std::min(step, options_.batch - done));
        send(batch);
        for (const auto& one : batch.requests()) {
          *read_.add_digests() = one.digest();
          *find_.add_blob_digests() = one.digest();
        }
      }
      read_.set_instance_name(options_.instance);
      find_.set_instance_name(options_.instance);
      return;
    }
    bytes_ = random_bytes(options_.size);
    if (work == "read") write();
    if (work == "get-action") {
      const auto batch = new_batch(1);
      send(batch);
      for (int i = 0; i < 100; ++i) keys_.push_back(update_action(batch.requests(0).digest()));
    }
    if (work == "update-action") {
      const auto batch = new_batch(1);
      send(batch);
      output_ = batch.requests(0).digest();
    }
  }

  // False: what was made ready is used up.
  bool work() {
    if (options_.work == "batch-update") {
      if (next_ == ready_.size()) return false;
      send(ready_[next_++]);
    } else if (options_.work == "batch-read") {
      grpc::ClientContext context;
      reapi::BatchReadBlobsResponse response;
      must(cas_->BatchReadBlobs(&context, read_, &response), "BatchReadBlobs");
      for (const auto& one : response.responses())
        if (one.status().code() != 0) fail("a blob that was put is not there");
    } else if (options_.work == "find-missing") {
      grpc::ClientContext context;
      reapi::FindMissingBlobsResponse response;
      must(cas_->FindMissingBlobs(&context, find_, &response), "FindMissingBlobs");
      if (response.missing_blob_digests_size() != 0) fail("a blob that was put is missing");
    } else if (options_.work == "http-get") {
      http_bytes_ += http_->get(options_.path);
    } else if (options_.work == "http-put") {
      // Other bytes each time.
      const std::uint64_t serial = random_();
      std::copy_n(reinterpret_cast<const char*>(&serial), std::min<std::size_t>(8, bytes_.size()), bytes_.begin());
      http_->put(options_.path + std::to_string(serial), bytes_);
      http_bytes_ += bytes_.size();
    } else if (options_.work == "write") {
      write();
    } else if (options_.work == "read") {
      read();
    } else if (options_.work == "get-action") {
      grpc::ClientContext context;
      reapi::GetActionResultRequest request;
      request.set_instance_name(options_.instance);
      *request.mutable_action_digest() = keys_[next_++ % keys_.size()];
      reapi::ActionResult response;
      must(actions_->GetActionResult(&context, request, &response), "GetActionResult");
    } else if (options_.work == "update-action") {
      update_action(output_);
    } else {
      fail("no work is called " + options_.work);
    }
    return true;
  }

 private:
  std::string random_bytes(std::size_t size) {
    std::string bytes(size, '\0');
    std::size_t at = 0;
    for (; at + 8 <= size; at += 8) {
      const std::uint64_t word = random_();
      std::copy_n(reinterpret_cast<const char*>(&word), 8, bytes.begin() + static_cast<std::ptrdiff_t>(at));
    }
    for (; at < size; ++at) bytes[at] = static_cast<char>(random_());
    return bytes;
  }
  reapi::BatchUpdateBlobsRequest new_batch(std::size_t count = 0) {
    reapi::BatchUpdateBlobsRequest request;
    request.set_instance_name(options_.instance);
    for (std::size_t i = 0; i < (count == 0 ? options_.batch : count); ++i) {
      auto* const one = request.add_requests();
      one->set_data(random_bytes(options_.size));
      *one->mutable_digest() = digest_of(one->data());
    }
    return request;
  }
  void send(const reapi::BatchUpdateBlobsRequest& batch) {
    grpc::ClientContext context;
    reapi::BatchUpdateBlobsResponse response;
    must(cas_->BatchUpdateBlobs(&context, batch, &response), "BatchUpdateBlobs");
    for (const auto& one : response.responses())
      if (one.status().code() != 0) fail("a blob was refused: " + one.status().message());
  }
  reapi::Digest update_action(const reapi::Digest& output) {
    grpc::ClientContext context;
    reapi::UpdateActionResultRequest request;
    request.set_instance_name(options_.instance);
    const reapi::Digest action = digest_of(random_bytes(64));
    *request.mutable_action_digest() = action;
    auto* const file = request.mutable_action_result()->add_output_files();
    file->set_path("out");
    *file->mutable_digest() = output;
    reapi::ActionResult response;
    must(actions_->UpdateActionResult(&context, request, &response), "UpdateActionResult");
    return action;
  }
  void write() {
    // Other bytes each time, or the server would have them.
    const std::uint64_t serial = random_();
    std::copy_n(reinterpret_cast<const char*>(&serial), std::min<std::size_t>(8, bytes_.size()), bytes_.begin());
    const reapi::Digest digest = digest_of(bytes_);
    name_ = (options_.instance.empty() ? "" : options_.instance + "/") + "blobs/" + digest.hash() + "/" +
            std::to_string(digest.size_bytes());
    const std::string upload = (options_.instance.empty() ? "" : options_.instance + "/") + "uploads/" +
                               std::to_string(serial) + "/blobs/" + digest.hash() + "/" +
                               std::to_string(digest.size_bytes());
    grpc::ClientContext context;
    bytestream::WriteResponse response;
    hashed_ = Clock::now();
    const auto writer = streams_->Write(&context, &response);
    constexpr std::size_t piece = 1 << 20;
    for (std::size_t at = 0; at < bytes_.size(); at += piece) {
      bytestream::WriteRequest request;
      if (at == 0) request.set_resource_name(upload);
      request.set_write_offset(static_cast<std::int64_t>(at));
      request.set_data(bytes_.substr(at, piece));
      request.set_finish_write(at + piece >= bytes_.size());
      if (!writer->Write(request)) break;
    }
    writer->WritesDone();
    must(writer->Finish(), "Write");
  }
  void read() {
    grpc::ClientContext context;
    bytestream::ReadRequest request;
    request.set_resource_name(name_);
    const auto reader = streams_->Read(&context, request);
    bytestream::ReadResponse response;
    std::size_t got = 0;
    while (reader->Read(&response)) got += response.data().size();
    must(reader->Finish(), "Read");
    if (got != bytes_.size()) fail("a blob came short");
  }

  const Options& options_;
  std::mt19937_64 random_;
  std::unique_ptr<reapi::ContentAddressableStorage::Stub> cas_;
  std::unique_ptr<reapi::ActionCache::Stub> actions_;
  std::unique_ptr<bytestream::ByteStream::Stub> streams_;
  std::vector<reapi::BatchUpdateBlobsRequest> ready_;
  std::size_t next_ = 0;
  reapi::BatchReadBlobsRequest read_;
  reapi::FindMissingBlobsRequest find_;
  std::vector<reapi::Digest> keys_;
  reapi::Digest output_;
  std::string bytes_, name_;
  std::optional<cairn::bench::HttpConnection> http_;

 public:
  Clock::time_point hashed_{};  // when the last write began to be sent
  std::uint64_t http_bytes_ = 0;
};

class EmptyHandler final : public reapi::ActionCache::CallbackService {
  grpc::ServerUnaryReactor* GetActionResult(grpc::CallbackServerContext* call, const reapi::GetActionResultRequest*,
                                            reapi::ActionResult*) override {
    auto* const reactor = call->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  grpc::ServerUnaryReactor* UpdateActionResult(grpc::CallbackServerContext* call,
                                               const reapi::UpdateActionResultRequest*, reapi::ActionResult*) override {
    auto* const reactor = call->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};
class EmptyStorage final : public reapi::ContentAddressableStorage::CallbackService {
  grpc::ServerUnaryReactor* BatchUpdateBlobs(grpc::CallbackServerContext* call, const reapi::BatchUpdateBlobsRequest*,
                                             reapi::BatchUpdateBlobsResponse*) override {
    auto* const reactor = call->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

int serve_empty(const Options& options) {
  EmptyHandler handler;
  EmptyStorage storage;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(options.address, grpc::InsecureServerCredentials());
  builder.RegisterService(&handler);
  builder.RegisterService(&storage);
  const auto server = builder.BuildAndStart();
  if (!server) fail("cannot serve at " + options.address);
  server->Wait();
  return 0;
}

int load(const Options& options) {
  std::vector<std::unique_ptr<Client>> clients;
  for (unsigned i = 0; i < options.clients; ++i) clients.push_back(std::make_unique<Client>(options, i));
  {
    std::vector<std::thread> threads;
    for (auto& client : clients) threads.emplace_back([&client] { client->prepare(); });
    for (auto& thread : threads) thread.join();
  }
  std::atomic<std::uint64_t> calls{0};
  std::vector<std::vector<double>> took(options.clients);
  const auto begun = Clock::now();
  const auto end = begun + std::chrono::duration<double>(options.seconds);
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < options.clients; ++i)
    threads.emplace_back([&, i] {
      while (Clock::now() < end) {
        const auto before = Clock::now();
        if (!clients[i]->work()) break;
        // Hashing what is written is the client's own work.
        const auto from = options.work == "write" ? clients[i]->hashed_ : before;
        took[i].push_back(std::chrono::duration<double, std::milli>(Clock::now() - from).count());
        ++calls;
      }
    });
  for (auto& thread : threads) thread.join();
  const double seconds = std::chrono::duration<double>(Clock::now() - begun).count();
  std::vector<double> all;
  for (const auto& each : took) all.insert(all.end(), each.begin(), each.end());
  std::sort(all.begin(), all.end());
  const auto at = [&](double part) {
    return all.empty() ? 0.0 : all[static_cast<std::size_t>(part * static_cast<double>(all.size() - 1))];
  };
  const double done = static_cast<double>(calls.load());
  const double rate = done * static_cast<double>(clients[0]->per_call()) / seconds;
  double bytes = done * static_cast<double>(clients[0]->bytes_per_call());
  if (options.work.starts_with("http")) bytes = 0;
  for (const auto& client : clients) bytes += static_cast<double>(client->http_bytes_);
  const double mb = bytes / seconds / 1e6;
  const char* const format = options.json
                                 ? "{\"work\":\"%s\",\"clients\":%u,\"per_second\":%.0f,\"mb_per_second\":%.1f,\"p50_"
                                   "ms\":%.3f,\"p99_ms\":%.3f,\"calls\":%.0f}\n"
                                 : "%s, %u clients: %.0f/s, %.1f MB/s, p50 %.3f ms, p99 %.3f ms a call (%.0f calls)\n";
  std::printf(format, options.work.c_str(), options.clients, rate, mb, at(0.5), at(0.99), done);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  std::vector<std::string> words(argv + 1, argv + argc), plain;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const auto value = [&] {
      return i + 1 < words.size() ? words[++i] : (fail(words[i] + " needs a value"), std::string());
    };
    if (words[i] == "--clients")
      options.clients = static_cast<unsigned>(std::strtoul(value().c_str(), nullptr, 10));
    else if (words[i] == "--seconds")
      options.seconds = std::strtod(value().c_str(), nullptr);
    else if (words[i] == "--size")
      options.size = std::strtoull(value().c_str(), nullptr, 10);
    else if (words[i] == "--batch")
      options.batch = std::strtoull(value().c_str(), nullptr, 10);
    else if (words[i] == "--instance")
      options.instance = value();
    else if (words[i] == "--json")
      options.json = true;
    else
      plain.push_back(words[i]);
  }
  const bool over_http = plain.size() == 3 && plain[1].starts_with("http-");
  if (over_http) options.path = plain[2];
  if ((plain.size() != 2 && !over_http) || options.clients == 0 || options.size == 0 || options.batch == 0)
    fail(
        "usage: serve_load ADDRESS WORK [--clients N] [--seconds N] [--size BYTES] [--batch N] [--instance NAME] "
        "[--json]");
  options.address = plain[0];
  options.work = plain[1];
  return options.work == "empty" ? serve_empty(options) : load(options);
}
