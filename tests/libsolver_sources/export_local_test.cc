// SPDX-License-Identifier: Apache-2.0
#include "libsolver/export_local.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "libbase/fs/beneath.h"
#include "tests/libsolver_sources/tree_on_disk.h"
#include "tests/support/temp_dir.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using testing::ElementsAre;
using testing::HasSubstr;

struct ExportLocalTest : testing::Test {
  base::Result<ExportReport> run(std::stop_token stop = {}) {
    return export_local(test::as_tree(tree.root()), dest, std::move(stop));
  }
  ExportReport must_run() {
    const auto report = run();
    EXPECT_TRUE(report) << report.error().message;
    return report.value_or(ExportReport{});
  }
  std::string content(std::string_view name) { return base::read_file(dest / name, 1 << 20).value_or("<none>"); }

  test::TempDir temporary;
  test::TreeOnDisk tree{temporary / "tree"};
  base::HostPath dest = temporary / "made/on/the/way";
};

TEST_F(ExportLocalTest, EverythingArrivesAsItIs) {
  tree.dir("dir", 02750);
  tree.file("dir/file", "content", 0640);
  tree.file("big", std::string(3 << 20, 'y'), 0444);
  tree.hard_link("z/link", "dir/file");
  tree.symlink("symlink", "/nowhere");
  tree.node("fifo", S_IFIFO | 0600);
  tree.node("null", S_IFCHR | 0666, makedev(1, 3));
  tree.xattr("dir/file", "user.note", "kept");
  tree.xattr("big", "trusted.secret", "not kept");
  tree.owner("dir", 10, 20);
  tree.owner("symlink", 30, 40);
  tree.dir("dir", 02750);
  tree.modified("big", {1111, 222333444});
  tree.modified("symlink", {3, 4});
  tree.modified("z", {5, 6});
  const ExportReport report = must_run();
  EXPECT_EQ(test::describe_tree(dest, test::Times::show), test::describe_tree(tree.root(), test::Times::show));
  EXPECT_EQ(report.entries, 8u);
  EXPECT_EQ(report.files, 3u);
  EXPECT_EQ(report.bytes, (3u << 20) + 7);
  EXPECT_THAT(report.warnings, ElementsAre());
  EXPECT_FALSE(base::list_xattrs_at(test::as_tree(dest).fd(), "big")->contains("trusted.secret"));
}

TEST_F(ExportLocalTest, ASecondExportGivesTheSame) {
  tree.file("dir/file", "content");
  tree.hard_link("other", "dir/file");
  tree.symlink("link", "dir");
  must_run();
  must_run();
  EXPECT_EQ(test::describe_tree(dest, test::Times::show), test::describe_tree(tree.root(), test::Times::show));
}

TEST_F(ExportLocalTest, OtherNamesStayAndFilesAreReplaced) {
  const test::TreeOnDisk there(dest);
  there.file("mine", "mine");
  there.file("dir/mine", "mine too");
  there.file("dir/file", "a longer content than the new one", 0777);
  there.hard_link("kept", "dir/file");
  there.file("now-a-directory", "x");
  there.dir("now-a-file");
  tree.file("dir/file", "new", 0600);
  tree.file("now-a-directory/x", "y");
  tree.file("now-a-file", "z");
  must_run();
  EXPECT_EQ(content("mine"), "mine");
  EXPECT_EQ(content("dir/mine"), "mine too");
  EXPECT_EQ(content("dir/file"), "new");
  EXPECT_EQ(content("kept"), "a longer content than the new one");  // replaced, not written to
  EXPECT_EQ(content("now-a-directory/x"), "y");
  EXPECT_EQ(content("now-a-file"), "z");
}

TEST_F(ExportLocalTest, LinksInTheDestinationAreNeverFollowed) {
  const test::TreeOnDisk outside(temporary / "outside");
  outside.file("victim", "untouched", 0600);
  const test::TreeOnDisk there(dest);
  there.symlink("file", (temporary / "outside/victim").str());
  there.symlink("dir", (temporary / "outside").str());
  there.symlink("link", (temporary / "outside").str());
  tree.file("file", "new", 0777);
  tree.file("dir/victim", "new");
  tree.symlink("link", "elsewhere");
  tree.owner("link", 5, 5);
  const auto before = test::describe_tree(outside.root(), test::Times::show);
  must_run();
  EXPECT_EQ(test::describe_tree(outside.root(), test::Times::show), before);
  EXPECT_EQ(test::describe_tree(dest, test::Times::show), test::describe_tree(tree.root(), test::Times::show));
}

TEST_F(ExportLocalTest, ADirectoryWithFilesIsNotReplaced) {
  test::TreeOnDisk(dest).file("name/precious", "x");
  tree.file("name", "y");
  const auto report = run();
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, ErrorCode::already_exists);
  EXPECT_THAT(report.error().message, HasSubstr("export name"));
  EXPECT_EQ(content("name/precious"), "x");
}

TEST_F(ExportLocalTest, TheDestinationMayBeALinkAndKeepsItsMetadata) {
  const test::TreeOnDisk real(temporary / "real");
  ASSERT_EQ(::chmod(real.root().c_str(), 0700), 0);
  dest = temporary / "link";
  ASSERT_EQ(::symlink("real", dest.c_str()), 0);
  tree.file("file", "x");
  must_run();
  EXPECT_THAT(test::names_below(real.root()), ElementsAre("file"));
  struct ::stat facts;
  ASSERT_EQ(::stat(real.root().c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777, 0700u);
}

TEST_F(ExportLocalTest, AFileInTheWayOfTheDestination) {
  test::TreeOnDisk(temporary / "made").file("on", "x");
  EXPECT_FALSE(run());
}

TEST_F(ExportLocalTest, AFullDiskNamesTheFile) {
  const test::TreeOnDisk there(dest);
  ASSERT_EQ(::mount("tmpfs", dest.c_str(), "tmpfs", 0, "size=1m,mode=755"), 0);
  tree.file("a-fits", "x");
  tree.file("b-too-big", std::string(4 << 20, 'x'));
  const auto report = run();
  EXPECT_EQ(content("a-fits"), "x");
  ASSERT_EQ(::umount2(dest.c_str(), MNT_DETACH), 0);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, ErrorCode::no_space);
  EXPECT_THAT(report.error().message, HasSubstr("b-too-big"));
}

TEST_F(ExportLocalTest, XattrsThatCannotBeSetAreMentioned) {
  const test::TreeOnDisk there(dest);
  ASSERT_EQ(::mount("ramfs", dest.c_str(), "ramfs", 0, "mode=755"), 0);
  tree.file("file", "x");
  tree.xattr("file", "user.note", "y");
  const auto report = run();
  EXPECT_EQ(content("file"), "x");
  ASSERT_EQ(::umount2(dest.c_str(), MNT_DETACH), 0);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_THAT(report->warnings, ElementsAre(HasSubstr("file lost its xattr user.note")));
}

TEST_F(ExportLocalTest, HolesStayHolesAcrossFileSystems) {
  const test::TreeOnDisk there(dest);
  ASSERT_EQ(::mount("tmpfs", dest.c_str(), "tmpfs", 0, "size=4m,mode=755"), 0);
  tree.file("sparse", "start");
  ASSERT_EQ(::truncate((tree.root() / "sparse").c_str(), 64 << 20), 0);
  tree.file("hole-only");
  ASSERT_EQ(::truncate((tree.root() / "hole-only").c_str(), 1 << 20), 0);
  tree.file("odd", std::string(300'001, 'q'));
  const auto report = run();
  EXPECT_EQ(test::describe_tree(dest, test::Times::show), test::describe_tree(tree.root(), test::Times::show));
  ASSERT_EQ(::umount2(dest.c_str(), MNT_DETACH), 0);
  ASSERT_TRUE(report) << report.error().message;
}

TEST_F(ExportLocalTest, DeepTreesNeedFewDescriptors) {
  tree.deep(300);
  const test::FewDescriptors few;
  EXPECT_EQ(must_run().entries, 301u);
  EXPECT_EQ(test::stream_digest_of(dest), test::stream_digest_of(tree.root()));
}

TEST_F(ExportLocalTest, AStopRequestEndsIt) {
  tree.file("file", "x");
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(run(stop.get_token()).error().code, ErrorCode::cancelled);
}

}  // namespace
}  // namespace cairn::solver
