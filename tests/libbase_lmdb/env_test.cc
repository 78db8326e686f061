// SPDX-License-Identifier: Apache-2.0
// Rows, scans and transactions of one environment in one thread.
#include <gmock/gmock.h>

#include <thread>

#include "libbase/fs/fd.h"
#include "tests/libbase_lmdb/rows.h"

namespace cairn::test {
namespace {

using base::ErrorCode;
using base::Result;
using base::Status;
using lmdb::ReadTxn;
using lmdb::Scan;
using lmdb::WriteTxn;
using ::testing::ElementsAre;

class LmdbEnv : public ::testing::Test {
 protected:
  std::vector<std::string> scan_words(std::string_view prefix, std::string_view from) {
    std::vector<std::string> keys;
    const Status status = env_->view([&](ReadTxn& txn) {
      return txn.scan_raw(words, prefix, from, [&](std::string_view key, std::string_view) -> Result<Scan> {
        keys.emplace_back(key);
        return Scan::next;
      });
    });
    EXPECT_TRUE(status.has_value());
    return keys;
  }
  void put_words(const std::vector<std::string>& keys) {
    ASSERT_TRUE(env_->update([&](WriteTxn& txn) -> Status {
      for (const std::string& key : keys) TRY(txn.put(words, key, "value of " + key));
      return {};
    }));
  }

  TempDir dir_;
  std::unique_ptr<lmdb::Env> env_ = open_env(dir_ / "meta").value();
};

TEST_F(LmdbEnv, TypedRowsAreThereAfterReopening) {
  ASSERT_TRUE(env_->update([](WriteTxn& txn) -> Status {
    TRY(txn.put(counters, "a", Counter{7}));
    TRY(txn.put(counters, "b", Counter{8}));
    TRY(txn.put(counters, "b", Counter{9}));
    return txn.put(words, "a", "a word");
  }));
  env_.reset();
  env_ = open_env(dir_ / "meta").value();
  ASSERT_TRUE(env_->view([](ReadTxn& txn) -> Status {
    EXPECT_EQ(TRY(txn.get(counters, "a")).value().value, 7u);
    EXPECT_EQ(TRY(txn.get(counters, "b")).value().value, 9u);
    EXPECT_FALSE(TRY(txn.get(counters, "c")).has_value());
    EXPECT_EQ(TRY(txn.get(words, "a")), "a word");
    EXPECT_EQ(TRY(txn.count(counters)), 2u);
    EXPECT_EQ(TRY(txn.count(words)), 1u);
    return {};
  }));
}

TEST_F(LmdbEnv, RowThatDoesNotDecodeIsCorrupt) {
  ASSERT_TRUE(env_->update([](WriteTxn& txn) { return txn.put_raw(counters, "a", "\x01short"); }));
  const auto got = env_->view([](ReadTxn& txn) { return txn.get(counters, "a"); });
  ASSERT_EQ(code_of(got), ErrorCode::corrupt);
  EXPECT_THAT(got.error().message, ::testing::HasSubstr("test.counters"));
  const Status scanned = env_->view([](ReadTxn& txn) {
    return txn.scan(counters, "", [](const std::string&, const Counter&) -> Result<Scan> { return Scan::next; });
  });
  EXPECT_EQ(code_of(scanned), ErrorCode::corrupt);
}

TEST_F(LmdbEnv, ScanKeepsToThePrefixAndBeginsAtFrom) {
  put_words({"a", "b", "ba", "bb", "bc", "c"});
  EXPECT_THAT(scan_words("", ""), ElementsAre("a", "b", "ba", "bb", "bc", "c"));
  EXPECT_THAT(scan_words("b", ""), ElementsAre("b", "ba", "bb", "bc"));
  EXPECT_THAT(scan_words("b", "bb"), ElementsAre("bb", "bc"));
  EXPECT_THAT(scan_words("b", std::string("bb\0", 3)), ElementsAre("bc"));
  EXPECT_THAT(scan_words("", "bb"), ElementsAre("bb", "bc", "c"));
  EXPECT_THAT(scan_words("bd", ""), ElementsAre());
  EXPECT_THAT(scan_words("d", ""), ElementsAre());
}

TEST_F(LmdbEnv, ScanFromOutsideThePrefixIsRefused) {
  const Status status = env_->view([](ReadTxn& txn) {
    return txn.scan_raw(words, "b", "c", [](std::string_view, std::string_view) -> Result<Scan> { return Scan::next; });
  });
  EXPECT_EQ(code_of(status), ErrorCode::invalid_argument);
}

TEST_F(LmdbEnv, ScanEndsWhereTheVisitorSays) {
  put_words({"a", "b", "c"});
  int visits = 0;
  ASSERT_TRUE(env_->view([&](ReadTxn& txn) {
    return txn.scan(words, "", [&](const std::string& key, const std::string& value) -> Result<Scan> {
      ++visits;
      EXPECT_EQ(value, "value of " + key);
      return key == "b" ? Scan::stop : Scan::next;
    });
  }));
  EXPECT_EQ(visits, 2);
  const Status failed = env_->view([&](ReadTxn& txn) {
    return txn.scan(words, "", [&](const std::string&, const std::string&) -> Result<Scan> {
      return base::fail(ErrorCode::cancelled, "enough");
    });
  });
  EXPECT_EQ(code_of(failed), ErrorCode::cancelled);
}

TEST_F(LmdbEnv, UpdateReadsWhatItWroteAndCanScanThenErase) {
  put_words({"a", "b", "c"});
  ASSERT_TRUE(env_->update([](WriteTxn& txn) -> Status {
    TRY(txn.put(words, "d", "new"));
    std::vector<std::string> keys;
    TRY(txn.scan(words, "", [&](const std::string& key, const std::string&) -> Result<Scan> {
      keys.push_back(key);
      return Scan::next;
    }));
    EXPECT_THAT(keys, ElementsAre("a", "b", "c", "d"));
    for (const std::string& key : keys)
      if (key != "b") TRY(txn.erase(words, key));
    return txn.erase(words, "never there");
  }));
  EXPECT_THAT(scan_words("", ""), ElementsAre("b"));
}

TEST_F(LmdbEnv, FailingUpdateLeavesNothing) {
  put_words({"a"});
  const lmdb::TxnCounts before = env_->counts();
  const Status status = env_->update([](WriteTxn& txn) -> Status {
    TRY(txn.put(words, "a", "changed"));
    TRY(txn.put(words, "b", "new"));
    return base::fail(ErrorCode::busy, "not now");
  });
  ASSERT_EQ(code_of(status), ErrorCode::busy);
  EXPECT_EQ(status.error().message, "not now");
  EXPECT_EQ(env_->counts().commits, before.commits);
  EXPECT_EQ(word(*env_, "a"), "value of a");
  EXPECT_EQ(word(*env_, "b"), "-");
}

TEST_F(LmdbEnv, NestedViewReadsItsOwnVersion) {
  ASSERT_TRUE(put_word(*env_, "a", "old"));
  ASSERT_TRUE(env_->view([&](ReadTxn& outer) -> Status {
    std::thread([&] { EXPECT_TRUE(put_word(*env_, "a", "new")); }).join();
    EXPECT_EQ(word(outer, "a"), "old");
    EXPECT_EQ(word(*env_, "a"), "new");
    EXPECT_EQ(word(outer, "a"), "old");
    return {};
  }));
}

TEST_F(LmdbEnv, ViewInsideAnUpdateReadsWhatWasCommitted) {
  ASSERT_TRUE(put_word(*env_, "a", "old"));
  ASSERT_TRUE(env_->update([&](WriteTxn& txn) -> Status {
    TRY(txn.put(words, "a", "new"));
    EXPECT_EQ(word(txn, "a"), "new");
    EXPECT_EQ(word(*env_, "a"), "old");
    return {};
  }));
  EXPECT_EQ(word(*env_, "a"), "new");
}

TEST_F(LmdbEnv, KeysHaveOneTo511Bytes) {
  const std::string longest(511, 'k');
  ASSERT_TRUE(put_word(*env_, longest, "value"));
  EXPECT_EQ(word(*env_, longest), "value");
  for (const std::string& key : {std::string(), std::string(512, 'k')}) {
    EXPECT_EQ(code_of(put_word(*env_, key, "value")), ErrorCode::invalid_argument);
    EXPECT_EQ(code_of(env_->update([&](WriteTxn& txn) { return txn.erase(words, key); })),
              ErrorCode::invalid_argument);
    EXPECT_EQ(code_of(env_->view([&](ReadTxn& txn) { return txn.get(words, key); })), ErrorCode::invalid_argument);
  }
}

TEST_F(LmdbEnv, EachCommitThatWroteIsOneSync) {
  const base::SyncCounts before = base::sync_counts();
  const lmdb::TxnCounts counts = env_->counts();
  ASSERT_TRUE(put_word(*env_, "a", "value"));
  ASSERT_TRUE(env_->update([](WriteTxn& txn) { return txn.erase(words, "a"); }));
  EXPECT_EQ(base::sync_counts().lmdb, before.lmdb + 2);
  ASSERT_TRUE(env_->update([](WriteTxn& txn) { return txn.erase(words, "never there"); }));
  ASSERT_TRUE(env_->update([](WriteTxn&) -> Status { return {}; }));
  EXPECT_EQ(base::sync_counts().total(), before.total() + 2);
  EXPECT_EQ(env_->counts().commits, counts.commits + 4);
}

TEST_F(LmdbEnv, ViewsAreCountedAndMayBeManyAtOnce) {
  ASSERT_TRUE(put_word(*env_, "a", "value"));
  const lmdb::TxnCounts before = env_->counts();
  std::function<void(int)> descend = [&](int depth) {
    ASSERT_TRUE(env_->view([&](ReadTxn& txn) -> Status {
      if (depth > 1) descend(depth - 1);
      EXPECT_EQ(word(txn, "a"), "value");
      return {};
    }));
  };
  descend(100);  // more than are pooled
  descend(100);
  EXPECT_EQ(env_->counts().reads, before.reads + 200);
  EXPECT_EQ(env_->counts().commits, before.commits);
}

TEST_F(LmdbEnv, OneReaderTooManyIsBusy) {
  lmdb::Env::Options options;
  options.readers_max = 2;
  auto env = open_env(dir_ / "few readers", options).value();
  ASSERT_TRUE(put_word(*env, "a", "value"));
  ASSERT_TRUE(env->view([&](ReadTxn&) {
    return env->view([&](ReadTxn&) -> Status {
      EXPECT_EQ(code_of(env->view([](ReadTxn&) -> Status { return {}; })), ErrorCode::busy);
      return {};
    });
  }));
  EXPECT_EQ(word(*env, "a"), "value");
}

TEST_F(LmdbEnv, AllocatedBytesAreThoseOfItsFiles) {
  const std::uint64_t before = env_->allocated_bytes();
  EXPECT_GT(before, 0u);
  EXPECT_LT(before, 5u << 20);  // the map is no disk; 4 MiB are kept for a full one
  ASSERT_TRUE(put_word(*env_, "a", std::string(16u << 20, 'x')));
  EXPECT_GE(env_->allocated_bytes(), 16u << 20);
  EXPECT_LE(env_->allocated_bytes(), before + (24u << 20));
}

}  // namespace
}  // namespace cairn::test
