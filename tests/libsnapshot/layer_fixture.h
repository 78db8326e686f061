// SPDX-License-Identifier: Apache-2.0
// Applies layers to a tree in a temporary directory that has a sentinel beside it: whatever a layer does, what is
// outside the tree stays as it was.
#pragma once

#include "libsnapshot/layer.h"
#include "libsnapshot/mounts/detached.h"
#include "tests/conformance/snapshotter_fixture.h"
#include "tests/libsnapshot/tar_builder.h"

namespace cairn::snapshot {

class StringSource final : public base::ByteSource {
 public:
  explicit StringSource(std::string bytes) : bytes_(std::move(bytes)) {}
  base::Result<std::size_t> read(std::span<std::byte> out) override {
    const std::size_t count = std::min({out.size(), bytes_.size() - used_, std::size_t{7001}});
    std::memcpy(out.data(), bytes_.data() + used_, count);
    used_ += count;
    return count;
  }

 private:
  std::string bytes_;
  std::size_t used_ = 0;
};

inline base::Result<Applied> apply_bytes(const Tree& tree, const std::string& bytes, const ApplyOptions& options = {}) {
  return apply_layer(MountedTree(base::Fd(::fcntl(tree.fd(), F_DUPFD_CLOEXEC, 0))),
                     std::make_unique<StringSource>(bytes), options);
}

class LayerTest : public testing::Test {
 protected:
  LayerTest() {
    const auto top = must(base::open_host_dir(outside_.path()));
    CHECK(::mkdirat(top.get(), "tree", 0755) == 0);
    Tree(MountedTree(must(top.duplicate()))).write("sentinel", "untouched", 0640);
    before_ = outside_state();
    open_tree();
  }
  ~LayerTest() override { EXPECT_EQ(outside_state(), before_) << "something outside the tree was touched"; }

  void open_tree() {
    auto mount = must(mount_directory(must(base::open_host_dir(outside_ / "tree")).get(), Access::read_write));
    hold_ = std::move(mount.mount);
    tree_.emplace(MountedTree(std::move(mount.directory)));
  }
  Tree& tree() { return *tree_; }
  Applied apply(const std::string& bytes) { return must(apply_bytes(tree(), bytes)); }
  std::string refusal(const std::string& bytes, base::ErrorCode code) {
    const auto applied = apply_bytes(tree(), bytes);
    EXPECT_FALSE(applied.has_value());
    if (applied) return "";
    EXPECT_EQ(applied.error().code, code) << applied.error().message;
    return applied.error().message;
  }

  test::TempDir outside_;
  base::Fd hold_;
  std::optional<Tree> tree_;

 private:
  std::string outside_state() {
    const Tree top(MountedTree(must(base::open_host_dir(outside_.path()))));
    std::string state = top.read("sentinel");
    for (const auto& name : top.names()) state += " " + name;
    const auto status = top.stat("sentinel");
    return state + fmt::format(" {:o} {} {} {} {}", status.st_mode, status.st_uid, status.st_nlink,
                               status.st_ctim.tv_sec, status.st_ctim.tv_nsec);
  }
  std::string before_;
};

}  // namespace cairn::snapshot
