// SPDX-License-Identifier: Apache-2.0
#include "libserve/containerd/snapshots.h"

#include <algorithm>

#include "libcache/blob_writer.h"
#include "libserve/containerd/filter.h"

namespace cairn::serve {

using base::ErrorCode;
using base::Result;
using base::Status;

namespace {

constexpr std::string_view namespace_header = "containerd-namespace";
constexpr std::string_view space_prefix = "containerd/";
constexpr std::size_t infos_per_message = 100;

grpc::Status status_of(const base::Error& error) {
  const auto code = [&] {
    switch (error.code) {
      case ErrorCode::not_found: return grpc::StatusCode::NOT_FOUND;
      case ErrorCode::already_exists: return grpc::StatusCode::ALREADY_EXISTS;
      case ErrorCode::invalid_argument: return grpc::StatusCode::INVALID_ARGUMENT;
      case ErrorCode::busy: return grpc::StatusCode::FAILED_PRECONDITION;
      case ErrorCode::no_space: return grpc::StatusCode::RESOURCE_EXHAUSTED;
      case ErrorCode::unavailable: return grpc::StatusCode::UNAVAILABLE;
      case ErrorCode::cancelled: return grpc::StatusCode::CANCELLED;
      case ErrorCode::corrupt: return grpc::StatusCode::DATA_LOSS;
      case ErrorCode::io: break;
    }
    return grpc::StatusCode::INTERNAL;
  }();
  return {code, error.message};
}

// The namespace that a request says; nullopt: none.
std::optional<std::string> space_of(const grpc::CallbackServerContext& call) {
  const auto& headers = call.client_metadata();
  const auto found = headers.find(grpc::string_ref(namespace_header.data(), namespace_header.size()));
  if (found == headers.end() || found->second.empty()) return std::nullopt;
  return std::string(space_prefix) + std::string(found->second.data(), found->second.size());
}

// containerd itself says none, but its names begin with it: NAMESPACE/NUMBER/KEY.
Result<cache::TreeName> name_of(const grpc::CallbackServerContext& call, const std::string& key) {
  if (auto space = space_of(call)) return cache::TreeName{std::move(*space), key};
  const std::size_t end = key.find('/');
  const std::size_t behind = end == std::string::npos ? end : key.find('/', end + 1);
  const bool numbered = behind != std::string::npos && behind > end + 1 &&
                        std::all_of(key.begin() + static_cast<std::ptrdiff_t>(end) + 1,
                                    key.begin() + static_cast<std::ptrdiff_t>(behind), [](char c) { return c >= '0' && c <= '9'; });
  if (end == 0 || !numbered) return base::fail(ErrorCode::invalid_argument, "snapshot {}: the namespace is missing", key);
  return cache::TreeName{std::string(space_prefix) + key.substr(0, end), key};
}

snapshot::Labels labels_of(const google::protobuf::Map<std::string, std::string>& labels) {
  return {labels.begin(), labels.end()};
}

// It takes what is to be mounted one over the other; ours is one mount.
void add_mount(google::protobuf::RepeatedPtrField<containerd::types::Mount>& mounts, const snapshot::MountSpec& spec) {
  auto* const mount = mounts.Add();
  mount->set_type(spec.type);
  mount->set_source(spec.source);
  for (const std::string& option : spec.options) mount->add_options(option);
}

void set_time(google::protobuf::Timestamp& into, base::WallTime time) {
  constexpr std::int64_t second = 1'000'000'000;
  const std::int64_t ns = base::to_unix_ns(time);
  into.set_seconds(ns / second);
  into.set_nanos(static_cast<std::int32_t>(ns % second));
}

snapshots::Kind kind_of(cache::NameKind kind) {
  switch (kind) {
    case cache::NameKind::view: return snapshots::VIEW;
    case cache::NameKind::active: return snapshots::ACTIVE;
    case cache::NameKind::committed: return snapshots::COMMITTED;
  }
  return snapshots::UNKNOWN;
}

void set_info(snapshots::Info& into, const cache::NamedTree& tree) {
  into.set_name(tree.name.name);
  into.set_parent(tree.parent);
  into.set_kind(kind_of(tree.kind));
  set_time(*into.mutable_created_at(), tree.created);
  set_time(*into.mutable_updated_at(), tree.updated);
  for (const auto& [key, value] : tree.labels) (*into.mutable_labels())[key] = value;
}

// A list on its way out, so many at a time.
class Listing final : public grpc::ServerWriteReactor<snapshots::ListSnapshotsResponse> {
 public:
  Listing(const Result<SnapshotFilters>& filters, std::vector<cache::NamedTree> trees) : trees_(std::move(trees)) {
    if (!filters) {
      Finish(status_of(filters.error()));
      return;
    }
    std::erase_if(trees_, [&](const cache::NamedTree& tree) { return !filters->match(tree); });
    go_on();
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::CANCELLED);
    go_on();
  }
  void OnDone() override { delete this; }

 private:
  void go_on() {
    if (at_ == trees_.size()) return Finish(grpc::Status::OK);
    response_.Clear();
    for (std::size_t i = 0; i < infos_per_message && at_ < trees_.size(); ++i) set_info(*response_.add_info(), trees_[at_++]);
    StartWrite(&response_);
  }

  std::vector<cache::NamedTree> trees_;
  std::size_t at_ = 0;
  snapshots::ListSnapshotsResponse response_;
};

}  // namespace

template <class Work>
SnapshotsService::Unary* SnapshotsService::answer(Call* call, Work work) {
  Unary* const reactor = call->DefaultReactor();
  const Status taken = workers_.submit([reactor, work = std::move(work)](std::stop_token) {
    const Status done = work();
    reactor->Finish(done ? grpc::Status::OK : status_of(done.error()));
  });
  if (!taken) reactor->Finish(status_of(taken.error()));
  return reactor;
}

SnapshotsService::Unary* SnapshotsService::Prepare(Call* call, const snapshots::PrepareSnapshotRequest* request,
                                                   snapshots::PrepareSnapshotResponse* response) {
  return answer(call, [this, call, request, response]() -> Status {
    TRY(cache::expect_room(cache_, live_bytes_max_, 1));  // how much it is going to be, nobody knows
    add_mount(*response->mutable_mounts(),
              TRY(names_.prepare(TRY(name_of(*call, request->key())), request->parent(), labels_of(request->labels()))));
    return {};
  });
}

SnapshotsService::Unary* SnapshotsService::View(Call* call, const snapshots::ViewSnapshotRequest* request,
                                                snapshots::ViewSnapshotResponse* response) {
  return answer(call, [this, call, request, response]() -> Status {
    add_mount(*response->mutable_mounts(),
              TRY(names_.view(TRY(name_of(*call, request->key())), request->parent(), labels_of(request->labels()))));
    return {};
  });
}

SnapshotsService::Unary* SnapshotsService::Mounts(Call* call, const snapshots::MountsRequest* request,
                                                  snapshots::MountsResponse* response) {
  return answer(call, [this, call, request, response]() -> Status {
    add_mount(*response->mutable_mounts(), TRY(names_.mounts(TRY(name_of(*call, request->key())))));
    return {};
  });
}

SnapshotsService::Unary* SnapshotsService::Commit(Call* call, const snapshots::CommitSnapshotRequest* request, Empty*) {
  return answer(call, [this, call, request]() -> Status {
    const cache::TreeName active = TRY(name_of(*call, request->key()));
    if (!request->parent().empty() && request->parent() != TRY(names_.stat(active)).parent)
      return base::fail(ErrorCode::invalid_argument, "commit {}: another parent than it was prepared on", request->key());
    return names_.commit(active, request->name(), labels_of(request->labels()));
  });
}

SnapshotsService::Unary* SnapshotsService::Remove(Call* call, const snapshots::RemoveSnapshotRequest* request, Empty*) {
  return answer(call, [this, call, request]() -> Status { return names_.remove(TRY(name_of(*call, request->key()))); });
}

SnapshotsService::Unary* SnapshotsService::Stat(Call* call, const snapshots::StatSnapshotRequest* request,
                                                snapshots::StatSnapshotResponse* response) {
  return answer(call, [this, call, request, response]() -> Status {
    set_info(*response->mutable_info(), TRY(names_.stat(TRY(name_of(*call, request->key())))));
    return {};
  });
}

SnapshotsService::Unary* SnapshotsService::Update(Call* call, const snapshots::UpdateSnapshotRequest* request,
                                                  snapshots::UpdateSnapshotResponse* response) {
  return answer(call, [this, call, request, response]() -> Status {
    const snapshots::Info& info = request->info();
    const auto& paths = request->update_mask().paths();
    const std::vector<std::string> fields(paths.begin(), paths.end());
    set_info(*response->mutable_info(),
             TRY(names_.update(TRY(name_of(*call, info.name())), labels_of(info.labels()), fields)));
    return {};
  });
}

grpc::ServerWriteReactor<snapshots::ListSnapshotsResponse>* SnapshotsService::List(
    Call* call, const snapshots::ListSnapshotsRequest* request) {
  const std::vector<std::string> filters(request->filters().begin(), request->filters().end());
  auto trees = names_.list(space_of(*call));
  std::erase_if(trees, [](const cache::NamedTree& tree) { return !tree.name.space.starts_with(space_prefix); });
  return new Listing(SnapshotFilters::parse(filters), std::move(trees));
}

SnapshotsService::Unary* SnapshotsService::Usage(Call* call, const snapshots::UsageRequest* request,
                                                 snapshots::UsageResponse* response) {
  return answer(call, [this, call, request, response]() -> Status {
    const snapshot::Usage usage = TRY(names_.usage(TRY(name_of(*call, request->key()))));
    response->set_size(usage.bytes);
    response->set_inodes(usage.inodes);
    return {};
  });
}

SnapshotsService::Unary* SnapshotsService::Cleanup(Call* call, const snapshots::CleanupRequest*, Empty*) {
  return answer(call, [this]() -> Status {
    TRY(names_.cleanup(std::string(space_prefix)));
    return {};
  });
}

}  // namespace cairn::serve
