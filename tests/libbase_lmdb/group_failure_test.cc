// SPDX-License-Identifier: Apache-2.0
// A change that fails, a sync that fails, a commit that fails: who hears of it, and what goes on.
#include "libbase/fs/fd.h"
#include "libbase/log/log.h"
#include "tests/libbase_lmdb/writer_fixture.h"
#include "tests/support/file_size_limit.h"

namespace cairn::test {
namespace {

using base::ErrorCode;
using base::Status;
using ::testing::HasSubstr;

class GroupFailure : public GroupWriterTest {
 protected:
  void SetUp() override {
    base::set_log_level(base::LogLevel::off);
    start(patient());
  }
  void TearDown() override {
    GroupWriterTest::TearDown();
    base::set_log_level(base::LogLevel::warning);
  }
};

TEST_F(GroupFailure, FailingChangeDoesNotTakeItsNeighboursAlong) {
  hold_writer();
  std::vector<std::string> outcomes;
  const auto note = [&](Entry entry) {
    entry.done = [&](const Status& status) { outcomes.push_back(status ? "ok" : status.error().message); };
    return enqueue(std::move(entry));
  };
  const SequenceNumber first = note(word_entry("a", "A"));
  const SequenceNumber second = note(failing_entry("no first"));
  const SequenceNumber third = note(word_entry("b", "B"));
  const SequenceNumber fourth = note(failing_entry("no second"));
  const SequenceNumber fifth = note(word_entry("c", "C"));
  release();
  EXPECT_TRUE(writer_->wait_durable(fifth));
  EXPECT_TRUE(writer_->wait_durable(first));
  EXPECT_TRUE(writer_->wait_durable(third));
  const Status failed = writer_->wait_durable(second);
  EXPECT_EQ(code_of(failed), ErrorCode::busy);
  EXPECT_EQ(failed.error().message, "no first");
  EXPECT_EQ(writer_->wait_durable(fourth).error().message, "no second");
  EXPECT_EQ(word(*env_, "a") + word(*env_, "b") + word(*env_, "c"), "ABC");
  EXPECT_EQ(word(*env_, "left behind"), "-");
  const lmdb::GroupWriter::Counts counts = writer_->counts();
  EXPECT_EQ(counts.groups, 2u);
  EXPECT_EQ(counts.changes, 4u);
  EXPECT_EQ(counts.failed_changes, 2u);
  writer_.reset();  // ends the callbacks
  EXPECT_THAT(outcomes, ::testing::ElementsAre("ok", "no first", "ok", "no second", "ok"));
}

TEST_F(GroupFailure, GroupOfFailuresCommitsNothing) {
  const std::uint64_t syncs_before = base::sync_counts().lmdb;
  EXPECT_EQ(code_of(writer_->wait_durable(enqueue(failing_entry("no")))), ErrorCode::busy);
  EXPECT_EQ(writer_->counts().groups, 0u);
  EXPECT_EQ(base::sync_counts().lmdb, syncs_before);
  EXPECT_EQ(writer_->last_durable(), 1u);
  EXPECT_TRUE(writer_->wait_durable(enqueue(word_entry("a", "A"))));
}

TEST_F(GroupFailure, OldFailuresAreForgottenSoThatMemoryIsBounded) {
  constexpr SequenceNumber kept = 65536;
  SequenceNumber last = 0;
  while (last < kept + 100) {
    Entry entry;
    entry.change = [](lmdb::WriteTxn&) -> Status { return base::fail(ErrorCode::busy, "no"); };
    last = enqueue(std::move(entry));
    if (last % 64 == 0) {
      EXPECT_EQ(code_of(writer_->wait_durable(last)), ErrorCode::busy);
    }
  }
  EXPECT_EQ(code_of(writer_->wait_durable(last)), ErrorCode::busy);
  EXPECT_EQ(code_of(writer_->wait_durable(last - kept + 1)), ErrorCode::busy);
  EXPECT_TRUE(writer_->wait_durable(last - kept));
  EXPECT_EQ(writer_->counts().failed_changes, last);
}

TEST_F(GroupFailure, FailingDataSyncPoisonsTheWriter) {
  const SequenceNumber good = enqueue(word_entry("good", "durable"));
  ASSERT_TRUE(writer_->wait_durable(good));
  std::atomic<int> failed_dones = 0;
  const auto count_failure = [&](const Status& status) {
    if (!status) ++failed_dones;
  };
  sync_fails = true;
  const SequenceNumber held = hold_writer();
  Entry later = word_entry("later", "never");
  later.done = count_failure;
  const SequenceNumber queued = enqueue(std::move(later));
  release();

  const Status first = writer_->wait_durable(held);
  EXPECT_EQ(code_of(first), ErrorCode::io);
  EXPECT_THAT(first.error().message, HasSubstr("the disk is gone"));
  const Status second = writer_->wait_durable(queued);
  EXPECT_EQ(code_of(second), ErrorCode::io);
  EXPECT_THAT(second.error().message, HasSubstr("the disk is gone"));
  EXPECT_TRUE(writer_->wait_durable(good));

  sync_fails = false;  // nothing is retried
  const auto refused = writer_->enqueue(word_entry("a", "A"));
  EXPECT_EQ(code_of(refused), ErrorCode::io);
  EXPECT_THAT(refused.error().message, HasSubstr("the disk is gone"));
  EXPECT_EQ(writer_->last_durable(), good);
  EXPECT_EQ(writer_->counts().data_syncs, 1u);
  EXPECT_EQ(writer_->counts().failed_changes, 2u);
  writer_.reset();
  EXPECT_EQ(failed_dones, 1);
  EXPECT_EQ(word(*env_, "holder") + word(*env_, "later"), "--");
  EXPECT_EQ(word(*env_, "good"), "durable");
}

TEST_F(GroupFailure, NoSpaceInTheDataSyncPoisonsToo) {
  on_sync = nullptr;
  writer_ = std::make_unique<lmdb::GroupWriter>(
      *env_,
      [](std::span<const lmdb::DataToken>) -> Status { return base::fail(ErrorCode::no_space, "late write-back"); },
      patient());
  EXPECT_EQ(code_of(writer_->wait_durable(enqueue(word_entry("a", "A", {1})))), ErrorCode::no_space);
  EXPECT_EQ(code_of(writer_->enqueue(word_entry("b", "B"))), ErrorCode::io);
}

TEST_F(GroupFailure, FailingCommitPoisonsTheWriterAndWakesTheCrowd) {
  lmdb::GroupWriter::Options options = patient();
  options.queue_max = 2;
  start(options);
  hold_writer();
  const FileSizeLimit limit(4096);  // the commit itself fails, with an error that is no lack of space
  const SequenceNumber large = enqueue(word_entry("large", std::string(1u << 20, 'x')));
  const SequenceNumber neighbour = enqueue(word_entry("neighbour", "in its group"));
  std::vector<std::thread> crowd;
  std::atomic<int> refused = 0;
  for (int i = 0; i < 4; ++i)
    crowd.emplace_back([&] {
      const auto number = writer_->enqueue(word_entry("late", "value"));
      if (!number || !writer_->wait_durable(*number)) ++refused;
    });
  release();
  EXPECT_EQ(code_of(writer_->wait_durable(large)), ErrorCode::io);
  EXPECT_EQ(code_of(writer_->wait_durable(neighbour)), ErrorCode::io);
  for (std::thread& thread : crowd) thread.join();
  EXPECT_EQ(refused, 4);
  EXPECT_EQ(code_of(writer_->enqueue(word_entry("a", "A"))), ErrorCode::io);
  EXPECT_EQ(word(*env_, "neighbour") + word(*env_, "late"), "--");
}

TEST_F(GroupFailure, GroupGrowsTheMap) {
  writer_.reset();
  env_.reset();
  lmdb::Env::Options options;
  options.map_bytes = 1u << 20;
  env_ = open_env(dir_ / "meta", options).value();
  start(patient());
  SequenceNumber last = 0;
  for (int i = 0; i < 100; ++i) {
    last = enqueue(word_entry(std::to_string(i), std::string(50'000, 'x')));
    if (i % 10 == 5) enqueue(failing_entry("no"));
  }
  EXPECT_TRUE(writer_->wait_durable(last));
  EXPECT_EQ(env_->view([](lmdb::ReadTxn& txn) { return txn.count(words); }).value(), 100u);
  EXPECT_GE(env_->map_bytes(), 8u << 20);
  EXPECT_EQ(writer_->counts().failed_changes, 10u);
}

}  // namespace
}  // namespace cairn::test
