// SPDX-License-Identifier: Apache-2.0
// A store with a snapshotter, a writer and the few file operations that the cases of the suite are told in. Every
// operation works beneath a mount's descriptor, as production code does.
#pragma once

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/fs/beneath.h"
#include "libbase/lmdb/group_writer.h"
#include "libsnapshot/open.h"
#include "tests/support/disk_bytes.h"
#include "tests/support/temp_dir.h"

namespace cairn::snapshot {

// The value of a Result that must be one.
template <class T>
T must(base::Result<T> result) {
  if (!result) ADD_FAILURE() << result.error().message;
  CHECK(result.has_value());
  return std::move(*result);
}
inline void must(base::Status status) {
  ASSERT_TRUE(status.has_value()) << status.error().message;
}
template <class T>
std::optional<base::ErrorCode> code_of(const base::Result<T>& result) {
  return result ? std::nullopt : std::optional(result.error().code);
}

// Set by a runner whose snapshotter is not one of a driver: it gets the root and the name that the suite was given. What it
// makes ignores the transactions that it gets; they are of an environment that it has nothing to do with.
inline std::function<std::unique_ptr<Snapshotter>(const base::HostPath&, const std::string&)>& other_snapshotters() {
  static std::function<std::unique_ptr<Snapshotter>(const base::HostPath&, const std::string&)> made;
  return made;
}

// Everything opened; destroyed and made again it is a restart.
struct OpenStore {
  std::unique_ptr<base::lmdb::Env> env;
  std::unique_ptr<Snapshotter> snapshots;
  std::unique_ptr<base::lmdb::GroupWriter> writer;

  OpenStore(const base::HostPath& root, const std::string& driver, unsigned chain_max = 400,
            std::chrono::milliseconds squash_quiet = {},
            std::chrono::milliseconds squash_patience = std::chrono::hours(1)) {
    const bool other = static_cast<bool>(other_snapshotters());
    env = must(base::lmdb::Env::open(root / (other ? "other.meta" : "meta"), tables(), {}));
    OpenOptions options;
    options.driver = driver;
    options.chain_max = chain_max;
    options.squash_quiet = squash_quiet;
    options.squash_patience = squash_patience;
    snapshots = other ? other_snapshotters()(root, driver) : must(open(root, *env, options));
    writer = std::make_unique<base::lmdb::GroupWriter>(
        *env, [this](std::span<const base::lmdb::DataToken> tokens) { return snapshots->sync(tokens); },
        base::lmdb::GroupWriter::Options{});
  }
};

class Tree {
 public:
  explicit Tree(MountedTree mount) : mount_(std::move(mount)) {}
  int fd() const { return mount_.fd(); }
  void drop() { mount_ = MountedTree(); }

  void write(const std::string& path, std::string_view text, mode_t mode = 0644) {
    const base::Fd file(::openat(fd(), path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, mode));
    ASSERT_TRUE(file) << path << ": " << strerror(errno);
    must(base::write_full(file.get(), text));
  }
  std::string read(const std::string& path) const {
    const base::Fd file(::openat(fd(), path.c_str(), O_RDONLY));
    if (!file) return "no " + path;
    return must(base::read_all(file.get(), 1 << 20));
  }
  bool exists(const std::string& path) const { return ::faccessat(fd(), path.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0; }
  struct ::stat stat(const std::string& path) const {
    struct ::stat status {};
    EXPECT_EQ(::fstatat(fd(), path.c_str(), &status, AT_SYMLINK_NOFOLLOW), 0) << path << ": " << strerror(errno);
    return status;
  }
  mode_t mode(const std::string& path) const { return stat(path).st_mode & 07777; }
  void make_dir(const std::string& path, mode_t bits = 0755) {
    ASSERT_EQ(::mkdirat(fd(), path.c_str(), 0700), 0) << path << ": " << strerror(errno);
    ASSERT_EQ(::fchmodat(fd(), path.c_str(), bits, 0), 0);
  }
  void remove(const std::string& path) { must(base::remove_all_beneath(fd(), must(base::TreePath::parse(path)))); }
  void rename(const std::string& from, const std::string& to) {
    ASSERT_EQ(::renameat(fd(), from.c_str(), fd(), to.c_str()), 0) << from << ": " << strerror(errno);
  }
  void link(const std::string& from, const std::string& to) {
    ASSERT_EQ(::linkat(fd(), from.c_str(), fd(), to.c_str(), 0), 0) << from << ": " << strerror(errno);
  }
  void chmod(const std::string& path, mode_t bits) { ASSERT_EQ(::fchmodat(fd(), path.c_str(), bits, 0), 0) << path; }
  void chown(const std::string& path, uid_t uid, gid_t gid) {
    ASSERT_EQ(::fchownat(fd(), path.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW), 0) << path;
  }
  std::vector<std::string> names(const std::string& path = ".") const {
    const base::Fd directory(::openat(fd(), path.c_str(), O_RDONLY | O_DIRECTORY));
    std::vector<std::string> result;
    if (!directory) return result;
    for (auto& entry : must(base::list_dir(directory.get()))) result.push_back(std::move(entry.name));
    return result;
  }

 private:
  MountedTree mount_;
};

// Where the stores of a driver are made: what it needs may be there only. TMPDIR for those that the runner does not name.
inline std::map<std::string, base::HostPath>& store_places() {
  static std::map<std::string, base::HostPath> places;
  return places;
}
inline test::TempDir make_root(const std::string& driver) {
  const auto place = store_places().find(driver);
  return place == store_places().end() ? test::TempDir() : test::TempDir(place->second);
}

// In what drivers differ. A case that says nothing about a driver asks for one of these, and never leaves one out for
// another reason; SnapshotterFieldSuite.TraitsAreTrue holds them against what the driver does.
struct DriverTraits {
  bool stacks;  // a fork is a layer on its parent
  bool shares;  // a fork shares the blocks of its parent's files
  bool links;   // files of one tree can be hard-linked into another
};
inline const DriverTraits& traits_of(const std::string& driver) {
  static const std::map<std::string, DriverTraits> all = {
      {"overlay", {.stacks = true, .shares = false, .links = true}},
      {"btrfs", {.stacks = false, .shares = true, .links = false}},
      {"reflink", {.stacks = false, .shares = true, .links = true}},
      {"native", {.stacks = false, .shares = false, .links = true}}};
  return all.at(driver);
}

class SnapshotterSuite : public testing::TestWithParam<std::string> {
 protected:
  SnapshotterSuite() { start(); }

  void start(unsigned chain_max = 400) { store_ = std::make_unique<OpenStore>(root_.path(), GetParam(), chain_max); }
  void restart(unsigned chain_max = 400) {
    store_.reset();
    start(chain_max);
  }
  Snapshotter& snapshots() { return *store_->snapshots; }

  SnapshotId prepare(std::optional<SnapshotId> parent = std::nullopt) { return must(snapshots().prepare(parent)); }
  Tree write_to(SnapshotId id) { return Tree(must(snapshots().mount(id, Access::read_write))); }
  Tree view(SnapshotId id) { return Tree(must(snapshots().mount(id, Access::read_only))); }

  // A frozen snapshot that `change` has been made to.
  template <class F>
  SnapshotId freeze_with(std::optional<SnapshotId> parent, F&& change) {
    const auto id = prepare(parent);
    {
      Tree tree = write_to(id);
      change(tree);
    }
    must(snapshots().freeze(id));
    return id;
  }
  template <class F>
  SnapshotId commit_with(std::optional<SnapshotId> parent, F&& change) {
    const auto id = freeze_with(parent, std::forward<F>(change));
    publish({id});
    return id;
  }
  void publish(const std::vector<SnapshotId>& ids) {
    base::lmdb::SequenceNumber last = 0;
    for (const auto id : ids) {
      base::lmdb::GroupWriter::Entry entry;
      entry.change = [this, id](base::lmdb::WriteTxn& txn) { return snapshots().publish(txn, id); };
      entry.data = {snapshots().data_token(id)};
      last = must(store_->writer->enqueue(std::move(entry)));
    }
    must(store_->writer->wait_durable(last));
    for (const auto id : ids) snapshots().published(id);
  }
  base::Status retire(SnapshotId id) {
    return store_->env->update([&](base::lmdb::WriteTxn& txn) { return snapshots().retire(txn, id); });
  }
  std::int64_t erase_trash(std::stop_token stop = {}) {
    return must(snapshots().erase_trash(*store_->writer, std::move(stop)));
  }
  std::vector<std::string> trees_on_disk() {
    const auto directory = must(base::open_host_dir(root_ / "trees"));
    std::vector<std::string> result;
    for (auto& entry : must(base::list_dir(directory.get()))) result.push_back(std::move(entry.name));
    return result;
  }
  const DriverTraits& traits() const { return traits_of(GetParam()); }
  bool stacks() const { return traits().stacks; }
  bool shares() const { return traits().shares; }
  std::int64_t bytes_on_disk() {
    const auto directory = must(base::open_host_dir(root_ / "trees"));
    std::int64_t bytes = 0;
    if (shares()) {
      test::DiskBytes disk;
      for (const auto& name : trees_on_disk()) disk.add(must(base::open_host_dir(root_ / "trees" / name)).get());
      return disk.bytes();
    }
    std::set<ino_t> seen;  // trees share inodes
    for (const auto& entry : must(base::list_dir(directory.get()))) {
      const auto tree = must(base::open_host_dir(root_ / "trees" / entry.name));
      must(base::measure_tree(tree.get(), [&](const base::TreeEntry& found) -> base::Status {
        if (seen.insert(found.stat.st_ino).second) bytes += std::int64_t{found.stat.st_blocks} * 512;
        return {};
      }));
    }
    return bytes;
  }
  // What the rows say: committed snapshots, what they share, and trash.
  std::int64_t bytes_in_rows() {
    std::int64_t bytes = 0;
    must(store_->env->view([&](base::lmdb::ReadTxn& txn) -> base::Status {
      bytes += TRY(shared_usage(txn)).bytes;
      TRY(each_snapshot(txn, [&](const SnapshotInfo& info) -> base::Result<base::lmdb::Scan> {
        bytes += info.exclusive.bytes;
        return base::lmdb::Scan::next;
      }));
      return each_trash(txn, [&](SnapshotId, Usage usage) -> base::Result<base::lmdb::Scan> {
        bytes += usage.bytes;
        return base::lmdb::Scan::next;
      });
    }));
    return bytes;
  }

  test::TempDir root_ = make_root(GetParam());
  std::unique_ptr<OpenStore> store_;
};

inline auto nothing = [](Tree&) {};

}  // namespace cairn::snapshot
