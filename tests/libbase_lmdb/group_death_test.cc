// SPDX-License-Identifier: Apache-2.0
// Waits that could never end, and ends under a waiter.
#include "tests/libbase_lmdb/writer_fixture.h"

namespace cairn::test {
namespace {

using base::Status;

class GroupWriterDeathTest : public GroupWriterTest {
 protected:
  void SetUp() override {
    ::testing::FLAGS_gtest_death_test_style = "threadsafe";
    start(patient());
  }
};

TEST_F(GroupWriterDeathTest, WaitOnTheWritersThread) {
  EXPECT_DEATH(
      {
        Entry entry = word_entry("a", "A");
        // Not by writer_, which is empty as soon as its end has begun.
        entry.done = [writer = writer_.get()](const Status&) { (void)writer->wait_durable(1); };
        (void)writer_->wait_durable(enqueue(std::move(entry)));
        writer_.reset();
      },
      "the writer's thread waits for itself");
}

TEST_F(GroupWriterDeathTest, WaitInsideAView) {
  EXPECT_DEATH((void)env_->view([&](lmdb::ReadTxn&) { return writer_->wait_durable(0); }), "a transaction waits");
}

TEST_F(GroupWriterDeathTest, WaitForANumberThatNobodyWasGiven) {
  EXPECT_DEATH((void)writer_->wait_durable(1), "change 1 is waited for");
}

TEST_F(GroupWriterDeathTest, DestroyedUnderAWaiter) {
  EXPECT_DEATH(
      {
        const SequenceNumber number = hold_writer();
        std::thread waiter([&] { (void)writer_->wait_durable(number); });
        std::this_thread::sleep_for(std::chrono::milliseconds(300));
        writer_.reset();
        waiter.join();
      },
      "destroyed while 1 threads wait");
}

TEST_F(GroupWriterDeathTest, DestroyedOnItsOwnThread) {
  EXPECT_DEATH(
      {
        Entry entry = word_entry("a", "A");
        entry.done = [this](const Status&) { writer_.reset(); };
        (void)writer_->wait_durable(enqueue(std::move(entry)));
        std::this_thread::sleep_for(std::chrono::seconds(60));
      },
      "on its own thread");
}

TEST_F(GroupWriterDeathTest, DataWithoutASync) {
  lmdb::GroupWriter writer(*env_, nullptr, patient());
  EXPECT_DEATH((void)writer.enqueue(word_entry("a", "A", {1})), "nothing was given to sync it");
}

}  // namespace
}  // namespace cairn::test
