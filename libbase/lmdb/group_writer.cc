// SPDX-License-Identifier: Apache-2.0
// The writer's thread takes what is queued as one group, works without a lock, and settles the group under it. The
// lock guards numbers and queues only; it is never held across a sync, a transaction or a callback.
#include "libbase/lmdb/group_writer.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <thread>

#include "libbase/crash_point.h"
#include "libbase/fs/fd.h"
#include "libbase/lmdb/thread_frames.h"
#include "libbase/log/log.h"
#include "libbase/sync.h"

namespace cairn::base::lmdb {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

// Keeps the transaction of a group well inside LMDB's list of dirty pages.
constexpr std::size_t group_changes_max = 8192;
constexpr std::size_t failures_max = 65536;

struct Queued {
  SequenceNumber number = 0;
  GroupWriter::Entry entry;
  SteadyTime since;
  Status outcome;
};
using Group = std::vector<Queued>;

// The errors of failed changes, the oldest forgotten first.
class Failures {
 public:
  void add(SequenceNumber number, std::shared_ptr<const Error> error) {
    errors_.insert_or_assign(number, std::move(error));
    if (errors_.size() > failures_max) errors_.erase(errors_.begin());
  }
  const Error* find(SequenceNumber number) const {
    const auto found = errors_.find(number);
    return found == errors_.end() ? nullptr : found->second.get();
  }

 private:
  std::map<SequenceNumber, std::shared_ptr<const Error>> errors_;
};

// Null: this thread is no writer's.
thread_local const void* writing_here = nullptr;

}  // namespace

struct GroupWriter::State {
  // What the lock guards.
  struct Shared {
    std::deque<Queued> queue;
    std::size_t queue_bytes = 0;
    SequenceNumber last_number = 0;
    SequenceNumber last_durable = 0;
    SequenceNumber wanted = 0;  // the highest number that somebody waits for
    Failures failures;
    std::optional<Error> broken;  // why everything is refused
    std::size_t waiters = 0;      // in wait_durable
    std::size_t crowd = 0;        // in enqueue, for room
    bool stopping = false;
    Counts counts;

    bool due(const Options& limits, SteadyTime now) const;
    Group take_group();
    void settle(const Group& group);
    // What waiting for the number has come to; nullopt: it goes on.
    std::optional<Status> outcome(SequenceNumber number) const;
  };

  State(Env& env_, DataSync data_sync_, Options options_)
      : env(env_), data_sync(std::move(data_sync_)), options(options_) {}

  void run();
  Group next_group();  // empty: it is time to end
  void commit_group(Group& group);
  Status sync_group(const Group& group, std::optional<DataToken> journal);
  Status commit_changes(Group& group, bool& sync_failed);
  void refuse_all(Group& group, const Error& cause);

  Env& env;
  const DataSync data_sync;
  using FurtherSyncs = std::vector<std::pair<const void*, FurtherDataSync>>;
  Guarded<FurtherSyncs> more_syncs;
  const Options options;
  Guarded<Shared> shared;
  std::condition_variable work;         // for the writer: something is queued, wanted, or to end
  std::condition_variable room;         // for enqueue: the queue has become shorter
  std::condition_variable_any settled;  // for wait_durable: a group has an outcome
  std::jthread thread;                  // last: it uses all of the above
};

bool GroupWriter::State::Shared::due(const Options& limits, SteadyTime now) const {
  if (queue.empty()) return false;
  return stopping || crowd > 0 || wanted >= queue.front().number || queue_bytes >= limits.group_bytes_max ||
         now - queue.front().since >= limits.group_age_max;
}

Group GroupWriter::State::Shared::take_group() {
  Group group;
  group.reserve(std::min(queue.size(), group_changes_max));
  while (!queue.empty() && group.size() < group_changes_max) {
    queue_bytes -= queue.front().entry.bytes;
    group.push_back(std::move(queue.front()));
    queue.pop_front();
  }
  return group;
}

void GroupWriter::State::Shared::settle(const Group& group) {
  std::shared_ptr<const Error> error;  // shared by the changes that failed together
  for (const Queued& queued : group) {
    if (queued.outcome) {
      ++counts.changes;
      continue;
    }
    ++counts.failed_changes;
    if (!error || error->message != queued.outcome.error().message)
      error = std::make_shared<const Error>(queued.outcome.error());
    failures.add(queued.number, error);
  }
  if (!broken && !group.empty()) last_durable = group.back().number;
}

std::optional<Status> GroupWriter::State::Shared::outcome(SequenceNumber number) const {
  if (const Error* error = failures.find(number); error != nullptr) return Status(tl::unexpected<Error>(*error));
  if (number <= last_durable) return Status();
  if (broken) return Status(tl::unexpected<Error>(*broken));
  return std::nullopt;
}

void GroupWriter::State::run() {
  writing_here = this;
  for (Group group = next_group(); !group.empty(); group = next_group()) {
    commit_group(group);
    for (const Queued& queued : group)
      if (queued.entry.done) queued.entry.done(queued.outcome);
  }
  writing_here = nullptr;
}

Group GroupWriter::State::next_group() {
  auto access = shared.lock();
  for (;;) {
    if (access->due(options, std::chrono::steady_clock::now())) {
      Group group = access->take_group();
      room.notify_all();
      return group;
    }
    if (!access->queue.empty()) {
      work.wait_until(access.lock(), access->queue.front().since + options.group_age_max);
    } else if (access->stopping) {
      return {};
    } else {
      work.wait(access.lock());
    }
  }
}

void GroupWriter::State::commit_group(Group& group) {
  bool sync_failed = false;
  Status status = commit_changes(group, sync_failed);
  const bool full = !status && !sync_failed && status.error().code == ErrorCode::no_space;
  if (status && options.order == Options::Order::names_first) status = sync_group(group, std::nullopt);

  if (!status)
    for (Queued& queued : group)
      if (queued.outcome) queued.outcome = status;
  const bool committed =
      std::any_of(group.begin(), group.end(), [](const Queued& queued) { return queued.outcome.has_value(); });
  {
    auto access = shared.lock();
    if (committed) ++access->counts.groups;
    if (status || full) {
      access->settle(group);
      settled.notify_all();
      return;
    }
  }
  refuse_all(group, status.error());
}

// Durable before the transaction that names it is committed (I1): the data of the changes, and what the journal has of them.
Status GroupWriter::State::sync_group(const Group& group, std::optional<DataToken> journal) {
  std::vector<DataToken> tokens;
  for (const Queued& queued : group)
    if (queued.outcome) tokens.insert(tokens.end(), queued.entry.data.begin(), queued.entry.data.end());
  if (journal) tokens.push_back(*journal);
  if (tokens.empty()) return {};
  std::sort(tokens.begin(), tokens.end());
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  ++shared.lock()->counts.data_syncs;
  CRASH_POINT("writer.group.before_data_sync");
  const std::uint64_t before = filesystem_syncs_of_this_thread();
  if (data_sync) TRY(data_sync(tokens), "make the data of a group durable");
  const auto whole =
      filesystem_syncs_of_this_thread() != before ? WholeFilesystem::synced : WholeFilesystem::not_synced;
  const FurtherSyncs more = *more_syncs.lock();
  for (const auto& [owner, sync] : more) TRY(sync(tokens, whole), "make the data of a group durable");
  CRASH_POINT("writer.group.after_data_sync");
  return {};
}

// A change that fails takes its effects with it only if the transaction is begun again. The data is synced with the
// transaction open, because the journal has in it what the changes did, and is synced by the same sync.
Status GroupWriter::State::commit_changes(Group& group, bool& sync_failed) {
  for (;;) {
    Queued* failing = nullptr;
    bool any = false;
    const Status status = env.update([&](WriteTxn& txn) -> Status {
      failing = nullptr;
      for (Queued& queued : group) {
        if (!queued.outcome) continue;
        any = true;
        Status changed = queued.entry.change(txn);
        if (changed) continue;
        failing = &queued;
        return changed;
      }
      const std::optional<DataToken> journal = TRY(txn.flush_changes());
      if (options.order == Options::Order::names_first) return {};
      Status synced = sync_group(group, journal);
      sync_failed = !synced;
      return synced;
    });
    if (status) {
      if (any) CRASH_POINT("writer.group.after_commit");
      return {};
    }
    if (failing == nullptr) return status;
    failing->outcome = status;
  }
}

// A failed fsync may have lost what it was to make durable and says so only once: nothing is retried.
void GroupWriter::State::refuse_all(Group& group, const Error& cause) {
  log_error("the metadata writer has failed and takes no more changes: {}", cause.message);
  const Error refusal{ErrorCode::io, "the metadata writer has failed: " + cause.message,
                      "close the store and open it again; then check it"};
  auto access = shared.lock();
  access->broken = refusal;
  for (Queued& queued : access->queue) {
    queued.outcome = tl::unexpected<Error>(refusal);
    group.push_back(std::move(queued));
  }
  access->queue.clear();
  access->queue_bytes = 0;
  access->settle(group);
  room.notify_all();
  settled.notify_all();
}

GroupWriter::GroupWriter(Env& env, DataSync data_sync, Options options)
    : state_(std::make_unique<State>(env, std::move(data_sync), options)) {
  CHECK(options.queue_max > 0);
  state_->thread = std::jthread([state = state_.get()] { state->run(); });
}

GroupWriter::~GroupWriter() {
  CHECK(writing_here != state_.get(), "the writer is destroyed on its own thread");
  {
    auto access = state_->shared.lock();
    CHECK(access->waiters == 0 && access->crowd == 0, "the writer is destroyed while {} threads wait for it",
          access->waiters + access->crowd);
    access->stopping = true;
    state_->work.notify_all();
  }
  state_->thread.join();
}

Result<SequenceNumber> GroupWriter::enqueue(Entry entry) {
  State& state = *state_;
  CHECK(entry.change != nullptr, "an entry without a change");
  CHECK(entry.data.empty() || state.data_sync != nullptr || !state.more_syncs.lock()->empty(),
        "data is named, but nothing was given to sync it");
  const bool may_wait = writing_here != &state && !in_transaction();
  auto access = state.shared.lock();
  if (may_wait && access->queue.size() >= state.options.queue_max && !access->broken) {
    ++access->crowd;
    state.work.notify_one();
    state.room.wait(access.lock(),
                    [&] { return access->queue.size() < state.options.queue_max || access->broken.has_value(); });
    --access->crowd;
  }
  if (access->broken) return tl::unexpected<Error>(*access->broken);
  const SequenceNumber number = ++access->last_number;
  access->queue_bytes += entry.bytes;
  access->queue.push_back({number, std::move(entry), std::chrono::steady_clock::now(), {}});
  // The writer sleeps without an end only while the queue is empty; bytes may make the group due.
  if (access->queue.size() == 1 || access->queue_bytes >= state.options.group_bytes_max) state.work.notify_one();
  return number;
}

void GroupWriter::add_data_sync(const void* owner, FurtherDataSync data_sync) {
  state_->more_syncs.lock()->emplace_back(owner, std::move(data_sync));
}

void GroupWriter::remove_data_sync(const void* owner) {
  std::erase_if(*state_->more_syncs.lock(), [owner](const auto& entry) { return entry.first == owner; });
}

Status GroupWriter::wait_durable(SequenceNumber number, std::stop_token stop) {
  State& state = *state_;
  CHECK(writing_here != &state, "the writer's thread waits for itself");
  CHECK(!in_transaction(), "a transaction waits for the writer, which may have to wait for the transaction");
  auto access = state.shared.lock();
  CHECK(number <= access->last_number, "change {} is waited for, but the last is {}", number, access->last_number);
  std::optional<Status> outcome = access->outcome(number);
  if (!outcome && number > access->wanted) {
    access->wanted = number;
    state.work.notify_one();
  }
  ++access->waiters;
  state.settled.wait(access.lock(), stop, [&] { return (outcome = access->outcome(number)).has_value(); });
  --access->waiters;
  if (outcome) return *outcome;
  return fail(ErrorCode::cancelled, "wait for change {}", number);
}

SequenceNumber GroupWriter::last_durable() const { return state_->shared.lock()->last_durable; }

GroupWriter::Counts GroupWriter::counts() const { return state_->shared.lock()->counts; }

}  // namespace cairn::base::lmdb
