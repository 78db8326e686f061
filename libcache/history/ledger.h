// SPDX-License-Identifier: Apache-2.0
// Compares what steps have made again with what their keys had led to, on a thread of its own, one pair after the other, and
// hands what came out to the writer. Nobody waits for it but who prunes or closes the store: until a pair is compared both of
// its records are held.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <optional>
#include <stop_token>
#include <thread>
#include <unordered_set>
#include <vector>

#include "libbase/sync.h"
#include "libcache/history/ledger_rows.h"
#include "libcache/ref.h"

namespace cairn::cache {

struct Batch;
struct Store;

// A result that a step has made although its key led to one; 0: the empty tree.
struct Repeated {
  KeyDigest key;
  RecordId older, newer;
};
// Of what the step of the batch has made, each record once, with the lowest of its keys that led somewhere. What is made to
// be changed (retained) does not count, nor do sources, which are named by what they hold. Before the batch's rows are written.
base::Result<std::vector<Repeated>> find_repeated(const base::lmdb::ReadTxn& txn, const Batch& batch);

// Thread-safe.
class Ledger {
 public:
  explicit Ledger(Store& store) : store_(store) {}
  ~Ledger() { stop(); }

  void start(const LedgerOptions& options);  // once
  // What waits is compared first, but for a few seconds at most; the rest is counted as not compared.
  void stop();
  bool is_running() const { return running_.load(); }
  // Returns when all that was noted is compared and handed to the writer, the caller is asked to stop, or that much time has
  // passed: while steps are run again and again there is always something.
  void settle(const std::stop_token& stop, std::chrono::milliseconds at_most);
  // Takes the holds of the batch, which is durable. On the writer's thread.
  void note(const Batch& batch);

 private:
  struct Pair {
    Repeated what;
    std::optional<ImmutableRef> older, newer;
    std::shared_ptr<const ExecutedStep> step;
    base::WallTime when{};
  };
  struct State {
    std::deque<Pair> waiting;
    std::vector<Verdict> given_up;  // there was no room for them
    bool working = false;
    bool closed = false;
    bool is_idle() const { return waiting.empty() && given_up.empty() && !working; }
  };
  void run(const std::stop_token& stop);
  Verdict judge(const Pair& pair, const std::stop_token& stop);
  base::Status compare(const Pair& pair, Verdict& verdict, const std::stop_token& stop);
  bool has_differed(RecordId record);
  void write(std::vector<Verdict> verdicts);

  Store& store_;
  LedgerOptions options_;
  std::atomic<bool> running_{false};
  base::Guarded<State> state_;
  std::condition_variable_any woken_, idle_;
  std::optional<std::unordered_set<RecordId>> differed_;  // of the thread; the newer ones of pairs, by id
  std::jthread thread_;
};

}  // namespace cairn::cache
