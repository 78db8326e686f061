// SPDX-License-Identifier: Apache-2.0
// A server of the Remote Execution API in memory, by gRPC's other interface and code of its own, that can be sick in
// the ways in which real ones are. It believes what it is sent.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <build/bazel/remote/execution/v2/remote_execution.grpc.pb.h>
#include <google/bytestream/bytestream.grpc.pb.h>
#include "libbase/sync.h"

namespace cairn::test {

namespace reapi = build::bazel::remote::execution::v2;
namespace bytestream = google::bytestream;

enum class Ailment : std::uint8_t {
  none,
  black_hole,   // takes a call and says nothing, until it is over
  refuses,      // by `status`
  slow_drip,    // a byte of a blob, and then nothing
  wrong_bytes,  // of the right size
  cut_off,      // half of them, and all is well
  endless,      // of a stream
  forgets,      // misses no blob, and has none
  says_little,  // a batch without answers
  took_little,  // committed less than was sent
};

class ReapiDouble {
 public:
  struct Seen {
    std::vector<std::string> instances, resources, authorizations;
    std::vector<std::size_t> pieces;  // bytes of the messages of uploads
    int batches_in = 0, batches_out = 0, capabilities = 0;
  };
  explicit ReapiDouble(std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials());
  ~ReapiDouble();
  const std::string& address() const { return address_; }
  Seen seen() { return state_.lock()->seen; }
  std::size_t blob_count() { return state_.lock()->blobs.size(); }
  void stop();   // as a process that is killed
  void start();  // again, at the same address, with what it had

  std::atomic<Ailment> ailment{Ailment::none};
  grpc::Status status;               // of one that refuses
  grpc::Status capabilities_status;  // of GetCapabilities
  reapi::ServerCapabilities said;    // set before the first call

 private:
  friend struct DoubleServices;
  struct State {
    std::map<std::string, std::string> blobs;    // by HASH/SIZE
    std::map<std::string, std::string> results;  // by INSTANCE/HASH
    Seen seen;
  };
  const std::shared_ptr<grpc::ServerCredentials> credentials_;
  std::string address_ = "127.0.0.1:0";
  base::Guarded<State> state_;
  std::unique_ptr<struct DoubleServices> services_;
  std::unique_ptr<grpc::Server> server_;
  std::atomic<bool> stopping_{false};
};

}  // namespace cairn::test
