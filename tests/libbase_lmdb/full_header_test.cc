// SPDX-License-Identifier: Apache-2.0
// No room for LMDB's header, as on a file system that copies on write: LMDB then refuses everything, also what is only read,
// until it is opened anew. Env does that by itself, under its readers.
//
// The positioned writes of this program are its own (below), so that only the header's meet the fault.
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <thread>

#include "tests/libbase_lmdb/writer_fixture.h"

namespace {

enum class Fault {
  none,
  refused,          // nothing is written
  half_written,     // the header is in the file when the call says no; LMDB can take it back
  cannot_be_undone  // and LMDB cannot take it back
};

struct Injector {
  std::atomic<Fault> fault{Fault::none};
  std::atomic<std::uint64_t> device{0}, inode{0};
  std::atomic<int> refused{0};

  void aim(const std::string& data_file) {
    struct ::stat facts {};
    ASSERT_EQ(::stat(data_file.c_str(), &facts), 0);
    device = facts.st_dev;
    inode = facts.st_ino;
  }
};
Injector injector;

// The headers are in the first two pages, and written without what comes before them; other pages come whole.
bool is_header(int fd, size_t size, off64_t at) {
  struct ::stat facts {};
  return at < 8192 && size < 4096 && ::fstat(fd, &facts) == 0 && facts.st_dev == injector.device && facts.st_ino == injector.inode;
}

ssize_t write_at(int fd, const void* bytes, size_t size, off64_t at) {
  const Fault fault = injector.fault;
  if (fault == Fault::none || !is_header(fd, size, at)) return ::syscall(SYS_pwrite64, fd, bytes, size, at);
  const int call = ++injector.refused;
  const bool first = call % 2 == 1;  // the second takes the first back
  if (fault == Fault::half_written && !first) return ::syscall(SYS_pwrite64, fd, bytes, size, at);
  if (fault != Fault::refused && first) (void)::syscall(SYS_pwrite64, fd, bytes, size, at);
  errno = ENOSPC;
  return -1;
}

}  // namespace

extern "C" ssize_t pwrite(int fd, const void* bytes, size_t size, off_t at) { return write_at(fd, bytes, size, at); }
extern "C" ssize_t pwrite64(int fd, const void* bytes, size_t size, off64_t at) { return write_at(fd, bytes, size, at); }

namespace cairn::test {
namespace {

using base::ErrorCode;
using base::Status;
using lmdb::ReadTxn;

class FullHeader : public GroupWriterTest {
 protected:
  void SetUp() override {
    GroupWriterTest::SetUp();
    injector.fault = Fault::none;
    injector.refused = 0;
    injector.aim((dir_ / "meta/data.mdb").str());
    ASSERT_TRUE(put_word(*env_, "a", "first"));
  }
  void TearDown() override {
    injector.fault = Fault::none;
    GroupWriterTest::TearDown();
  }
  void reopen() {
    writer_.reset();
    env_.reset();
    env_ = open_env(dir_ / "meta").value();
  }
};

TEST_F(FullHeader, CostsTheTransactionThatMetItAndNoOther) {
  for (const Fault fault : {Fault::refused, Fault::half_written}) {
    const std::string before = word(*env_, "a");
    const std::string after = fault == Fault::refused ? "second" : "third";
    injector.refused = 0;
    injector.fault = fault;
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(code_of(put_word(*env_, "a", after)), ErrorCode::no_space);
      EXPECT_EQ(word(*env_, "a"), before) << "and it is read";
    }
    EXPECT_EQ(injector.refused, 6) << "each of them was refused by the disk and not by LMDB";
    injector.fault = Fault::none;
    EXPECT_TRUE(put_word(*env_, "a", after));
    EXPECT_EQ(word(*env_, "a"), after);
    const auto other = open_read_only(dir_ / "meta");
    EXPECT_EQ(code_of(other), ErrorCode::busy) << "this process has it open, as before";
  }
  reopen();
  EXPECT_EQ(word(*env_, "a"), "third");
}

TEST_F(FullHeader, TheWriterGoesOnWithTheNextGroup) {
  injector.fault = Fault::refused;
  EXPECT_EQ(code_of(writer_->wait_durable(enqueue(word_entry("a", "lost")))), ErrorCode::no_space);
  injector.fault = Fault::none;
  EXPECT_TRUE(writer_->wait_durable(enqueue(word_entry("a", "kept"))));
  EXPECT_EQ(word(*env_, "a"), "kept");
}

// What was said to have failed must not come back: its trees and blobs are taken away.
TEST_F(FullHeader, ThatCannotBeTakenBackEndsTheWriter) {
  injector.fault = Fault::cannot_be_undone;
  EXPECT_EQ(code_of(writer_->wait_durable(enqueue(word_entry("a", "in doubt")))), ErrorCode::io);
  injector.fault = Fault::none;
  Entry next = word_entry("a", "next");
  const auto number = writer_->enqueue(std::move(next));
  EXPECT_EQ(code_of(number), ErrorCode::io);
  EXPECT_EQ(code_of(put_word(*env_, "a", "next")), ErrorCode::io);
  EXPECT_EQ(code_of(env_->view([](ReadTxn& txn) { return txn.get(words, "a"); })), ErrorCode::io);
  reopen();
  EXPECT_THAT(word(*env_, "a"), ::testing::AnyOf("first", "in doubt"));
  EXPECT_TRUE(put_word(*env_, "a", "after"));
}

// Readers that run keep their version; those that begin wait until it is open again.
TEST_F(FullHeader, ReadersSeeNothingOfIt) {
  std::atomic<bool> done = false;
  std::atomic<int> reads = 0;
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      while (!done) {
        const auto value = env_->view([&](ReadTxn& txn) -> base::Result<std::string> {
          EXPECT_NE(word(*env_, "a"), "-") << "a view in a view";
          return word(txn, "a");
        });
        EXPECT_TRUE(value) << value.error().message;
        ++reads;
      }
    });
  }
  for (int i = 0; i < 200; ++i) {
    injector.fault = i % 2 == 0 ? Fault::refused : Fault::none;
    EXPECT_EQ(put_word(*env_, "a", std::to_string(i)).has_value(), i % 2 == 1);
  }
  injector.fault = Fault::none;
  while (reads < 100) std::this_thread::yield();
  done = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(word(*env_, "a"), "199");
}

}  // namespace
}  // namespace cairn::test
