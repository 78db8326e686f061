// SPDX-License-Identifier: Apache-2.0
// Paths longer than the kernel takes: 10,000 directories, one in the other.
#include <limits.h>
#include <sys/resource.h>

#include "libbase/fs/beneath.h"
#include "tests/libbase/fs_fixture.h"

namespace cairn::base {
namespace {

class LongPathTest : public FsTest {
 protected:
  static constexpr int depth = 10'000;

  static void SetUpTestSuite() { leave_shared_mounts(); }

  void SetUp() override {
    // In memory: so many directories take a disk half a minute.
    ASSERT_EQ(::mount("tmpfs", temp_.path().c_str(), "tmpfs", 0, nullptr), 0) << errno_text(errno);
    root_ = open_host_dir(temp_.path()).value();
    std::string text = "deep";
    for (int i = 1; i < depth; ++i) text += fmt::format("/d{}", i % 10);
    bottom_ = tree(text);
    ASSERT_GT(bottom_.str().size(), 2u * PATH_MAX);
    ASSERT_TRUE(make_dirs_beneath(root(), bottom_, 0755));
    file_ = bottom_.child("file");
    const Fd fd = open_beneath(root(), file_, O_WRONLY | O_CREAT, 0644).value();
    ASSERT_TRUE(write_full(fd.get(), "bottom"));
  }

  void TearDown() override {
    root_.reset();
    EXPECT_EQ(::umount(temp_.path().c_str()), 0) << errno_text(errno);
  }

  TreePath bottom_, file_;
};

TEST_F(LongPathTest, is_opened_read_and_found) {
  for (const Follow follow : {Follow::no, Follow::in_root}) {
    EXPECT_EQ(read_beneath(root(), file_, 100, follow).value(), "bottom");
    EXPECT_EQ(find_stat_beneath(root(), file_, follow).value()->st_size, 6);
    EXPECT_FALSE(find_stat_beneath(root(), bottom_.child("none"), follow).value());
    EXPECT_FALSE(find_stat_beneath(root(), bottom_.child("none").child("below"), follow).value());
    EXPECT_CODE(open_beneath(root(), file_.child("below"), O_RDONLY, 0, follow), ErrorCode::not_found);
    EXPECT_CODE(open_beneath(root(), file_, O_WRONLY | O_CREAT | O_EXCL, 0644, follow), ErrorCode::already_exists);
  }
}

TEST_F(LongPathTest, links_in_it_are_followed_in_the_root_or_refused) {
  const Fd bottom = open_beneath(root(), bottom_, O_RDONLY | O_DIRECTORY).value();
  make_file("top_file", "top");
  const std::pair<const char*, const char*> links[] = {
      {"/top_file", "absolute"}, {"../../top_file", "up"}, {"file", "beside"}, {"absolute", "chain"},
      {"loop", "loop"},          {"none", "dangling"},     {"..", "parent"}};
  for (const auto& [target, name] : links) ASSERT_EQ(::symlinkat(target, bottom.get(), name), 0);
  EXPECT_EQ(read_beneath(root(), bottom_.child("absolute"), 100, Follow::in_root).value(), "top");
  EXPECT_EQ(read_beneath(root(), bottom_.child("chain"), 100, Follow::in_root).value(), "top");
  EXPECT_EQ(read_beneath(root(), bottom_.child("beside"), 100, Follow::in_root).value(), "bottom");
  const TreePath back = bottom_.child("parent").child(bottom_.name()).child("file");
  EXPECT_EQ(read_beneath(root(), back, 100, Follow::in_root).value(), "bottom");
  EXPECT_CODE(read_beneath(root(), bottom_.child("up"), 100, Follow::in_root), ErrorCode::not_found);
  EXPECT_CODE(read_beneath(root(), bottom_.child("loop"), 100, Follow::in_root), ErrorCode::invalid_argument);
  EXPECT_CODE(read_beneath(root(), bottom_.child("dangling"), 100, Follow::in_root), ErrorCode::not_found);
  EXPECT_CODE(read_beneath(root(), bottom_.child("absolute"), 100), ErrorCode::invalid_argument);
  EXPECT_CODE(read_beneath(root(), back, 100), ErrorCode::invalid_argument);
  for (const Follow follow : {Follow::no, Follow::in_root}) {
    EXPECT_TRUE(S_ISLNK(find_stat_beneath(root(), bottom_.child("absolute"), follow).value()->st_mode));
  }
  EXPECT_OK(open_beneath(root(), bottom_.child("dangling"), O_WRONLY | O_CREAT, 0644, Follow::in_root));
  EXPECT_TRUE(find_stat_beneath(root(), bottom_.child("none")).value());
}

TEST_F(LongPathTest, a_link_at_the_top_leads_down) {
  make_link("deep", "short_cut");
  const TreePath through = tree("short_cut" + file_.str().substr(std::string("deep").size()));
  EXPECT_EQ(read_beneath(root(), through, 100, Follow::in_root).value(), "bottom");
  EXPECT_CODE(read_beneath(root(), through, 100), ErrorCode::invalid_argument);
}

TEST_F(LongPathTest, is_measured_and_removed_with_few_descriptors) {
  // The lowest free number and a few more: a descriptor per level would run out at once.
  const Fd next_free = root_.duplicate().value();
  ::rlimit limit_before;
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit_before), 0);
  ::rlimit limit = limit_before;
  limit.rlim_cur = static_cast<rlim_t>(next_free.get()) + 6;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  const auto size = measure_tree(root());
  const Status removed = remove_all_beneath(root(), tree("deep"));
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit_before), 0);
  ASSERT_TRUE(size) << size.error().message;
  EXPECT_EQ(size->inodes, depth + 2);  // the root and the file
  EXPECT_OK(removed);
  EXPECT_FALSE(exists("deep"));
}

TEST_F(LongPathTest, a_part_of_it_is_removed) {
  EXPECT_OK(remove_all_beneath(root(), bottom_));
  EXPECT_FALSE(find_stat_beneath(root(), bottom_).value());
  EXPECT_TRUE(find_stat_beneath(root(), bottom_.parent()).value());
  EXPECT_OK(remove_all_beneath(root(), file_));  // nothing there is success
}

}  // namespace
}  // namespace cairn::base
