// SPDX-License-Identifier: Apache-2.0
#include "tests/libserve_containerd/socket_snapshotter.h"

#include "tests/libserve_containerd/containerd_client.h"
#include "tests/support/outside_mount.h"

namespace cairn::serve {
namespace {

using base::ErrorCode;
using base::Result;
using base::Status;
using snapshot::Access;
using snapshot::Labels;
using snapshot::MountedTree;
using snapshot::SnapshotId;
using snapshot::SnapshotInfo;
using snapshot::Usage;

Status from(const grpc::Status& status) {
  if (status.ok()) return {};
  const auto code = [&] {
    switch (status.error_code()) {
      case grpc::StatusCode::NOT_FOUND: return ErrorCode::not_found;
      case grpc::StatusCode::ALREADY_EXISTS: return ErrorCode::already_exists;
      case grpc::StatusCode::INVALID_ARGUMENT: return ErrorCode::invalid_argument;
      case grpc::StatusCode::FAILED_PRECONDITION: return ErrorCode::busy;
      default: return ErrorCode::io;
    }
  }();
  return base::fail(code, "{}", status.error_message());
}

// What containerd's service has no word for.
tl::unexpected<base::Error> no_word() { return base::fail(ErrorCode::unavailable, "containerd does not ask for that"); }

std::string active(SnapshotId id) { return fmt::format("active {}", id); }
std::string committed(SnapshotId id) { return fmt::format("committed {}", id); }

class SocketSnapshotter final : public snapshot::Snapshotter {
 public:
  SocketSnapshotter(const base::HostPath& root, const std::string& driver) : served_(driver, root), root_(root) {}

  using Snapshotter::prepare;
  using Snapshotter::prepare_stack;
  std::string_view driver() const override { return "containerd"; }
  Result<SnapshotId> prepare(std::optional<SnapshotId> parent, const Labels& labels) override {
    const SnapshotId id(++last_);
    TRY(from(client().prepare(active(id), parent ? committed(*parent) : "", labels)));
    return id;
  }
  Result<MountedTree> mount(SnapshotId id, Access access) override {
    if (access == Access::read_write || !client().stat(committed(id)).ok()) {
      TRY(from(client().mounts(active(id))));
      if (access == Access::read_only) client().spec.options.emplace_back("ro");
      return test::mount_as_told(client().spec, root_);
    }
    const std::string look = fmt::format("look {}", ++last_);
    TRY(from(client().view(look, committed(id))));
    auto mounted = std::make_shared<MountedTree>(TRY(test::mount_as_told(client().spec, root_)));
    base::Fd directory(::fcntl(mounted->fd(), F_DUPFD_CLOEXEC, 0));
    return MountedTree(std::move(directory), std::shared_ptr<void>(nullptr, [this, mounted, look](void*) mutable {
                         mounted.reset();
                         EXPECT_TRUE(client().remove(look).ok());
                       }));
  }
  // Committed at once; publish() finds it done.
  Result<Usage> freeze(SnapshotId id) override {
    TRY(from(client().commit(committed(id), active(id))));
    return usage(id);
  }
  Status publish(base::lmdb::WriteTxn&, SnapshotId id) const override { return from(client().stat(committed(id))); }
  void published(SnapshotId) override {}
  Status sync(std::span<const base::lmdb::DataToken>) override { return {}; }
  Status retire(base::lmdb::WriteTxn&, SnapshotId id) const override { return from(client().remove(committed(id))); }
  Result<std::int64_t> erase_trash(base::lmdb::GroupWriter&, std::stop_token) override {
    TRY(from(client().cleanup()));
    return 0;
  }
  Status abandon(SnapshotId id) override { return from(client().remove(active(id))); }
  Result<Usage> usage(SnapshotId id) override {
    TRY(from(client().usage(committed(id))));
    return Usage{.bytes = client().used.size(), .inodes = client().used.inodes(), .logical_bytes = 0};
  }

  Result<SnapshotId> prepare_stack(std::span<const SnapshotId>, const Labels&) override { return no_word(); }
  Result<SnapshotId> view(SnapshotId, const Labels&) override { return no_word(); }
  Status note_links(SnapshotId, std::span<const snapshot::HardLink>) override { return no_word(); }
  Status squash(SnapshotId, base::lmdb::GroupWriter&, std::stop_token) override { return no_word(); }
  void start(base::lmdb::GroupWriter&) override {}
  void stop() override {}
  void retired(SnapshotId) override {}
  void settle() override {}
  Result<SnapshotInfo> stat(SnapshotId) override { return no_word(); }
  Status walk(std::span<const std::string>, const std::function<Result<base::lmdb::Scan>(const SnapshotInfo&)>&) override {
    return no_word();
  }
  Result<SnapshotInfo> update(SnapshotId, const Labels&, std::span<const std::string>, base::lmdb::GroupWriter&) override {
    return no_word();
  }
  Result<SnapshotId> reserve_id() override { return no_word(); }
  void on_exclusive_change(snapshot::ExclusiveChanged) override {}
  std::vector<SnapshotId> unpublished() const override { return {}; }
  Result<snapshot::OwnDirectory> open_own(SnapshotId) override { return no_word(); }
  Result<std::function<bool(const base::TreePath&)>> candidates(SnapshotId, SnapshotId) override { return no_word(); }

 private:
  SnapshotsClient& client() const { return *served_.client; }

  mutable ServedStore served_;
  const base::HostPath root_;
  std::uint64_t last_ = 0;
};

}  // namespace

std::unique_ptr<snapshot::Snapshotter> make_socket_snapshotter(const base::HostPath& root, const std::string& driver) {
  return std::make_unique<SocketSnapshotter>(root, driver);
}

}  // namespace cairn::serve
