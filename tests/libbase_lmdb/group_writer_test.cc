// SPDX-License-Identifier: Apache-2.0
// When groups are made, what is in them, and who hears of it.
#include <latch>

#include "libbase/fs/fd.h"
#include "tests/libbase_lmdb/writer_fixture.h"

namespace cairn::test {
namespace {

using base::ErrorCode;
using base::Status;
using lmdb::WriteTxn;
using ::testing::ElementsAre;

class GroupWriter : public GroupWriterTest {};

TEST_F(GroupWriter, NumbersCountFromOneAndZeroIsDurable) {
  EXPECT_EQ(writer_->last_durable(), 0u);
  EXPECT_TRUE(writer_->wait_durable(0));
  EXPECT_EQ(enqueue(word_entry("a", "first")), 1u);
  EXPECT_EQ(enqueue(word_entry("a", "second")), 2u);
  EXPECT_TRUE(writer_->wait_durable(2));
  EXPECT_EQ(writer_->last_durable(), 2u);
  EXPECT_EQ(word(*env_, "a"), "second");
}

TEST_F(GroupWriter, ManyThreadsShareSyncs) {
  start(patient());
  constexpr int threads = 64;
  constexpr int updates = 50;
  const std::uint64_t syncs_before = base::sync_counts().lmdb;
  std::latch begin(threads);
  std::vector<std::thread> callers;
  for (int i = 0; i < threads; ++i)
    callers.emplace_back([&, i] {
      begin.arrive_and_wait();
      for (int j = 0; j < updates; ++j) {
        const std::string key = std::to_string(i) + "/" + std::to_string(j);
        const SequenceNumber number = enqueue(word_entry(key, "value"));
        EXPECT_TRUE(writer_->wait_durable(number));
        EXPECT_GE(writer_->last_durable(), number);
        EXPECT_EQ(word(*env_, key), "value");
      }
    });
  for (std::thread& caller : callers) caller.join();
  const lmdb::GroupWriter::Counts counts = writer_->counts();
  EXPECT_EQ(counts.changes, threads * updates);
  EXPECT_EQ(counts.failed_changes, 0u);
  EXPECT_EQ(counts.data_syncs, 0u);
  EXPECT_LE(counts.groups, counts.changes);
  EXPECT_EQ(base::sync_counts().lmdb - syncs_before, counts.groups);
}

TEST_F(GroupWriter, WhatIsQueuedDuringAGroupIsTheNextOne) {
  start(patient());
  hold_writer();
  std::vector<std::thread> callers;
  std::atomic<int> queued = 0;
  for (int i = 0; i < 64; ++i)
    callers.emplace_back([&, i] {
      const SequenceNumber number = enqueue(word_entry(std::to_string(i), "value"));
      ++queued;
      EXPECT_TRUE(writer_->wait_durable(number));
    });
  while (queued < 64) std::this_thread::yield();
  const std::uint64_t syncs_before = base::sync_counts().lmdb;
  release();
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(writer_->counts().groups, 2u);
  EXPECT_EQ(base::sync_counts().lmdb - syncs_before, 2u);
}

TEST_F(GroupWriter, ChangesTakeEffectInTheOrderOfTheirNumbers) {
  start(patient());
  std::vector<std::thread> callers;
  std::atomic<bool> out_of_order = false;
  for (int i = 0; i < 8; ++i)
    callers.emplace_back([&] {
      for (int j = 0; j < 100; ++j) {
        const auto own = std::make_shared<std::atomic<SequenceNumber>>(0);
        Entry entry;
        entry.change = [own, &out_of_order](WriteTxn& txn) -> Status {
          while (*own == 0) std::this_thread::yield();  // until enqueue has returned it
          const std::uint64_t last = TRY(txn.get(counters, "last")).value_or(Counter{}).value;
          if (last + 1 != *own) out_of_order = true;
          return txn.put(counters, "last", Counter{*own});
        };
        *own = enqueue(std::move(entry));
      }
    });
  for (std::thread& caller : callers) caller.join();
  EXPECT_TRUE(writer_->wait_durable(800));
  EXPECT_FALSE(out_of_order);
}

TEST_F(GroupWriter, DataIsSyncedOncePerGroupBeforeItIsNamed) {
  start(patient());
  std::vector<std::string> seen;
  on_sync = [&] { seen.push_back(word(*env_, "a") + word(*env_, "b")); };
  hold_writer();
  enqueue(word_entry("a", "A", {7, 5}));
  enqueue(word_entry("c", "C"));
  const SequenceNumber last = enqueue(word_entry("b", "B", {5, 9}));
  release();
  ASSERT_TRUE(writer_->wait_durable(last));
  EXPECT_THAT(synced_tokens(), ElementsAre(ElementsAre(holding_token), ElementsAre(5, 7, 9)));
  EXPECT_THAT(seen, ElementsAre("--", "--"));
  EXPECT_EQ(word(*env_, "a") + word(*env_, "b"), "AB");

  ASSERT_TRUE(writer_->wait_durable(enqueue(word_entry("d", "D"))));
  EXPECT_EQ(writer_->counts().data_syncs, 2u);  // a group without data needs none
  EXPECT_EQ(writer_->counts().groups, 3u);
}

TEST_F(GroupWriter, NamesFirstIsTheBugThatTheCrashSuiteLooksFor) {
  lmdb::GroupWriter::Options options = patient();
  options.order = lmdb::GroupWriter::Options::Order::names_first;
  start(options);
  std::vector<std::string> seen;
  on_sync = [&] { seen.push_back(word(*env_, "a")); };
  ASSERT_TRUE(writer_->wait_durable(enqueue(word_entry("a", "A", {1}))));
  EXPECT_THAT(seen, ElementsAre("A"));
  EXPECT_EQ(writer_->counts().data_syncs, 1u);
}

TEST_F(GroupWriter, AgeCommitsWithoutAWaiter) {
  std::latch all_done(10);  // with the default of 500 ms
  for (int i = 0; i < 10; ++i) {
    Entry entry = word_entry(std::to_string(i), "value");
    entry.done = [&](const Status& status) {
      EXPECT_TRUE(status);
      all_done.count_down();
    };
    enqueue(std::move(entry));
  }
  all_done.wait();
  EXPECT_EQ(writer_->last_durable(), 10u);
  EXPECT_LE(writer_->counts().groups, 2u);  // not one group per change
}

TEST_F(GroupWriter, BytesCommitWithoutAWaiter) {
  start(patient());
  std::latch done(1);
  for (int i = 0; i < 4; ++i) {
    Entry entry = word_entry(std::to_string(i), "value");
    entry.bytes = 16u << 20;
    if (i == 3) entry.done = [&](const Status&) { done.count_down(); };
    enqueue(std::move(entry));
  }
  done.wait();
  EXPECT_EQ(writer_->last_durable(), 4u);
  EXPECT_EQ(writer_->counts().groups, 1u);
}

TEST_F(GroupWriter, DestructorCommitsWhatIsQueued) {
  start(patient());
  std::vector<SequenceNumber> order;
  for (int i = 0; i < 3; ++i) {
    Entry entry = word_entry(std::to_string(i), "value");
    entry.done = [&order, i](const Status& status) {
      EXPECT_TRUE(status);
      order.push_back(static_cast<SequenceNumber>(i));
    };
    enqueue(std::move(entry));
  }
  writer_.reset();
  EXPECT_THAT(order, ElementsAre(0u, 1u, 2u));
  EXPECT_EQ(word(*env_, "2"), "value");
}

TEST_F(GroupWriter, DoneSeesItsChangeDurableAndMayEnqueue) {
  lmdb::GroupWriter::Options options = patient();
  options.queue_max = 1;
  start(options);
  std::latch done(1);
  SequenceNumber durable_then = 0;
  Entry entry = word_entry("a", "A");
  entry.done = [&](const Status&) {
    durable_then = writer_->last_durable();
    EXPECT_EQ(word(*env_, "a"), "A");
    for (int i = 0; i < 5; ++i) enqueue(word_entry("follow-up", std::to_string(i)));  // beyond queue_max
    done.count_down();
  };
  const SequenceNumber number = enqueue(std::move(entry));
  EXPECT_TRUE(writer_->wait_durable(number));
  done.wait();
  EXPECT_EQ(durable_then, number);
  EXPECT_TRUE(writer_->wait_durable(number + 5));
  EXPECT_EQ(word(*env_, "follow-up"), "4");
}

TEST_F(GroupWriter, EnqueueWaitsForRoomAndItsCrowdMakesAGroupDue) {
  lmdb::GroupWriter::Options options = patient();
  options.queue_max = 4;
  start(options);
  std::vector<std::thread> callers;
  for (int i = 0; i < 8; ++i)
    callers.emplace_back([&, i] {
      for (int j = 0; j < 25; ++j) enqueue(word_entry(std::to_string(i) + "/" + std::to_string(j), "value"));
    });
  for (std::thread& caller : callers) caller.join();  // ends only if full queues are drained without a waiter
  EXPECT_TRUE(writer_->wait_durable(200));
  EXPECT_EQ(env_->view([](lmdb::ReadTxn& txn) { return txn.count(words); }).value(), 200u);
}

TEST_F(GroupWriter, StopEndsTheWaitingAndNotTheChange) {
  start(patient());
  const SequenceNumber held = hold_writer();
  std::stop_source stop;
  std::thread stopper([&] { stop.request_stop(); });
  EXPECT_EQ(code_of(writer_->wait_durable(held, stop.get_token())), ErrorCode::cancelled);
  stopper.join();
  EXPECT_EQ(code_of(writer_->wait_durable(held, stop.get_token())), ErrorCode::cancelled);
  release();
  EXPECT_TRUE(writer_->wait_durable(held));
  EXPECT_TRUE(writer_->wait_durable(held, stop.get_token()));  // nothing is left to wait for
  EXPECT_EQ(word(*env_, "holder"), "held");
}

TEST_F(GroupWriter, StopReachesManyWaiters) {
  start(patient());
  const SequenceNumber held = hold_writer();
  std::vector<std::thread> waiters;
  std::stop_source stop;
  std::atomic<int> cancelled = 0;
  for (int i = 0; i < 16; ++i)
    waiters.emplace_back([&, i] {
      const Status status = writer_->wait_durable(held, i % 2 == 0 ? stop.get_token() : std::stop_token());
      if (!status && status.error().code == ErrorCode::cancelled) ++cancelled;
    });
  stop.request_stop();
  while (cancelled < 8) std::this_thread::yield();
  release();
  for (std::thread& waiter : waiters) waiter.join();
  EXPECT_EQ(cancelled, 8);
}

}  // namespace
}  // namespace cairn::test
