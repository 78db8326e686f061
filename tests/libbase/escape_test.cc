// SPDX-License-Identifier: Apache-2.0
// Every way a name in a tree could lead out of it. The tree is "jail"; beside it lies "secret", which nobody may reach.
#include "libbase/fs/beneath.h"
#include "tests/libbase/fs_fixture.h"

namespace cairn::base {
namespace {

class EscapeTest : public FsTest {
 protected:
  void SetUp() override {
    make_file("secret", "outside");
    make_file("jail/dir/file", "inside");
    jail_ = open_host_dir(host("jail")).value();
  }
  Result<std::string> read(std::string_view path, Follow follow) {
    return read_beneath(jail_.get(), tree(path), 100, follow);
  }

  Fd jail_;
};

TEST_F(EscapeTest, without_following_every_link_is_refused) {
  make_link("../secret", "jail/up");
  make_link(host("secret").str(), "jail/absolute");
  make_link("dir", "jail/inner");
  make_link("dir/file", "jail/inner_file");
  make_link("..", "jail/parent");
  make_link("/proc/self/root", "jail/magic");
  for (const char* path : {"up", "absolute", "inner/file", "inner_file", "parent/secret", "magic/etc/passwd"}) {
    EXPECT_CODE(read(path, Follow::no), ErrorCode::invalid_argument);
  }
  EXPECT_CODE(open_beneath(jail_.get(), tree("inner"), O_RDONLY | O_DIRECTORY), ErrorCode::invalid_argument);
  EXPECT_CODE(open_beneath(jail_.get(), tree("up"), O_WRONLY | O_CREAT, 0600), ErrorCode::invalid_argument);
  EXPECT_EQ(contents("secret"), "outside");
}

TEST_F(EscapeTest, in_root_links_lead_to_the_tree_itself) {
  make_link("../../../../dir/file", "jail/up");
  make_link("/dir/file", "jail/absolute");
  make_link("/..", "jail/dir/root");
  for (const char* path : {"up", "absolute", "dir/root/dir/file", "dir/root/dir/root/absolute"}) {
    EXPECT_EQ(read(path, Follow::in_root).value(), "inside") << path;
  }
  make_link("../secret", "jail/secret_up");
  make_link(host("secret").str(), "jail/secret_absolute");
  EXPECT_CODE(read("secret_up", Follow::in_root), ErrorCode::not_found);
  EXPECT_CODE(read("secret_absolute", Follow::in_root), ErrorCode::not_found);
  EXPECT_CODE(read("dir/root/secret_up", Follow::in_root), ErrorCode::not_found);
}

TEST_F(EscapeTest, in_root_creation_stays_in_the_tree) {
  make_link("/planted", "jail/absolute");
  make_link("../planted_up", "jail/up");
  EXPECT_OK(open_beneath(jail_.get(), tree("absolute"), O_WRONLY | O_CREAT, 0600, Follow::in_root));
  EXPECT_OK(open_beneath(jail_.get(), tree("up"), O_WRONLY | O_CREAT, 0600, Follow::in_root));
  EXPECT_TRUE(exists("jail/planted") && exists("jail/planted_up"));
  EXPECT_FALSE(exists("planted") || exists("planted_up"));
}

TEST_F(EscapeTest, loops_of_links_end) {
  make_link("b", "jail/a");
  make_link("a", "jail/b");
  EXPECT_CODE(read("a", Follow::no), ErrorCode::invalid_argument);
  EXPECT_CODE(read("a", Follow::in_root), ErrorCode::invalid_argument);
}

TEST_F(EscapeTest, magic_links_are_refused_either_way) {
  const Fd proc = open_host_dir(HostPath::parse("/proc").value()).value();
  const TreePath self_root = tree(fmt::format("{}/root", ::getpid()));
  for (const Follow follow : {Follow::no, Follow::in_root}) {
    EXPECT_CODE(open_beneath(proc.get(), self_root, O_RDONLY | O_DIRECTORY, 0, follow), ErrorCode::invalid_argument);
    EXPECT_CODE(open_beneath(proc.get(), self_root.child("etc"), O_RDONLY, 0, follow), ErrorCode::invalid_argument);
  }
}

TEST_F(EscapeTest, a_last_link_can_be_opened_itself) {
  make_link("../secret", "jail/dir/link");
  for (const Follow follow : {Follow::no, Follow::in_root}) {
    const Fd link = open_beneath(jail_.get(), tree("dir/link"), O_PATH | O_NOFOLLOW, 0, follow).value();
    EXPECT_TRUE(S_ISLNK(stat_fd(link.get()).value().st_mode));
    EXPECT_CODE(open_beneath(jail_.get(), tree("dir/link"), O_RDONLY | O_NOFOLLOW, 0, follow),
                ErrorCode::invalid_argument);
  }
  make_link("dir", "jail/inner");
  EXPECT_CODE(open_beneath(jail_.get(), tree("inner/link"), O_PATH | O_NOFOLLOW), ErrorCode::invalid_argument);
}

TEST_F(EscapeTest, removal_and_measure_never_follow) {
  make_file("outside/kept", std::string(100'000, 'x'));
  make_link("../outside", "jail/link");
  make_link("../../outside", "jail/dir/link");
  EXPECT_LT(measure_tree(jail_.get()).value().bytes, 100'000);
  EXPECT_CODE(remove_all_beneath(jail_.get(), tree("link/kept")), ErrorCode::invalid_argument);
  EXPECT_OK(remove_all_beneath(jail_.get(), tree("link")));
  EXPECT_OK(remove_all_beneath(jail_.get(), tree("dir")));
  EXPECT_FALSE(exists("jail/link") || exists("jail/dir"));
  EXPECT_TRUE(exists("outside/kept"));
}

TEST_F(EscapeTest, attributes_are_those_of_the_link) {
  make_link("../secret", "jail/link");
  ASSERT_TRUE(set_xattr_at(root(), "secret", "user.secret", "1"));
  ASSERT_TRUE(set_xattr_at(jail_.get(), "link", "trusted.own", "2"));
  const auto attributes = list_xattrs_at(jail_.get(), "link").value();
  EXPECT_EQ(attributes.count("user.secret"), 0u);
  EXPECT_EQ(attributes.at("trusted.own"), "2");
  EXPECT_EQ(list_xattrs_at(root(), "secret").value().count("trusted.own"), 0u);
}

}  // namespace
}  // namespace cairn::base
