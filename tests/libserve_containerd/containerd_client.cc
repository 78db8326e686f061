// SPDX-License-Identifier: Apache-2.0
#include "tests/libserve_containerd/containerd_client.h"

namespace cairn::serve {

namespace {

snapshot::MountSpec spec_of(const google::protobuf::RepeatedPtrField<containerd::types::Mount>& mounts) {
  if (mounts.size() != 1) return {};
  return {mounts[0].type(), mounts[0].source(), {mounts[0].options().begin(), mounts[0].options().end()}};
}

template <class Request>
Request naming(const std::string& key) {
  Request request;
  request.set_snapshotter("cairn");
  request.set_key(key);
  return request;
}

template <class Request>
Request making(const std::string& key, const std::string& parent, const SnapshotsClient::Labels& labels) {
  auto request = naming<Request>(key);
  request.set_parent(parent);
  for (const auto& [name, value] : labels) (*request.mutable_labels())[name] = value;
  return request;
}

}  // namespace

SnapshotsClient::SnapshotsClient(const base::HostPath& socket)
    : stub_(snapshots::Snapshots::NewStub(
          grpc::CreateChannel("unix:" + socket.str(), grpc::InsecureChannelCredentials()))) {}

void SnapshotsClient::prepare_context(grpc::ClientContext& context) const {
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  if (!in.empty()) context.AddMetadata("containerd-namespace", in);
}

template <class Method, class Request, class Response>
grpc::Status SnapshotsClient::call(Method method, const Request& request, Response& response) {
  grpc::ClientContext context;
  prepare_context(context);
  return ((*stub_).*method)(&context, request, &response);
}

using Stub = snapshots::Snapshots::Stub;

grpc::Status SnapshotsClient::prepare(const std::string& key, const std::string& parent, const Labels& labels) {
  snapshots::PrepareSnapshotResponse response;
  const auto status = call(&Stub::Prepare, making<snapshots::PrepareSnapshotRequest>(key, parent, labels), response);
  spec = spec_of(response.mounts());
  return status;
}

grpc::Status SnapshotsClient::view(const std::string& key, const std::string& parent, const Labels& labels) {
  snapshots::ViewSnapshotResponse response;
  const auto status = call(&Stub::View, making<snapshots::ViewSnapshotRequest>(key, parent, labels), response);
  spec = spec_of(response.mounts());
  return status;
}

grpc::Status SnapshotsClient::mounts(const std::string& key) {
  snapshots::MountsResponse response;
  const auto status = call(&Stub::Mounts, naming<snapshots::MountsRequest>(key), response);
  spec = spec_of(response.mounts());
  return status;
}

grpc::Status SnapshotsClient::commit(const std::string& name, const std::string& key, const Labels& labels,
                                     const std::string& parent) {
  auto request = making<snapshots::CommitSnapshotRequest>(key, parent, labels);
  request.set_name(name);
  google::protobuf::Empty response;
  return call(&Stub::Commit, request, response);
}

grpc::Status SnapshotsClient::remove(const std::string& key) {
  google::protobuf::Empty response;
  return call(&Stub::Remove, naming<snapshots::RemoveSnapshotRequest>(key), response);
}

grpc::Status SnapshotsClient::stat(const std::string& key) {
  snapshots::StatSnapshotResponse response;
  const auto status = call(&Stub::Stat, naming<snapshots::StatSnapshotRequest>(key), response);
  info = response.info();
  return status;
}

grpc::Status SnapshotsClient::update(const std::string& name, const Labels& labels,
                                     const std::vector<std::string>& fields) {
  snapshots::UpdateSnapshotRequest request;
  request.mutable_info()->set_name(name);
  for (const auto& [key, value] : labels) (*request.mutable_info()->mutable_labels())[key] = value;
  for (const std::string& field : fields) request.mutable_update_mask()->add_paths(field);
  snapshots::UpdateSnapshotResponse response;
  const auto status = call(&Stub::Update, request, response);
  info = response.info();
  return status;
}

grpc::Status SnapshotsClient::usage(const std::string& key) {
  return call(&Stub::Usage, naming<snapshots::UsageRequest>(key), used);
}

grpc::Status SnapshotsClient::list(const std::vector<std::string>& filters) {
  snapshots::ListSnapshotsRequest request;
  for (const std::string& filter : filters) request.add_filters(filter);
  grpc::ClientContext context;
  prepare_context(context);
  const auto reader = stub_->List(&context, request);
  infos.clear();
  snapshots::ListSnapshotsResponse response;
  while (reader->Read(&response)) infos.insert(infos.end(), response.info().begin(), response.info().end());
  return reader->Finish();
}

grpc::Status SnapshotsClient::cleanup() {
  google::protobuf::Empty response;
  return call(&Stub::Cleanup, snapshots::CleanupRequest(), response);
}

ServedStore::ServedStore(const std::string& driver, const base::HostPath& root, std::int64_t live_bytes_max) : store(driver, root) {
  server = cache::must(ContainerdServer::start(*store.cache, {.socket = root / "containerd.sock", .live_bytes_max = live_bytes_max}));
  client.emplace(server->socket());
}

}  // namespace cairn::serve
