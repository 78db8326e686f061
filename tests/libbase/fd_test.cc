// SPDX-License-Identifier: Apache-2.0
#include "libbase/fs/fd.h"

#include <limits>
#include <thread>

#include "tests/libbase/fs_fixture.h"

namespace cairn::base {
namespace {

class FdTest : public FsTest {
 protected:
  static bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }
  static bool is_close_on_exec(int fd) { return (::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0; }
};

TEST_F(FdTest, closes_once_and_moves) {
  Fd fd = open_host_dir(temp_.path()).value();
  const int number = fd.get();
  EXPECT_TRUE(is_open(number));
  Fd moved = std::move(fd);
  EXPECT_FALSE(fd);
  EXPECT_EQ(moved.get(), number);
  Fd& same = moved;
  moved = std::move(same);
  EXPECT_TRUE(is_open(number)) << "moving onto itself keeps it";
  moved = Fd();
  EXPECT_FALSE(is_open(number));
}

TEST_F(FdTest, release_gives_the_number_away) {
  Fd fd = open_host_dir(temp_.path()).value();
  const int number = fd.release();
  fd.reset();
  EXPECT_TRUE(is_open(number));
  ::close(number);
}

TEST_F(FdTest, descriptors_are_close_on_exec) {
  const Fd fd = open_host_dir(temp_.path()).value();
  const Fd copy = fd.duplicate().value();
  EXPECT_NE(copy.get(), fd.get());
  EXPECT_TRUE(is_close_on_exec(fd.get()) && is_close_on_exec(copy.get()));
  EXPECT_CODE(Fd().duplicate(), ErrorCode::io);
}

TEST_F(FdTest, open_tells_why_it_cannot) {
  make_file("file");
  EXPECT_CODE(open_host(host("none"), O_RDONLY), ErrorCode::not_found);
  EXPECT_CODE(open_host(host("file/below"), O_RDONLY), ErrorCode::not_found);
  EXPECT_CODE(open_host(host("file"), O_WRONLY | O_CREAT | O_EXCL, 0600), ErrorCode::already_exists);
  EXPECT_CODE(open_host_dir(host("file")), ErrorCode::not_found);
  EXPECT_THAT(open_host(host("none"), O_RDONLY).error().message, testing::HasSubstr(host("none").str()));
}

TEST_F(FdTest, open_uses_the_mode) {
  const Fd fd = open_host(host("new"), O_WRONLY | O_CREAT, 0600).value();
  EXPECT_EQ(stat_fd(fd.get()).value().st_mode, static_cast<mode_t>(S_IFREG | 0600));
  EXPECT_CODE(stat_fd(-1), ErrorCode::io);
}

TEST_F(FdTest, whole_reads_and_writes_over_a_pipe) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const Fd reader(ends[0]);
  Fd writer(ends[1]);
  const std::string bytes(1'000'000, 'x');  // more than a pipe holds
  std::thread other([&] {
    EXPECT_OK(write_full(writer.get(), bytes));
    writer.reset();
  });
  std::string first(600'000, '\0');
  EXPECT_EQ(read_full(reader.get(), std::as_writable_bytes(std::span(first))).value(), 600'000u);
  EXPECT_EQ(read_full(reader.get(), std::as_writable_bytes(std::span(first))).value(), 400'000u);
  EXPECT_EQ(read_full(reader.get(), std::as_writable_bytes(std::span(first))).value(), 0u);
  other.join();
}

TEST_F(FdTest, reads_and_writes_tell_why_they_cannot) {
  make_file("file");
  const Fd fd = open_host(host("file"), O_RDONLY).value();
  std::byte byte;
  EXPECT_CODE(write_full(fd.get(), "x"), ErrorCode::io);
  EXPECT_CODE(read_full(root(), std::span(&byte, 1)), ErrorCode::io);
  EXPECT_CODE(read_all(root(), 10), ErrorCode::io);
  const Fd full = open_host(HostPath::parse("/dev/full").value(), O_WRONLY).value();
  EXPECT_CODE(write_full(full.get(), "x"), ErrorCode::no_space);
}

TEST_F(FdTest, read_file_is_bounded_exactly) {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{16383}, std::size_t{16384}, std::size_t{100'000}}) {
    const std::string bytes(size, 'y');
    make_file("file", bytes);
    EXPECT_EQ(read_file(host("file"), size).value(), bytes);
    EXPECT_EQ(read_file(host("file"), std::numeric_limits<std::size_t>::max()).value(), bytes);
    if (size > 0) EXPECT_CODE(read_file(host("file"), size - 1), ErrorCode::invalid_argument);
  }
  EXPECT_CODE(read_file(host("none"), 10), ErrorCode::not_found);
}

TEST_F(FdTest, read_all_reads_what_has_no_size_and_what_is_left) {
  const Fd status = open_host(HostPath::parse("/proc/self/status").value(), O_RDONLY).value();
  EXPECT_THAT(read_all(status.get(), 1 << 20).value(), testing::HasSubstr("Name:"));
  make_file("file", "0123456789");
  const Fd fd = open_host(host("file"), O_RDONLY).value();
  ASSERT_EQ(::lseek(fd.get(), 7, SEEK_SET), 7);
  EXPECT_EQ(read_all(fd.get(), 3).value(), "789");
}

TEST_F(FdTest, syncs_are_counted_by_kind) {
  const Fd fd = open_host(host("file"), O_WRONLY | O_CREAT, 0600).value();
  const SyncCounts before = sync_counts();
  EXPECT_OK(sync_data(fd.get()));
  EXPECT_OK(sync_data(fd.get()));
  EXPECT_OK(sync_file(fd.get()));
  EXPECT_OK(sync_filesystem(fd.get()));
  count_lmdb_sync();
  const SyncCounts after = sync_counts();
  EXPECT_EQ(after.fdatasync - before.fdatasync, 2u);
  EXPECT_EQ(after.fsync - before.fsync, 1u);
  EXPECT_EQ(after.syncfs - before.syncfs, 1u);
  EXPECT_EQ(after.lmdb - before.lmdb, 1u);
  EXPECT_EQ(after.total() - before.total(), 5u);
}

TEST_F(FdTest, a_sync_that_fails_says_so) {
  EXPECT_CODE(sync_data(-1), ErrorCode::io);
  EXPECT_CODE(sync_file(-1), ErrorCode::io);
  EXPECT_CODE(sync_filesystem(-1), ErrorCode::io);
}

}  // namespace
}  // namespace cairn::base
