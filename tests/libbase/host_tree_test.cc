// SPDX-License-Identifier: Apache-2.0
#include "libbase/fs/host_tree.h"

#include <sys/statvfs.h>

#include "tests/libbase/fs_fixture.h"

namespace cairn::base {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;

class HostTreeTest : public FsTest {
 protected:
  static bool is_there(const HostPath& path) { return host_exists(path).value(); }
};

TEST_F(HostTreeTest, makes_directories) {
  EXPECT_OK(make_host_dirs(host("a/b/c")));
  EXPECT_OK(make_host_dirs(host("a/b/c")));
  EXPECT_TRUE(is_there(host("a/b/c")));
  make_file("file");
  make_link("a", "link");
  make_link("nowhere", "dangling");
  EXPECT_OK(make_host_dirs(host("link/d")));  // the machine's own links are trusted
  EXPECT_TRUE(is_there(host("a/d")));
  EXPECT_CODE(make_host_dirs(host("file")), ErrorCode::already_exists);
  EXPECT_CODE(make_host_dirs(host("file/below")), ErrorCode::already_exists);
  EXPECT_CODE(make_host_dirs(host("dangling")), ErrorCode::already_exists);
  EXPECT_CODE(make_host_dirs(host("a") / std::string(256, 'x')), ErrorCode::invalid_argument);
}

TEST_F(HostTreeTest, tells_whether_anything_is_there) {
  make_file("file");
  make_link("nowhere", "dangling");
  EXPECT_TRUE(is_there(host("file")) && is_there(host("dangling")) && is_there(temp_.path()));
  EXPECT_FALSE(is_there(host("none")) || is_there(host("none/below")) || is_there(host("file/below")));
  make_link("loop", "loop");
  EXPECT_CODE(host_exists(host("loop/below")), ErrorCode::invalid_argument);
}

TEST_F(HostTreeTest, removes_trees_and_files) {
  make_file("a/b/file");
  make_file("kept");
  make_link("../kept", "a/link");
  EXPECT_OK(remove_host_tree(host("a")));
  EXPECT_OK(remove_host_tree(host("a")));
  EXPECT_OK(remove_host_tree(host("none/below")));
  EXPECT_FALSE(is_there(host("a")));
  EXPECT_TRUE(is_there(host("kept")));
  EXPECT_OK(remove_host_tree(host("kept")));
  EXPECT_FALSE(is_there(host("kept")));
  EXPECT_CODE(remove_host_tree(HostPath::parse("/").value()), ErrorCode::invalid_argument);
  make_link("loop", "loop");
  EXPECT_CODE(remove_host_tree(host("loop/below")), ErrorCode::invalid_argument);
}

TEST_F(HostTreeTest, lists_names_in_order) {
  EXPECT_THAT(list_host_dir(temp_.path()).value(), IsEmpty());
  for (const char* name : {"b", "B", ".hidden", "a/inner"}) make_file(name);
  EXPECT_THAT(list_host_dir(temp_.path()).value(), ElementsAre(".hidden", "B", "a", "b"));
  EXPECT_CODE(list_host_dir(host("none")), ErrorCode::not_found);
  EXPECT_CODE(list_host_dir(host("b")), ErrorCode::not_found);
}

TEST_F(HostTreeTest, tells_the_free_space) {
  make_dirs("small");
  with_own_mounts([&] {
    ASSERT_EQ(::mount("tmpfs", host("small").c_str(), "tmpfs", 0, "size=1m"), 0);
    EXPECT_EQ(free_bytes(host("small")).value(), 1u << 20);
    make_file("small/file", std::string(4096 * 10, 'x'));
    EXPECT_EQ(free_bytes(host("small")).value(), (1u << 20) - 4096 * 10);
  });
  EXPECT_CODE(free_bytes(host("none")), ErrorCode::not_found);
}

TEST_F(HostTreeTest, a_temporary_directory_goes_with_its_owner) {
  const auto make = [&] { return TemporaryDir::create(temp_.path(), "scratch-").value(); };
  std::vector<HostPath> paths;
  {
    TemporaryDir first = make();
    TemporaryDir second = make();
    EXPECT_NE(first.path(), second.path());
    EXPECT_THAT(first.path().str(), StartsWith(host("scratch-").str()));
    EXPECT_EQ(find_stat_beneath(root(), tree(first.path().str().substr(temp_.path().str().size()))).value()->st_mode,
              static_cast<mode_t>(S_IFDIR | 0700));
    EXPECT_OK(make_host_dirs(first.path() / "a/b"));
    const HostPath first_path = first.path(), second_path = second.path();
    TemporaryDir moved = std::move(first);
    EXPECT_EQ(moved.path(), first_path);
    EXPECT_TRUE(is_there(first_path));
    moved = std::move(second);
    EXPECT_FALSE(is_there(first_path));
    EXPECT_TRUE(is_there(second_path));
    paths = {first_path, second_path};
  }
  for (const HostPath& path : paths) EXPECT_FALSE(is_there(path));
  EXPECT_CODE(TemporaryDir::create(host("none")), ErrorCode::not_found);
}

TEST_F(HostTreeTest, a_temporary_directory_may_be_gone_already) {
  const TemporaryDir dir = TemporaryDir::create(temp_.path()).value();
  EXPECT_OK(remove_host_tree(dir.path()));
}

}  // namespace
}  // namespace cairn::base
