// SPDX-License-Identifier: Apache-2.0
#include "tests/faults/fault_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "libbase/fs/host_tree.h"
#include "tests/support/disk/image.h"
#include "tests/support/must.h"
#include "tests/e2e/power/random_changes.h"
#include "tests/support/tree_state.h"

namespace cairn::test {
namespace {

using base::Status;
using snapshot::Access;
using snapshot::SnapshotId;

constexpr std::uint64_t disk_bytes = 48u << 20;

// An empty file system on such a disk, made once: the tests copy it.
int empty_disk() {
  static const base::Fd image = [] {
    must(own_mounts());
    base::Fd made = memory_image(disk_bytes);
    must(make_file_system(FileSystem::ext4, must(LoopDevice::attach(made.get())).path()));
    return made;
  }();
  return image.get();
}

}  // namespace

std::string Step::test_name() const {
  std::string text = name;
  std::erase(text, ' ');
  return text;
}

FaultyStore::FaultyStore() : image_(image_after(empty_disk(), {}, {})) {
  attach();
  open();
  base = commit_one(std::nullopt, 1);
  deep = base;
  for (std::uint64_t i = 0; i < 4; ++i) deep = commit_one(deep, 10 + i);
  leaf = commit_one(base, 20);
  const SnapshotId gone = commit_one(base, 25);
  must(store_->writer().wait_durable(must(store_->retire(gone))));
  retired(gone);
  make_unpublished();
}

FaultyStore::~FaultyStore() {
  disk_->switches().read_errno = disk_->switches().write_errno = disk_->switches().flush_errno = 0;
  unmount();
}

void FaultyStore::make_unpublished() {
  frozen = freeze_one(base, 30);
  active = must(snapshots().prepare(base));
  change_at_random(must(snapshots().mount(active, Access::read_write)).fd(), 40, 10);
  target = must(snapshots().prepare(std::nullopt));
  target_tree = must(snapshots().mount(target, Access::read_write));
}

SnapshotId FaultyStore::freeze_one(std::optional<SnapshotId> parent, std::uint64_t seed) {
  const SnapshotId id = must(snapshots().prepare(parent));
  change_at_random(must(snapshots().mount(id, Access::read_write)).fd(), seed, 10);
  must(snapshots().freeze(id));
  states_.emplace_back(id, must(tree_state(must(snapshots().mount(id, Access::read_only)).fd())));
  return id;
}

SnapshotId FaultyStore::commit_one(std::optional<SnapshotId> parent, std::uint64_t seed) {
  const SnapshotId id = freeze_one(parent, seed);
  must(store_->writer().wait_durable(must(store_->publish(id))));
  acknowledge(id);
  return id;
}

void FaultyStore::attach() {
  disk_ = std::make_unique<FuseDisk>(image_.get());
  disk_->switches().recording = 0;
  file_ = base::Fd(::open(disk_->file().c_str(), O_RDWR | O_CLOEXEC));
  CHECK(file_, "open the disk: {}", ::strerror(errno));
  device_ = std::make_unique<LoopDevice>(must(LoopDevice::attach(file_.get())));
}

void FaultyStore::mount() {
  mount_.emplace(must(Mount::make(FileSystem::ext4, device_->path(), where_.path(), "errors=remount-ro")));
}

void FaultyStore::open() {
  mount();
  store_ = must(PowerStore::open(root(), {}));
}

void FaultyStore::unmount() {
  target_tree = {};
  store_.reset();
  if (mount_) CHECK(mount_->unmount(), "the file system is still in use");
  mount_.reset();
}

void FaultyStore::remount() {
  unmount();
  open();
}

void FaultyStore::close() {
  unmount();
  mount();
}

void FaultyStore::load_metadata() {
  must(base::read_file(root() / "meta/data.mdb", std::size_t{1} << 30));
  must(base::read_file(root() / "meta/lock.mdb", std::size_t{1} << 30));
}

void FaultyStore::lose_memory() {
  base::Fd reached = image_after(image_.get(), {}, {});
  disk_->switches().write_errno = EIO;
  unmount();
  device_.reset();
  file_.reset();
  disk_.reset();
  image_ = std::move(reached);
  attach();
}

void FaultyStore::fill() {
  const base::Fd ballast = must(base::open_host(where_ / "ballast", O_WRONLY | O_CREAT | O_APPEND, 0600));
  std::string bytes(1u << 20, 'x');
  while (true) {
    const ssize_t count = ::write(ballast.get(), bytes.data(), bytes.size());
    if (count > 0) continue;
    CHECK(errno == ENOSPC, "fill the disk: {}", ::strerror(errno));
    if (bytes.size() == 1) break;
    bytes.resize(bytes.size() / 2);
  }
  // What has only been promised is allocated, so that nothing comes free behind our back.
  must(base::sync_file(ballast.get()));
}

void FaultyStore::drain_bytes(std::uint64_t count) {
  struct ::stat stat {};
  const std::string ballast = (where_ / "ballast").str();
  CHECK(::stat(ballast.c_str(), &stat) == 0 && static_cast<std::uint64_t>(stat.st_size) > count);
  CHECK(::truncate(ballast.c_str(), stat.st_size - static_cast<off_t>(count)) == 0);
}

std::uint64_t FaultyStore::free_bytes() const {
  struct ::statvfs stat {};
  CHECK(::statvfs(where_.path().c_str(), &stat) == 0);
  return stat.f_bfree * stat.f_frsize;
}

void FaultyStore::drain() { CHECK(::unlink((where_ / "ballast").c_str()) == 0, "drain the disk: {}", ::strerror(errno)); }

void FaultyStore::fail_file_system() {
  std::ofstream trigger("/sys/fs/ext4/" + device_->path().substr(5) + "/trigger_fs_error");
  CHECK(static_cast<bool>(trigger << "injected by a test" << std::flush), "ext4 takes no injected error here");
}

std::vector<std::string> FaultyStore::violations() {
  unmount();
  mount();
  Expected expected;
  for (const auto& [id, state] : states_) expected.may_exist.emplace_back(id.value(), state);
  for (const SnapshotId id : acknowledged_) expected.must_exist.push_back(id.value());
  std::vector<std::string> texts;
  for (const Violation& found : check_snapshots(root(), expected, {})) {
    texts.push_back(fmt::format("{}: {}", to_string(found.kind), found.text));
  }
  return texts;
}

std::vector<std::string> FaultyStore::trees_on_disk() const { return must(base::list_host_dir(root() / "trees")); }

}  // namespace cairn::test
