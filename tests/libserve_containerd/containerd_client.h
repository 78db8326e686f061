// SPDX-License-Identifier: Apache-2.0
// A client of containerd's snapshots service, as containerd's proxy plugin is one, and a server on a store of its own.
#pragma once

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>

#include <github.com/containerd/containerd/api/services/snapshots/v1/snapshots.grpc.pb.h>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "libserve/containerd_server.h"
#include "libsnapshot/lent.h"
#include "tests/libcache/store_fixture.h"

namespace cairn::serve {

namespace snapshots = containerd::services::snapshots::v1;

// Each call in this namespace ("": none is said), with a deadline.
class SnapshotsClient {
 public:
  explicit SnapshotsClient(const base::HostPath& socket);

  std::string in = "default";

  using Labels = std::map<std::string, std::string>;
  grpc::Status prepare(const std::string& key, const std::string& parent = "", const Labels& labels = {});
  grpc::Status view(const std::string& key, const std::string& parent = "", const Labels& labels = {});
  grpc::Status mounts(const std::string& key);
  snapshot::MountSpec spec;  // what the last of these said
  grpc::Status commit(const std::string& name, const std::string& key, const Labels& labels = {},
                      const std::string& parent = "");
  grpc::Status remove(const std::string& key);
  grpc::Status stat(const std::string& key);
  grpc::Status update(const std::string& name, const Labels& labels, const std::vector<std::string>& fields);
  snapshots::Info info;  // what the last of these said
  grpc::Status usage(const std::string& key);
  snapshots::UsageResponse used;
  grpc::Status list(const std::vector<std::string>& filters);
  std::vector<snapshots::Info> infos;
  grpc::Status cleanup();

 private:
  template <class Method, class Request, class Response>
  grpc::Status call(Method method, const Request& request, Response& response);
  void prepare_context(grpc::ClientContext& context) const;

  std::unique_ptr<snapshots::Snapshots::Stub> stub_;
};

// A store, served. Destroyed and made again on the same root it is a restart.
struct ServedStore {
  ServedStore(const std::string& driver, const base::HostPath& root, std::int64_t live_bytes_max = 0);

  cache::OpenStore store;
  std::unique_ptr<ContainerdServer> server;
  std::optional<SnapshotsClient> client;
};

}  // namespace cairn::serve
