// SPDX-License-Identifier: Apache-2.0
#include "libcache/history/ledger.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "libbase/log/log.h"
#include "libcache/pages/page_difference.h"
#include "libcache/records/batch.h"
#include "libcache/records/record_tree.h"
#include "libcache/records/scan.h"
#include "libcache/records/store.h"
#include "libcache/keys/key_rows.h"
#include "libcache/trees/differing_fields.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;
using base::lmdb::WriteTxn;

namespace {

constexpr std::size_t waiting_max = 256;  // pairs; what they hold cannot be collected
constexpr std::size_t verdicts_per_change = 64;
constexpr std::size_t differed_max = 100'000;
constexpr auto last_work_max = std::chrono::seconds(3);
constexpr int niceness = 10;

bool can_repeat(const RecordInfo& info) {
  const RecordType type = info.facts.type;
  const bool is_source = type == RecordType::source_local || type == RecordType::source_image || type == RecordType::source_git_checkout;
  return info.snapshot && !is_source && info.facts.retain == Retain::no;
}

// The newest result of the key besides this one.
Result<std::optional<RecordId>> result_before(const ReadTxn& txn, const KeyDigest& key, RecordId made) {
  std::optional<std::pair<base::WallTime, RecordId>> newest;
  TRY(scan_rows(txn, table::key_results, key_prefix(key), [&](const auto& row, const KeyResultRow& result) -> Result<Scan> {
    const auto found = std::pair(result.created, std::get<1>(row));
    if (found.second != made && (!newest || *newest < found)) newest = found;
    return Scan::next;
  }));
  if (!newest) return std::optional<RecordId>();
  return std::optional<RecordId>(newest->second);
}

// The tree of one side, with pages for all of it.
class Side {
 public:
  Side(Store& store, const std::optional<ImmutableRef>& ref, std::stop_token stop) : store_(store), ref_(ref) {
    if (ref_) tree_.emplace(store, *ref_, counts_, std::move(stop));
  }
  // Makes those that are missing, and keeps them for whoever asks for digests next.
  Status prepare() {
    if (!tree_) return {};
    TRY(tree_->contents(""));
    auto pages = TRY(tree_->known_pages(""));
    if (!pages) return base::fail(ErrorCode::unavailable, "record {}: its tree is too large", ref_->id());
    paged_.root = TRY(pages->page_at(""));
    keep_digests(store_, *ref_, std::nullopt, tree_->take_sets());
    paged_.read = [this](const PageName& page) { return tree_->read_page(page); };
    return {};
  }
  const PagedTree& paged() const { return paged_; }

 private:
  Store& store_;
  const std::optional<ImmutableRef>& ref_;
  DigestCounts counts_;
  std::optional<RecordTree> tree_;
  PagedTree paged_;
};

// If both trees are changes of one, that is read once instead of with each of them, and never again.
Status prepare_parent(Store& store, const ImmutableRef& older, const ImmutableRef& newer, const std::stop_token& stop) {
  const std::vector<RecordId>& parents = newer.info().parents;
  if (parents.size() != 1 || older.info().parents != parents) return {};
  const std::optional<ImmutableRef> parent = TRY(hold_record(store, parents.front()));
  return parent ? Side(store, parent, stop).prepare() : Status();
}

}  // namespace

Result<std::vector<Repeated>> find_repeated(const ReadTxn& txn, const Batch& batch) {
  std::map<RecordId, KeyDigest> keys;  // of what can repeat something: the lowest that led to something else
  std::map<RecordId, RecordId> before;
  for (std::size_t i = batch.results_of_step; i < batch.results.size(); ++i) {
    const Batch::Result& result = batch.results[i];
    const auto info = std::find_if(batch.records.begin(), batch.records.end(),
                                   [&](const RecordInfo& record) { return record.id == result.record; });
    if (result.record && (info == batch.records.end() || !can_repeat(*info))) continue;
    const auto found = keys.find(result.record);
    if (found != keys.end() && found->second <= result.key) continue;
    const auto older = TRY(result_before(txn, result.key, result.record));
    if (!older) continue;
    keys[result.record] = result.key;
    before[result.record] = *older;
  }
  std::vector<Repeated> repeated;
  for (const auto& [newer, key] : keys) repeated.push_back({key, before.at(newer), newer});
  return repeated;
}

void Ledger::start(const LedgerOptions& options) {
  CHECK(!running_.load(), "the ledger is started twice");
  options_ = options;
  running_ = true;
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void Ledger::stop() {
  if (!running_.exchange(false)) return;
  {
    auto state = state_.lock();
    idle_.wait_for(state.lock(), last_work_max, [&] { return state->is_idle(); });
  }
  thread_.request_stop();
  thread_.join();
  std::deque<Pair> late;  // what was noted meanwhile; its holds end without the lock
  auto state = state_.lock();
  state->closed = true;
  late.swap(state->waiting);
}

void Ledger::settle(const std::stop_token& stop, std::chrono::milliseconds at_most) {
  auto state = state_.lock();
  idle_.wait_for(state.lock(), stop, at_most, [&] { return !running_.load() || state->is_idle(); });
}

void Ledger::note(const Batch& batch) {
  if (!running_.load() || batch.repeated.empty()) return;
  const auto step = std::make_shared<const ExecutedStep>(*batch.step);
  std::vector<Pair> pairs;
  for (const Repeated& repeated : batch.repeated) {
    Pair pair{repeated, {}, {}, step, store_.clock.now()};
    for (const ImmutableRef& held : batch.holds)
      if (held.id() == repeated.newer) pair.newer = held;
    auto older = hold_record(store_, repeated.older);
    if (older) pair.older = std::move(*older);
    pairs.push_back(std::move(pair));
  }
  auto state = state_.lock();
  if (state->closed) return;
  for (Pair& pair : pairs) {
    if (state->waiting.size() < waiting_max)
      state->waiting.push_back(std::move(pair));
    else
      state->given_up.push_back({.outcome = Verdict::Outcome::not_compared, .key = pair.what.key, .step = *step, .when = pair.when});
  }
  woken_.notify_all();
}

void Ledger::run(const std::stop_token& stop) {
  if (::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), niceness) != 0) base::log_debug("the ledger works at the usual priority");
  std::vector<Verdict> verdicts;
  while (true) {
    std::optional<Pair> pair;
    {
      auto state = state_.lock();
      state->working = !verdicts.empty();
      if (state->is_idle()) idle_.notify_all();
      if (verdicts.empty()) woken_.wait(state.lock(), stop, [&] { return !state->is_idle(); });
      state->working = true;
      std::move(state->given_up.begin(), state->given_up.end(), std::back_inserter(verdicts));
      state->given_up.clear();
      if (!state->waiting.empty()) {
        pair = std::move(state->waiting.front());
        state->waiting.pop_front();
      }
    }
    if (pair) verdicts.push_back(judge(*pair, stop));
    const bool more = pair.has_value();
    pair.reset();
    if (!more && verdicts.empty() && stop.stop_requested()) break;
    if (!more || verdicts.size() >= verdicts_per_change) write(std::exchange(verdicts, {}));
  }
  state_.lock()->working = false;
  idle_.notify_all();
}

Verdict Ledger::judge(const Pair& pair, const std::stop_token& stop) {
  Verdict verdict{.key = pair.what.key, .step = *pair.step, .when = pair.when, .older = pair.what.older, .newer = pair.what.newer};
  if (const Status compared = compare(pair, verdict, stop); !compared) {
    verdict.outcome = Verdict::Outcome::not_compared;
    if (compared.error().code != ErrorCode::cancelled)
      base::log_warning("{}: what it made again is not compared: {}", pair.step->name, compared.error().message);
    return verdict;
  }
  if (verdict.outcome == Verdict::Outcome::equal) return verdict;
  for (const RecordId input : pair.step->inputs) verdict.by_inputs = verdict.by_inputs || has_differed(input);
  if (differed_->size() < differed_max) differed_->insert(pair.what.newer);
  base::log_debug("{}: it made something else than record {}", pair.step->name, pair.what.older);
  return verdict;
}

Status Ledger::compare(const Pair& pair, Verdict& verdict, const std::stop_token& stop) {
  if (stop.stop_requested()) return base::fail(ErrorCode::cancelled, "the store is closed");
  if (pair.what.older && !pair.older) return base::fail(ErrorCode::not_found, "record {} is gone", pair.what.older);
  (void)has_differed({});  // the rows of before are read before there are new ones
  if (pair.older && pair.newer) TRY(prepare_parent(store_, *pair.older, *pair.newer, stop));
  Side older(store_, pair.older, stop), newer(store_, pair.newer, stop);
  TRY(older.prepare());
  TRY(newer.prepare());
  std::size_t bytes = 0;
  TRY(each_page_difference(older.paged(), newer.paged(), [&](TreeDifference path) -> Status {
    if (stop.stop_requested()) return base::fail(ErrorCode::cancelled, "the store is closed");
    bytes += path.path.size();
    if (verdict.paths_total++ < ledger_paths_max && bytes <= ledger_path_bytes_max) verdict.paths.push_back(std::move(path));
    return {};
  }));
  verdict.outcome = verdict.paths_total > 0 ? Verdict::Outcome::different : Verdict::Outcome::equal;
  std::optional<snapshot::MountedTree> first, second;
  for (TreeDifference& path : verdict.paths) {
    if (path.kind != TreeDifference::Kind::changed) continue;
    if (!first) first = TRY(pair.older->mount());
    if (!second) second = TRY(pair.newer->mount());
    path.fields = TRY(differing_fields({{first->fd()}, path.path}, {{second->fd()}, path.path}, {}, stop));
  }
  return {};
}

bool Ledger::has_differed(RecordId record) {
  if (!differed_) {
    differed_.emplace();
    if (const auto known = read_ledger(store_.env))
      for (const LedgerEntry& entry : known->entries) differed_->insert(entry.row.newer);
  }
  return differed_->contains(record);
}

void Ledger::write(std::vector<Verdict> verdicts) {
  const auto shared = std::make_shared<const std::vector<Verdict>>(std::move(verdicts));
  base::lmdb::GroupWriter::Entry entry;
  entry.change = [shared, options = options_](WriteTxn& txn) { return write_verdicts(txn, *shared, options); };
  const auto number = enqueue(store_, std::move(entry));
  if (!number) base::log_warning("the ledger has lost {} rows: {}", shared->size(), number.error().message);
}

}  // namespace cairn::cache
