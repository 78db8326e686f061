// SPDX-License-Identifier: Apache-2.0
// containerd's snapshots service, version 1. Its errors are what containerd looks at: ALREADY_EXISTS, NOT_FOUND,
// FAILED_PRECONDITION (the kind of the snapshot, or what is built on it, forbids it), INVALID_ARGUMENT.
#pragma once

#include <github.com/containerd/containerd/api/services/snapshots/v1/snapshots.grpc.pb.h>

#include "libbase/thread_pool.h"
#include "libcache/tree_names.h"

namespace cairn::serve {

namespace snapshots = containerd::services::snapshots::v1;

class SnapshotsService final : public snapshots::Snapshots::CallbackService {
 public:
  // live_bytes_max: of the store; 0: none. Where it has no more room, nothing is prepared: RESOURCE_EXHAUSTED.
  SnapshotsService(cache::Cache& cache, cache::TreeNames& names, base::ThreadPool& workers, std::int64_t live_bytes_max)
      : cache_(cache), names_(names), workers_(workers), live_bytes_max_(live_bytes_max) {}

  using Unary = grpc::ServerUnaryReactor;
  using Call = grpc::CallbackServerContext;
  using Empty = google::protobuf::Empty;
  Unary* Prepare(Call* call, const snapshots::PrepareSnapshotRequest* request,
                 snapshots::PrepareSnapshotResponse* response) override;
  Unary* View(Call* call, const snapshots::ViewSnapshotRequest* request,
              snapshots::ViewSnapshotResponse* response) override;
  Unary* Mounts(Call* call, const snapshots::MountsRequest* request, snapshots::MountsResponse* response) override;
  Unary* Commit(Call* call, const snapshots::CommitSnapshotRequest* request, Empty* response) override;
  Unary* Remove(Call* call, const snapshots::RemoveSnapshotRequest* request, Empty* response) override;
  Unary* Stat(Call* call, const snapshots::StatSnapshotRequest* request,
              snapshots::StatSnapshotResponse* response) override;
  Unary* Update(Call* call, const snapshots::UpdateSnapshotRequest* request,
                snapshots::UpdateSnapshotResponse* response) override;
  grpc::ServerWriteReactor<snapshots::ListSnapshotsResponse>* List(
      Call* call, const snapshots::ListSnapshotsRequest* request) override;
  Unary* Usage(Call* call, const snapshots::UsageRequest* request, snapshots::UsageResponse* response) override;
  Unary* Cleanup(Call* call, const snapshots::CleanupRequest* request, Empty* response) override;

 private:
  template <class Work>  // base::Status()
  Unary* answer(Call* call, Work work);

  cache::Cache& cache_;
  cache::TreeNames& names_;
  base::ThreadPool& workers_;
  const std::int64_t live_bytes_max_;
};

}  // namespace cairn::serve
