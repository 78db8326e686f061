// SPDX-License-Identifier: Apache-2.0
// Opening: what is created, what is refused, what damage is told apart.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libbase/fs/fd.h"
#include "tests/libbase_lmdb/rows.h"

namespace cairn::test {
namespace {

using base::ErrorCode;
using base::Status;
using lmdb::ReadTxn;

void overwrite(const base::HostPath& file, off_t offset, const std::string& bytes) {
  const base::Fd fd = base::open_host(file, O_WRONLY).value();
  ASSERT_EQ(::pwrite(fd.get(), bytes.data(), bytes.size(), offset), static_cast<ssize_t>(bytes.size()));
}

class LmdbOpen : public ::testing::Test {
 protected:
  TempDir dir_;
  const base::HostPath meta_ = dir_ / "meta";
};

TEST_F(LmdbOpen, CreatingIsOneCommitAndReopeningIsNone) {
  {
    auto env = open_env(meta_).value();
    EXPECT_EQ(env->counts().commits, 1u);
  }
  const std::uint64_t before = base::sync_counts().total();
  {
    auto env = open_env(meta_).value();
    EXPECT_EQ(env->counts().commits, 0u);
  }
  { ASSERT_TRUE(open_read_only(meta_)); }
  EXPECT_EQ(base::sync_counts().total(), before);
}

TEST_F(LmdbOpen, NewTableIsAddedInOneCommit) {
  {
    auto env = open_env(meta_).value();
    ASSERT_TRUE(put_word(*env, "a", "value"));
  }
  const std::array<const lmdb::RawTableSpec*, 3> more{&counters, &words, &others};
  auto env = lmdb::Env::open(meta_, more, {}).value();
  EXPECT_EQ(env->counts().commits, 1u);
  EXPECT_EQ(word(*env, "a"), "value");
  ASSERT_TRUE(env->update([](lmdb::WriteTxn& txn) { return txn.put(others, "a", "other"); }));
}

TEST_F(LmdbOpen, DefaultMapIsAReservationFarBeyondTheDisk) {
  auto env = open_env(meta_).value();
  EXPECT_GE(env->map_bytes(), 1ull << 33);
  EXPECT_LT(env->allocated_bytes(), 5u << 20);  // a few pages, and the blocks that are kept for a full disk
}

TEST_F(LmdbOpen, ProgramsThatAreStartedInheritNoDescriptor) {
  auto env = open_env(meta_).value();
  int checked = 0;
  for (int fd = 0; fd < 256; ++fd) {
    char target[512] = {};
    if (::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), target, sizeof(target) - 1) < 0) continue;
    if (!std::string_view(target).starts_with(meta_.str())) continue;
    ++checked;
    EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0) << target;
  }
  EXPECT_GE(checked, 3);  // the data twice, the locks
}

TEST_F(LmdbOpen, SecondOpenInTheProcessIsBusyUnderAnyName) {
  auto env = open_env(meta_).value();
  EXPECT_EQ(code_of(open_env(meta_)), ErrorCode::busy);
  EXPECT_EQ(code_of(open_read_only(meta_)), ErrorCode::busy);
  ASSERT_EQ(::symlink(meta_.c_str(), (dir_ / "alias").c_str()), 0);
  EXPECT_EQ(code_of(open_env(dir_ / "alias")), ErrorCode::busy);
  ASSERT_TRUE(put_word(*env, "a", "value"));
  env.reset();
  env = open_env(dir_ / "alias").value();
  EXPECT_EQ(word(*env, "a"), "value");
}

TEST_F(LmdbOpen, ReadOnlyFindsNothingAndLeavesNothing) {
  EXPECT_EQ(code_of(open_read_only(meta_)), ErrorCode::not_found);
  EXPECT_NE(::access(meta_.c_str(), F_OK), 0);
  ASSERT_EQ(::mkdir(meta_.c_str(), 0700), 0);
  EXPECT_EQ(code_of(open_read_only(meta_)), ErrorCode::not_found);
  EXPECT_NE(::access((meta_ / "lock.mdb").c_str(), F_OK), 0);
}

// Its owner found no room for the first page. Whoever may write begins there.
TEST_F(LmdbOpen, AnEmptyFileHoldsNothingForReadersAndIsMadeAnewByAnOwner) {
  ASSERT_EQ(::mkdir(meta_.c_str(), 0700), 0);
  ASSERT_TRUE(base::open_host(meta_ / "data.mdb", O_WRONLY | O_CREAT, 0600));
  EXPECT_EQ(code_of(open_read_only(meta_)), ErrorCode::not_found);
  { ASSERT_TRUE(put_word(*open_env(meta_).value(), "a", "value")); }
  EXPECT_EQ(word(*open_read_only(meta_).value(), "a"), "value");
}

TEST_F(LmdbOpen, MissingParentIsNotFound) { EXPECT_EQ(code_of(open_env(dir_ / "a/b")), ErrorCode::not_found); }

TEST_F(LmdbOpen, FailedOpenLeavesThePathFree) {
  ASSERT_EQ(::mkdir(meta_.c_str(), 0700), 0);
  ASSERT_EQ(::mkdir((meta_ / "data.mdb").c_str(), 0700), 0);
  EXPECT_TRUE(code_of(open_env(meta_)).has_value());
  ASSERT_EQ(::rmdir((meta_ / "data.mdb").c_str()), 0);
  EXPECT_EQ(code_of(open_env(meta_)), std::nullopt);
}

TEST_F(LmdbOpen, TableThatAReadOnlyOpenerDoesNotFindReadsAsEmpty) {
  { ASSERT_TRUE(open_env(meta_)); }
  const std::array<const lmdb::RawTableSpec*, 2> one_missing{&words, &others};
  lmdb::Env::Options options;
  options.mode = lmdb::Mode::read_only;
  auto env = lmdb::Env::open(meta_, one_missing, options).value();
  int visits = 0;
  ASSERT_TRUE(env->view([&](ReadTxn& txn) -> Status {
    EXPECT_FALSE(TRY(txn.get(others, "a")).has_value());
    EXPECT_EQ(TRY(txn.count(others)), 0u);
    return txn.scan(others, "", [&](const std::string&, const std::string&) -> base::Result<lmdb::Scan> {
      ++visits;
      return lmdb::Scan::next;
    });
  }));
  EXPECT_EQ(visits, 0);
}

TEST_F(LmdbOpen, ReadOnlyRefusesUpdates) {
  { ASSERT_TRUE(open_env(meta_)); }
  auto env = open_read_only(meta_).value();
  EXPECT_EQ(code_of(put_word(*env, "a", "value")), ErrorCode::invalid_argument);
}

class LmdbDamage : public LmdbOpen {
 protected:
  void SetUp() override {
    auto env = open_env(meta_).value();
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(put_word(*env, "key " + std::to_string(i), std::string(3000, 'v')));
  }
  const base::HostPath data_ = meta_ / "data.mdb";
};

TEST_F(LmdbDamage, ForeignBytesAreCorrupt) {
  overwrite(data_, 0, std::string(8192, '#'));
  EXPECT_EQ(code_of(open_env(meta_)), ErrorCode::corrupt);
  EXPECT_EQ(code_of(open_read_only(meta_)), ErrorCode::corrupt);
}

TEST_F(LmdbDamage, AnotherFormatVersionIsCorrupt) {
  overwrite(data_, 16 + 4, std::string(4, '\x7f'));  // behind the page header and the magic number
  EXPECT_EQ(code_of(open_env(meta_)), ErrorCode::corrupt);
}

TEST_F(LmdbDamage, LostTailIsCorruptAndKillsNobody) {
  ASSERT_EQ(::truncate(data_.c_str(), 2 * 4096), 0);
  EXPECT_EQ(code_of(open_read_only(meta_)), ErrorCode::corrupt);
  ASSERT_EQ(::truncate(data_.c_str(), 2 * 4096), 0);
  EXPECT_EQ(code_of(open_env(meta_)), ErrorCode::corrupt);
}

TEST_F(LmdbDamage, LostHalfIsCorruptWhereItIsRead) {
  constexpr int rows = 1000;
  ASSERT_TRUE(open_env(meta_).value()->update([](lmdb::WriteTxn& txn) -> Status {
    for (int i = 0; i < rows; ++i) TRY(txn.put(words, "row " + std::to_string(i), std::string(1000, 'v')));
    return {};
  }));
  ASSERT_EQ(::truncate(data_.c_str(), 150 * 4096), 0);
  int lost = 0;
  if (const auto env = open_env(meta_)) {
    for (int i = 0; i < rows; ++i) {
      const auto got = (*env)->view([&](ReadTxn& txn) { return txn.get(words, "row " + std::to_string(i)); });
      if (got) continue;
      EXPECT_EQ(got.error().code, ErrorCode::corrupt);
      ++lost;
    }
  } else {
    EXPECT_EQ(env.error().code, ErrorCode::corrupt);
    lost = rows;
  }
  EXPECT_GT(lost, 0);
}

}  // namespace
}  // namespace cairn::test
