// SPDX-License-Identifier: Apache-2.0
// A group writer whose data sync can be watched, held up and made to fail.
#pragma once

#include <gmock/gmock.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

#include "libbase/lmdb/group_writer.h"
#include "tests/libbase_lmdb/rows.h"

namespace cairn::test {

class GroupWriterTest : public ::testing::Test {
 protected:
  using Entry = lmdb::GroupWriter::Entry;
  using SequenceNumber = lmdb::SequenceNumber;
  static constexpr lmdb::DataToken holding_token = 1'000'000;  // a group that names it stays in its sync until release()

  void SetUp() override { start({}); }
  void TearDown() override { release(); }

  void start(lmdb::GroupWriter::Options options) {
    writer_.reset();
    writer_ = std::make_unique<lmdb::GroupWriter>(
        *env_, [this](std::span<const lmdb::DataToken> tokens) { return sync(tokens); }, options);
  }
  // Nothing is committed unless somebody waits.
  static lmdb::GroupWriter::Options patient() {
    lmdb::GroupWriter::Options options;
    options.group_age_max = std::chrono::hours(1);
    return options;
  }

  static Entry word_entry(std::string key, std::string value, std::vector<lmdb::DataToken> data = {}) {
    Entry entry;
    entry.change = [key = std::move(key), value = std::move(value)](lmdb::WriteTxn& txn) {
      return txn.put(words, key, value);
    };
    entry.data = std::move(data);
    return entry;
  }
  static Entry failing_entry(std::string message) {
    Entry entry;
    entry.change = [message](lmdb::WriteTxn& txn) -> base::Status {
      TRY(txn.put(words, "left behind", "by a failed change"));
      return base::fail(base::ErrorCode::busy, "{}", message);
    };
    return entry;
  }
  SequenceNumber enqueue(Entry entry) { return writer_->enqueue(std::move(entry)).value(); }

  // The writer is inside the data sync of a group of one until release(): what is queued now forms the next group.
  SequenceNumber hold_writer() {
    held_ = true;
    const std::uint64_t before = syncs_;
    Entry entry = word_entry("holder", "held", {holding_token});
    entry.bytes = 1u << 30;  // due at once
    const SequenceNumber number = enqueue(std::move(entry));
    while (syncs_ == before) std::this_thread::yield();
    return number;
  }
  void release() { held_ = false; }

  base::Status sync(std::span<const lmdb::DataToken> tokens) {
    {
      std::lock_guard<std::mutex> lock(tokens_mutex_);
      synced_tokens_.emplace_back(tokens.begin(), tokens.end());
    }
    if (on_sync) on_sync();
    ++syncs_;
    if (tokens.back() == holding_token)
      while (held_) std::this_thread::yield();
    if (sync_fails) return base::fail(base::ErrorCode::io, "the disk is gone");
    return {};
  }
  std::vector<std::vector<lmdb::DataToken>> synced_tokens() {
    std::lock_guard<std::mutex> lock(tokens_mutex_);
    return synced_tokens_;
  }

  std::function<void()> on_sync;
  std::atomic<bool> sync_fails = false;
  TempDir dir_;
  std::unique_ptr<lmdb::Env> env_ = open_env(dir_ / "meta").value();
  std::unique_ptr<lmdb::GroupWriter> writer_;

 private:
  std::atomic<bool> held_ = false;
  std::atomic<std::uint64_t> syncs_ = 0;
  std::mutex tokens_mutex_;
  std::vector<std::vector<lmdb::DataToken>> synced_tokens_;
};

}  // namespace cairn::test
