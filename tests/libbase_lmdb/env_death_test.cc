// SPDX-License-Identifier: Apache-2.0
// What would hang, or read freed memory, in plain LMDB ends the process with a message here.
#include <gmock/gmock.h>

#include <thread>

#include "tests/libbase_lmdb/rows.h"

namespace cairn::test {
namespace {

using base::Result;
using base::Status;
using lmdb::ReadTxn;
using lmdb::Scan;
using lmdb::WriteTxn;

class LmdbDeathTest : public ::testing::Test {
 protected:
  void SetUp() override { ::testing::FLAGS_gtest_death_test_style = "threadsafe"; }
  TempDir dir_;
  std::unique_ptr<lmdb::Env> env_ = open_env(dir_ / "meta").value();
};

TEST_F(LmdbDeathTest, UpdateInsideAnUpdate) {
  EXPECT_DEATH((void)env_->update([&](WriteTxn&) { return put_word(*env_, "a", "value"); }),
               "an update inside an update");
}

TEST_F(LmdbDeathTest, UpdateOfAnotherEnvironmentInsideAnUpdate) {
  auto other = open_env(dir_ / "other").value();
  EXPECT_DEATH((void)env_->update([&](WriteTxn&) { return put_word(*other, "a", "value"); }),
               "an update inside an update");
}

TEST_F(LmdbDeathTest, UpdateInsideAView) {
  EXPECT_DEATH((void)env_->view([&](ReadTxn&) { return put_word(*env_, "a", "value"); }), "an update inside a view");
}

TEST_F(LmdbDeathTest, WriteInsideAScan) {
  ASSERT_TRUE(put_word(*env_, "a", "value"));
  const auto erase_while_scanning = [](WriteTxn& txn) {
    return txn.scan(words, "", [&](const std::string& key, const std::string&) -> Result<Scan> {
      TRY(txn.erase(words, key));
      return Scan::next;
    });
  };
  EXPECT_DEATH((void)env_->update(erase_while_scanning), "inside a scan");
}

TEST_F(LmdbDeathTest, TableThatWasNotNamed) {
  EXPECT_DEATH((void)env_->view([](ReadTxn& txn) { return txn.get(others, "a"); }), "test.others was not named");
}

TEST_F(LmdbDeathTest, TableNamedTwice) {
  const std::array<const lmdb::RawTableSpec*, 2> twice{&words, &words};
  EXPECT_DEATH((void)lmdb::Env::open(dir_ / "other", twice, {}), "named twice");
}

TEST_F(LmdbDeathTest, ClosingUnderAView) {
  EXPECT_DEATH((void)env_->view([&](ReadTxn&) -> Status {
    std::thread([&] { env_.reset(); }).join();
    return {};
  }),
               "closed while a view runs");
}

}  // namespace
}  // namespace cairn::test
