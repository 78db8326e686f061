// SPDX-License-Identifier: Apache-2.0
// Directories that change while they are read: the answer is an error that names the file, or the digest of the bytes
// that are in the tree.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "libsolver/sources/local_dir.h"
#include "libsolver/sources/local_file.h"
#include "tests/libsolver_sources/tree_on_disk.h"
#include "tests/support/oci_layout_builder.h"
#include "tests/support/temp_dir.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using testing::AnyOf;
using testing::Eq;
using testing::HasSubstr;

struct LocalRaceTest : testing::Test {
  base::Result<LocalScan> copy_to(const test::TreeOnDisk& into, const LocalProgress& progress = {}) {
    const auto fd = base::open_host_dir(source.root());
    return copy_local(fd->get(), {}, test::as_tree(into.root()), {}, progress);
  }
  void append(std::string_view name, std::string_view bytes) {
    const base::Fd fd(::open((source.root() / name).c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
    ASSERT_TRUE(base::write_full(fd.get(), bytes));
  }
  test::TempDir temporary;
  test::TreeOnDisk source{temporary / "source"};
  test::TreeOnDisk target{temporary / "target"};
};

TEST_F(LocalRaceTest, AFileThatChangesOnceIsReadAgain) {
  source.file("file", std::string(4 << 20, 'x'));
  int calls = 0;
  const auto copied = copy_to(target, [&](std::uint64_t, std::uint64_t) {
    if (calls++ == 0) append("file", "more");
  });
  ASSERT_TRUE(copied) << copied.error().message;
  EXPECT_EQ(copied->bytes, (4u << 20) + 4);
  EXPECT_EQ(copied->digest, test::stream_digest_of(target.root()));
  EXPECT_EQ(base::read_file(target.root() / "file", 8 << 20).value().substr(4 << 20), "more");
}

TEST_F(LocalRaceTest, AFileThatShrinksOnceIsReadAgain) {
  source.file("file", std::string(4 << 20, 'x'));
  int calls = 0;
  const auto copied = copy_to(target, [&](std::uint64_t, std::uint64_t) {
    if (calls++ == 0) {
      ASSERT_EQ(::truncate((source.root() / "file").c_str(), 10), 0);
    }
  });
  ASSERT_TRUE(copied) << copied.error().message;
  EXPECT_EQ(base::read_file(target.root() / "file", 8 << 20).value(), std::string(10, 'x'));
  EXPECT_EQ(copied->digest, test::stream_digest_of(target.root()));
}

TEST_F(LocalRaceTest, AFileThatChangesTwiceIsAnErrorThatNamesIt) {
  source.file("dir/log", std::string(4 << 20, 'x'));
  const auto copied = copy_to(target, [&](std::uint64_t, std::uint64_t) { append("dir/log", "more"); });
  ASSERT_FALSE(copied);
  EXPECT_EQ(copied.error().code, ErrorCode::busy);
  EXPECT_THAT(copied.error().message, HasSubstr("dir/log"));
  EXPECT_THAT(copied.error().message, HasSubstr("changed twice"));
  EXPECT_FALSE(copied.error().hint.empty());
}

TEST_F(LocalRaceTest, OnlyItsModeChanging) {
  source.file("file", std::string(4 << 20, 'x'), 0644);
  int calls = 0;
  const auto copied = copy_to(target, [&](std::uint64_t, std::uint64_t) {
    if (calls++ == 0) {
      ASSERT_EQ(::chmod((source.root() / "file").c_str(), 0600), 0);
    }
  });
  ASSERT_TRUE(copied);
  EXPECT_EQ(copied->digest, test::stream_digest_of(target.root()));
  EXPECT_EQ(test::describe_tree(target.root(), test::Times::leave_out),
            test::describe_tree(source.root(), test::Times::leave_out));
}

TEST_F(LocalRaceTest, FilesThatVanishAreLeftOut) {
  source.file("a-big", std::string(4 << 20, 'x'));
  source.file("b/gone", "1");
  source.file("c-gone", "2");
  source.file("d-stays", "3");
  int calls = 0;
  const auto copied = copy_to(target, [&](std::uint64_t, std::uint64_t) {
    if (calls++ > 0) return;
    ::unlink((source.root() / "c-gone").c_str());
    ::unlink((source.root() / "b/gone").c_str());
    ::rmdir((source.root() / "b").c_str());
  });
  ASSERT_TRUE(copied) << copied.error().message;
  EXPECT_THAT(test::names_below(target.root()), testing::ElementsAre("a-big", "b", "d-stays"));
  EXPECT_EQ(copied->entries, 3u);
  EXPECT_EQ(copied->files, 2u);
  EXPECT_EQ(copied->digest, test::stream_digest_of(target.root()));
}

TEST_F(LocalRaceTest, AnotherNameStandsInForAVanishedFile) {
  source.file("a-big", std::string(4 << 20, 'x'));
  source.file("b", "content");
  source.hard_link("c", "b");
  source.hard_link("d", "b");
  int calls = 0;
  const auto copied = copy_to(target, [&](std::uint64_t, std::uint64_t) {
    if (calls++ == 0) ::unlink((source.root() / "b").c_str());
  });
  ASSERT_TRUE(copied) << copied.error().message;
  const auto made = test::describe_tree(target.root(), test::Times::leave_out);
  EXPECT_EQ(made.size(), 3u);
  EXPECT_THAT(made.at("d"), HasSubstr("= c"));
  EXPECT_EQ(copied->digest, test::stream_digest_of(target.root()));
}

TEST_F(LocalRaceTest, AFifoOrLinkThatTakesAFilesPlaceIsNamed) {
  for (const bool fifo : {true, false}) {
    const test::TreeOnDisk here(temporary / (fifo ? "one" : "two"));
    source.file("a-big", std::string(4 << 20, 'x'));
    ::unlink((source.root() / "b").c_str());
    source.file("b", "content");
    int calls = 0;
    const auto copied = copy_to(here, [&](std::uint64_t, std::uint64_t) {
      if (calls++ > 0) return;
      ::unlink((source.root() / "b").c_str());
      if (fifo) {
        ::mkfifo((source.root() / "b").c_str(), 0600);
      } else {
        ASSERT_EQ(::symlink("/etc/passwd", (source.root() / "b").c_str()), 0);
      }
    });
    ASSERT_FALSE(copied);
    EXPECT_EQ(copied.error().code, ErrorCode::busy);
    EXPECT_THAT(copied.error().message, HasSubstr("b: it is no longer a regular file"));
  }
}

TEST_F(LocalRaceTest, AWriterAtWorkNeverGivesAWrongDigest) {
  source.file("before", "1");
  source.file("log", std::string(300'000, 'x'));
  source.file("zz-after", "2");
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    for (int i = 0; !stop; ++i) {
      if (i % 50 == 49) (void)::truncate((source.root() / "log").c_str(), 1000);
      append("log", std::string(1'000, static_cast<char>('a' + i % 26)));
      if (i % 7 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  });
  int good = 0, busy = 0;
  for (int round = 0; round < 60; ++round) {
    const test::TreeOnDisk here(temporary / ("copy" + std::to_string(round)));
    const auto copied = copy_to(here);
    if (copied) {
      ++good;
      EXPECT_EQ(copied->digest, test::stream_digest_of(here.root()));
    } else {
      ++busy;
      EXPECT_EQ(copied.error().code, ErrorCode::busy) << copied.error().message;
      EXPECT_THAT(copied.error().message, HasSubstr("log"));
    }
  }
  stop = true;
  writer.join();
  EXPECT_EQ(good + busy, 60);
}

}  // namespace
}  // namespace cairn::solver
