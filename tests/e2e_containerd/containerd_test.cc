// SPDX-License-Identifier: Apache-2.0
// Debian's containerd with Cairn as its snapshotter: it imports an image that the test has made, runs containers on our
// trees, commits and removes; and nothing of it is lost when cached is killed meanwhile.
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/e2e_containerd/containerd_program.h"
#include "tests/support/busybox_root.h"
#include "tests/support/must.h"
#include "tests/support/oci_layout_builder.h"

namespace cairn::test {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr const char* image = "docker.io/library/two-layers:1";

class Containerd : public testing::Test {
 protected:
  // Two layers: a system, and a file that says so.
  void import_image() {
    const base::HostPath lower = ctrd_.work("lower"), upper = ctrd_.work("upper"), layout = ctrd_.work("layout");
    must(make_busybox_root(lower));
    fs::create_directory(upper.str());
    must(put_file(upper, "second/layer", "from the second layer\n"));
    ImageSpec spec;
    spec.layer_tars = {tar_of(lower), tar_of(upper)};
    spec.env = {"PATH=/bin"};
    write_layout(layout, spec, "1");
    const base::HostPath tar = ctrd_.work("image.tar");
    ASSERT_EQ(run_program(ctrd_.work("."), {"tar", "-C", layout.str(), "-cf", tar.str(), "."}).code, 0);
    const Ended imported = ctrd_.ctr({"image", "import", "--snapshotter", "cairn", "--base-name", "docker.io/library/two-layers", tar.str()});
    ASSERT_EQ(imported.code, 0) << imported.err << ctrd_.log();
    ASSERT_THAT(ctrd_.trees(), SizeIs(2));
  }
  nlohmann::json records() {
    const Ended listed = ctrd_.cached().cachectl({"ls", "--json"});
    EXPECT_EQ(listed.code, 0) << listed.err;
    return nlohmann::json::parse(listed.out);
  }
  void expect_clean_store() {
    ctrd_.cached().stop(SIGTERM);
    const Ended checked = ctrd_.cached().cachectl({"fsck"});
    EXPECT_EQ(checked.code, 0) << checked.out << checked.err;
  }
  // Whether this comes to be within some seconds.
  template <class Question>
  bool eventually(Question question) {
    for (int look = 0; look < 600; ++look) {
      if (question()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return false;
  }
  std::string in_tree(const std::string& tree, const std::string& file) {
    const auto text = base::read_file(ctrd_.cached().root() / ("trees/" + tree + "/fs/" + file), 1 << 20);
    return text ? *text : "";
  }
  bool some_tree_has(const std::string& file, const std::string& text) {
    for (const std::string& tree : ctrd_.trees())
      if (in_tree(tree, file) == text) return true;
    return false;
  }

  ContainerdProgram ctrd_;
};

TEST_F(Containerd, RunsContainersOfAnImportedImageOnOurTreesAndRemovesThem) {
  import_image();
  EXPECT_TRUE(some_tree_has("second/layer", "from the second layer\n"));
  EXPECT_EQ(ctrd_.run(image, "reads", {"/bin/cat", "/second/layer"}), "from the second layer\n");
  // What it sees as its root is an overlay of directories of the store, the changes in one of them.
  const std::string mounts = ctrd_.run(image, "looks", {"/bin/cat", "/proc/self/mounts"});
  const std::string trees = (ctrd_.cached().root() / "trees/").str();
  EXPECT_THAT(mounts.substr(0, mounts.find('\n')), AllOf(HasSubstr("overlay / overlay"), HasSubstr("upperdir=" + trees)));
  EXPECT_TRUE(eventually([&] { return ctrd_.trees().size() == 2; }));  // those of containers are erased in the background

  const std::string du = ctrd_.cached().cachectl({"du", "--by", "project"}).out;
  EXPECT_THAT(du, HasSubstr("containerd/default"));
  EXPECT_THAT(records()["records"], SizeIs(2));
  // What a name keeps is not somebody else's to take.
  EXPECT_EQ(ctrd_.cached().cachectl({"prune", "--all"}).code, 0);
  EXPECT_THAT(ctrd_.trees(), SizeIs(2));
  const Ended removed = ctrd_.ctr({"image", "rm", "--sync", image});
  ASSERT_EQ(removed.code, 0) << removed.err;
  // Its collector removes the snapshots and then asks for a cleanup.
  EXPECT_TRUE(eventually([&] { return ctrd_.trees().empty(); })) << ctrd_.snapshots({"ls"}).out << ctrd_.log();
  EXPECT_EQ(ctrd_.snapshots({"ls"}).out.find("sha256:"), std::string::npos);
  expect_clean_store();
}

TEST_F(Containerd, ARunningContainerKeepsItsFilesWhenCachedIsKilled) {
  import_image();
  const Ended begun = ctrd_.ctr({"run", "--detach", "--snapshotter", "cairn", image, "stays", "/bin/sh", "-c",
                                 "echo before > /before; until [ -e /go ]; do sleep 0.1; done; echo after > /after; sleep 600"});
  ASSERT_EQ(begun.code, 0) << begun.err << ctrd_.log();
  ASSERT_TRUE(eventually([&] { return some_tree_has("before", "before\n"); }));
  ctrd_.cached().stop(SIGKILL);
  ctrd_.cached().start();
  EXPECT_TRUE(some_tree_has("before", "before\n"));
  const Ended went = ctrd_.ctr({"task", "exec", "--exec-id", "go", "stays", "/bin/sh", "-c", "cat /before /second/layer; echo > /go"});
  EXPECT_EQ(went.out, "before\nfrom the second layer\n") << went.err;
  EXPECT_TRUE(eventually([&] { return some_tree_has("after", "after\n"); }));
  EXPECT_THAT(ctrd_.snapshots({"ls"}).out, HasSubstr("stays"));

  ASSERT_EQ(ctrd_.ctr({"task", "kill", "--signal", "SIGKILL", "stays"}).code, 0);
  ASSERT_TRUE(eventually([&] { return ctrd_.ctr({"task", "rm", "stays"}).code == 0; }));
  // What the container has made becomes a layer, on which another one runs.
  const Ended committed = ctrd_.snapshots({"commit", "kept", "stays"});
  ASSERT_EQ(committed.code, 0) << committed.err;
  ASSERT_EQ(ctrd_.snapshots({"prepare", "again", "kept"}).code, 0);
  EXPECT_THAT(ctrd_.snapshots({"mounts", ctrd_.work("mnt").str(), "again"}).out, HasSubstr("upperdir="));
  ASSERT_EQ(ctrd_.snapshots({"rm", "again"}).code, 0);
  expect_clean_store();
}

TEST_F(Containerd, SnapshotsByHandAreWhatItsOwnOnesAre) {
  import_image();
  EXPECT_EQ(ctrd_.snapshots({"prepare", "hand"}).code, 0);
  const std::string mount = ctrd_.snapshots({"mounts", ctrd_.work("mnt").str(), "hand"}).out;
  EXPECT_THAT(mount, HasSubstr("mount -t bind " + ctrd_.cached().root().str() + "/trees/"));
  fs::create_directory(ctrd_.work("mnt").str());
  ASSERT_EQ(run_program(ctrd_.work("."), {"sh", "-c", mount}).code, 0) << mount;
  must(put_file(ctrd_.work("mnt"), "by/hand", "x"));
  ASSERT_EQ(run_program(ctrd_.work("."), {"umount", ctrd_.work("mnt").str()}).code, 0);
  ASSERT_EQ(ctrd_.snapshots({"commit", "done", "hand"}).code, 0);
  EXPECT_TRUE(some_tree_has("by/hand", "x"));
  EXPECT_THAT(ctrd_.snapshots({"info", "done"}).out, AllOf(HasSubstr("\"Kind\": \"Committed\""), HasSubstr("\"Name\": \"done\"")));
  EXPECT_NE(ctrd_.snapshots({"prepare", "hand", "missing"}).code, 0);
  ASSERT_EQ(ctrd_.snapshots({"prepare", "above", "done"}).code, 0);
  EXPECT_NE(ctrd_.snapshots({"rm", "done"}).code, 0);
  ASSERT_EQ(ctrd_.snapshots({"label", "done", "a=b"}).code, 0);
  EXPECT_THAT(ctrd_.snapshots({"info", "done"}).out, HasSubstr("\"a\": \"b\""));
  EXPECT_THAT(ctrd_.snapshots({"usage", "done"}).out, HasSubstr("done"));
  EXPECT_THAT(ctrd_.snapshots({"tree"}).out, HasSubstr("above"));
  ASSERT_EQ(ctrd_.snapshots({"rm", "above"}).code, 0);
  ASSERT_EQ(ctrd_.snapshots({"rm", "done"}).code, 0);
  // Its garbage collection, which otherwise comes when it thinks fit; it waits for that.
  ASSERT_EQ(ctrd_.ctr({"content", "prune", "references"}).code, 0);
  EXPECT_TRUE(eventually([&] { return ctrd_.trees().size() == 2; })) << ctrd_.log();
  expect_clean_store();
}

}  // namespace
}  // namespace cairn::test
