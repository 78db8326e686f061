// SPDX-License-Identifier: Apache-2.0
// Applies layers to a tree in a temporary directory that has a sentinel beside it: whatever a layer does, what is
// outside the tree stays as it was.
#pragma once

#include "libsnapshot/layer.h"
#include "libsnapshot/mounts/detached.h"
#include "tests/conformance/snapshotter_fixture.h"
#include "tests/libsnapshot/tar_builder.h"
#include "tests/support/string_source.h"

namespace cairn::snapshot {

// A layer that comes in pieces which end anywhere.
inline std::unique_ptr<base::ByteSource> layer_source(const std::string& bytes) {
  return std::make_unique<test::StringSource>(bytes, 7001);
}

inline base::Result<Applied> apply_bytes(const Tree& tree, const std::string& bytes, const ApplyOptions& options = {}) {
  return apply_layer(MountedTree(base::Fd(::fcntl(tree.fd(), F_DUPFD_CLOEXEC, 0))),
                     layer_source(bytes), options);
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
