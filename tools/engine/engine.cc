// SPDX-License-Identifier: Apache-2.0
#include "tools/engine/engine.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <map>
#include <thread>

#include "libbase/fs/beneath.h"
#include "libbase/fs/host_tree.h"
#include "libbase/log/log.h"
#include "libcache/history.h"
#include "libcache/trace.h"
#include "libremote/buckets.h"
#include "libremote/http_fetcher.h"
#include "libremote/registries.h"
#include "libsnapshot/open.h"
#include "tools/engine/backing.h"

namespace cairn::engine {

using base::ErrorCode;
using base::fail;
using base::HostPath;
using base::Result;
using base::Status;

namespace {

constexpr std::size_t small_file_max = 4096;
constexpr std::size_t policy_file_max = 1 << 20;
constexpr const char* policy_file = "gc.toml";
constexpr const char* options_file = "store.toml";

Result<std::optional<std::string>> read_if_there(const HostPath& path) {
  auto text = base::read_file(path, small_file_max);
  if (text) return std::optional<std::string>(std::move(*text));
  if (text.error().code == ErrorCode::not_found) return std::optional<std::string>();
  return tl::unexpected(std::move(text).error());
}

// False: there is no store yet. One of an older version is migrated by an explicit command, never silently.
Result<bool> check_version(const HostPath& root) {
  const std::optional<int> version = TRY(version_of_store(root));
  if (!version) return false;
  if (*version < store_version) {
    auto error = fail(ErrorCode::invalid_argument, "open store {}: its format is version {}, this build writes {}",
                      root.str(), *version, store_version);
    error.value().hint = "cachectl migrate brings it to this version";
    return error;
  }
  // LMDB would begin anew, and everything else in the store would be left over. A store that never got as far as its
  // metadata has no packs either.
  const auto there = [&](const char* name) { return ::access((root / name).c_str(), F_OK) == 0; };
  if (!there("meta/data.mdb") && there("blobs/packs")) {
    auto error = fail(ErrorCode::corrupt, "open store {}: its metadata is missing", root.str());
    error.value().hint = "cachectl fsck --rebuild makes it anew from the journal";
    return error;
  }
  return true;
}

// Of a directory without VERSION: it may be what a process or the power that died left of a store, the temporary file
// of write_file_atomic included, but nothing else. Returns those files.
Result<std::vector<std::string>> expect_no_stranger(const HostPath& root) {
  std::vector<std::string> unfinished;
  for (const std::string& name : TRY(base::list_host_dir(root), "open store {}", root.str())) {
    if (name.starts_with(".cairn-new-")) {
      unfinished.push_back(name);
      continue;
    }
    if (name == policy_file || name == options_file || name == remote::registries_file || name == "reserve") continue;
    if (name == "lock" || name == "meta" || name == "tmp" || name == "trees" || name == "blobs") continue;
    return fail(ErrorCode::invalid_argument,
                "open store {}: the directory is not empty and holds no store (found \"{}\")", root.str(), name);
  }
  return unfinished;
}

// Before the lock, which would be the first thing of ours in a stranger's directory. Another process may make the store
// between a look for VERSION and a look at the rest, so a stranger is one only if there is still no VERSION after it.
Status expect_store_or_room_for_one(const HostPath& root) {
  if (TRY(version_of_store(root))) return {};
  auto unfinished = expect_no_stranger(root);
  if (unfinished || TRY(version_of_store(root))) return {};
  return tl::unexpected(std::move(unfinished).error());
}

// Makes the fixed parts of a new store. VERSION is written last: what has none is no store yet.
Status create_store(const HostPath& root) {
  for (const std::string& name : TRY(expect_no_stranger(root))) TRY(base::remove_host_tree(root / name));
  for (const char* name : {"meta", "blobs", "trees", "tmp"}) TRY(base::make_host_dirs(root / name));
  return write_version(root);
}

// A process that was killed may leave a child which has not got as far as closing what it inherited, the lock among it.
// That child is being killed too; nobody waits for it longer than this.
constexpr std::chrono::seconds dead_owner_wait_max{10};

bool is_alive(const std::optional<int>& pid) { return !pid || ::kill(*pid, 0) == 0 || errno != ESRCH; }

bool take_lock(const base::Fd& lock, const HostPath& root) {
  const auto give_up_at = std::chrono::steady_clock::now() + dead_owner_wait_max;
  while (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (is_alive(owner_pid(root)) || std::chrono::steady_clock::now() > give_up_at) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

// Over what is there, so that it takes no room. On a disk that has none for it the lock has no name on it; it holds all
// the same.
Status write_pid(const base::Fd& lock) {
  const std::string pid = fmt::format("{}\n", ::getpid());
  const Status written = base::write_full(lock.get(), pid);
  if (!written && written.error().code != ErrorCode::no_space) return written;
  if (::ftruncate(lock.get(), written ? static_cast<off_t>(pid.size()) : 0) != 0)
    return base::fail_errno(errno, "cut it off");
  return {};
}

// The lock dies with the last descriptor, so with the process and its children.
Result<base::Fd> lock_store(const HostPath& root) {
  base::Fd lock = TRY(base::open_host(root / "lock", O_RDWR | O_CREAT, 0644), "lock store {}", root.str());
  if (!take_lock(lock, root)) {
    const std::optional<int> pid = owner_pid(root);
    auto error = fail(ErrorCode::busy, "store {} is in use by process {}", root.str(),
                      pid ? std::to_string(*pid) : std::string("(unknown)"));
    error.value().hint = "wait for it, or leave out --no-daemon to share its engine";
    return error;
  }
  TRY(write_pid(lock), "lock store {}", root.str());
  return lock;
}

Status empty_dir(const HostPath& dir) {
  const base::Fd fd = TRY(base::open_host_dir(dir));
  for (const base::DirEntry& entry : TRY(base::list_dir(fd.get()))) {
    TRY(base::remove_all_beneath(fd.get(), TRY(base::TreePath::parse(entry.name))), "empty {}", dir.str());
  }
  return {};
}

// A file that cannot be read is no reason to refuse the store: the default holds until it is put right.
cache::Policy load_policy(const HostPath& root) {
  const auto text = base::read_file(root / policy_file, policy_file_max);
  if (!text && text.error().code == ErrorCode::not_found) return cache::default_policy();
  auto policy = text ? cache::parse_policy(*text, (root / policy_file).str()) : tl::unexpected(text.error());
  if (policy) return std::move(*policy);
  base::log_warning("{}; the default policy holds until it is put right", policy.error().message);
  return cache::default_policy();
}

// The same of store.toml, and of registries.toml.
template <class Options>
Options load_options(const HostPath& root, Result<Options> (*parse)(std::string_view, std::string_view),
                     const char* file = options_file) {
  const auto text = base::read_file(root / file, policy_file_max);
  if (!text && text.error().code == ErrorCode::not_found) return {};
  const auto options = text ? parse(*text, (root / file).str()) : tl::unexpected(text.error());
  if (options) return *options;
  base::log_warning("{}; the default holds until it is put right", options.error().message);
  return {};
}

cache::SolveRow history_row(const solver::SolveRequest& request, const solver::SolveOutcome& outcome,
                            base::WallTime begun) {
  using Outcome = cache::SolveRow::Outcome;
  cache::SolveRow row;
  row.id = cache::SolveId(static_cast<std::uint64_t>(base::to_unix_ns(begun)));
  row.duration = outcome.duration;
  row.project = request.owner.project;
  row.build = request.owner.build;
  if (const auto& result = request.definition.result)
    row.definition = request.definition.vertices[result->vertex]->digest.bytes();
  if (!outcome.status) {
    row.outcome = outcome.status.error().code == ErrorCode::cancelled ? Outcome::cancelled : Outcome::failed;
    row.error = outcome.status.error().message;
  }
  const auto state_of = [](solver::StepState state) {
    switch (state) {
      case solver::StepState::executed: return cache::SolvedStep::State::executed;
      case solver::StepState::cached: return cache::SolvedStep::State::cached;
      case solver::StepState::failed: return cache::SolvedStep::State::failed;
      case solver::StepState::cancelled: break;
    }
    return cache::SolvedStep::State::cancelled;
  };
  std::map<solver::VertexDigest, std::uint32_t> places;
  for (const solver::StepResult& step : outcome.steps) {
    places.emplace(step.digest, static_cast<std::uint32_t>(row.steps.size()));
    row.steps.push_back({step.digest.bytes(), step.name, state_of(step.state), step.started, step.duration,
                         step.keys_tried, step.keys, step.hit, step.missed, step.made});
  }
  for (const auto& vertex : request.definition.vertices) {
    const auto place = places.find(vertex->digest);
    if (place == places.end()) continue;
    std::vector<std::uint32_t>& inputs = row.steps[place->second].inputs;
    for (const auto& input : vertex->inputs)
      if (const auto from = places.find(request.definition.vertices[input.vertex]->digest); from != places.end())
        inputs.push_back(from->second);
  }
  return row;
}

}  // namespace

// "cairn <version>\n".
Result<std::optional<int>> version_of_store(const HostPath& root) {
  const std::optional<std::string> text = TRY(read_if_there(root / "VERSION"), "open store {}", root.str());
  if (!text) return std::optional<int>();
  int version = 0;
  constexpr std::string_view prefix = "cairn ";
  const char* end = text->data() + text->size();
  if (!text->starts_with(prefix) || std::from_chars(text->data() + prefix.size(), end, version).ec != std::errc()) {
    return fail(ErrorCode::invalid_argument, "open store {}: VERSION is not that of a Cairn store", root.str());
  }
  if (version > store_version) {
    return fail(ErrorCode::invalid_argument,
                "open store {}: its format is version {}, this build knows {}; use a newer cairn", root.str(), version,
                store_version);
  }
  return std::optional<int>(version);
}

Status write_version(const HostPath& root) {
  return base::write_file_atomic(root / "VERSION", fmt::format("cairn {}\n", store_version), base::Durable::yes);
}

Result<base::Fd> lock_for_repair(const HostPath& root) {
  if (!TRY(version_of_store(root))) return fail(ErrorCode::not_found, "open store {}: there is no store", root.str());
  return lock_store(root);
}

std::optional<int> owner_pid(const HostPath& root) {
  auto lock = base::open_host(root / "lock", O_RDWR);
  if (!lock) return std::nullopt;
  if (::flock(lock->get(), LOCK_SH | LOCK_NB) == 0) return std::nullopt;  // nobody holds it
  auto text = base::read_all(lock->get(), small_file_max);
  int pid = 0;
  if (!text || std::from_chars(text->data(), text->data() + text->size(), pid).ec != std::errc()) return std::nullopt;
  return pid;
}

std::vector<const base::lmdb::RawTableSpec*> all_tables() {
  std::vector<const base::lmdb::RawTableSpec*> all;
  for (const auto* table : snapshot::tables()) all.push_back(table);
  for (const auto* table : cache::tables()) all.push_back(table);
  return all;
}

// Members are destroyed from the last to the first: whoever uses another comes after it.
struct Engine::State {
  explicit State(EngineOptions options_in) : options(std::move(options_in)) {}

  EngineOptions options;
  cache::Policy policy;
  base::SystemClock clock;
  base::Fd lock;
  base::SyncCounts syncs_at_open;
  std::unique_ptr<base::lmdb::Env> env;
  std::unique_ptr<snapshot::Snapshotter> snapshots;
  std::unique_ptr<base::lmdb::GroupWriter> writer;
  std::unique_ptr<cache::History> history;
  std::unique_ptr<cache::TraceRecorder> trace;
  std::unique_ptr<cache::Cache> cache;
  std::unique_ptr<cache::Fetcher> fetcher;
  std::unique_ptr<cache::Registries> registries;
  std::unique_ptr<cache::Buckets> buckets;
  std::unique_ptr<solver::Solver> solver;
};

Engine::Engine() = default;

Result<std::unique_ptr<Engine>> Engine::open(EngineOptions options) {
  std::unique_ptr<Engine> engine(new Engine());
  engine->state_ = std::make_unique<State>(std::move(options));
  State& state = *engine->state_;
  const HostPath& root = state.options.root;
  state.syncs_at_open = base::sync_counts();

  const auto& type_of = state.options.file_system_type;
  const Backing backing =
      judge_backing(TRY(type_of ? type_of(root) : file_system_type(root), "open store {}", root.str()));
  if (backing.fit == Backing::Fit::refused)
    return fail(ErrorCode::unavailable, "open store {}: {}", root.str(), backing.why);
  TRY(base::make_host_dirs(root), "open store {}", root.str());
  TRY(expect_store_or_room_for_one(root));
  state.lock = TRY(lock_store(root));
  if (!TRY(check_version(root))) TRY(create_store(root));
  TRY(empty_dir(root / "tmp"));

  const std::vector<const base::lmdb::RawTableSpec*> tables = all_tables();
  state.env = TRY(base::lmdb::Env::open(root / "meta", tables, {}), "open store {}", root.str());
  snapshot::OpenOptions trees;
  trees.driver = state.options.snapshotter;
  trees.chain_max = state.options.chain_max;
  state.snapshots = TRY(snapshot::open(root, *state.env, trees));
  state.writer = std::make_unique<base::lmdb::GroupWriter>(
      *state.env,
      [&state](std::span<const base::lmdb::DataToken> tokens) -> Status {
        TRY(state.snapshots->sync(tokens));
        if (state.options.data_synced) state.options.data_synced(tokens);
        return {};
      },
      state.options.writer);
  const cache::CacheOptions cache_options =
      state.options.cache ? *state.options.cache : load_options(root, &cache::parse_options);
  state.trace = std::make_unique<cache::TraceRecorder>(root, *state.env);
  state.history =
      std::make_unique<cache::History>(root, *state.writer, load_options(root, &cache::parse_history_options));
  state.cache = TRY(cache::Cache::open(root, *state.env, *state.writer, *state.snapshots, state.clock, cache_options));
  state.fetcher = remote::make_http_fetcher(remote::http_options_of_environment());
  state.registries = remote::make_registries(
      *state.fetcher, {.routes = load_options(root, &remote::parse_registries, remote::registries_file)});
  state.buckets = remote::make_buckets(*state.fetcher, state.clock);
  state.solver = std::make_unique<solver::Solver>(
      *state.cache,
      [&state] {
        return solver::open_executor({state.options.runtime, state.options.root / "tmp/exec"});
      },
      state.clock,
      solver::SolverOptions{.parallelism = state.options.parallelism,
                            .fetcher = state.fetcher.get(),
                            .registries = state.registries.get(),
                            .buckets = state.buckets.get(),
                            .trace = state.trace.get()});

  state.snapshots->start(*state.writer);
  state.policy = cache::with_quota(state.options.policy ? *state.options.policy : load_policy(root), state.options.quota);
  state.cache->start_ledger(load_options(root, &cache::parse_ledger_options));
  state.cache->start_collector({.policy = state.policy});
  state.cache->start_scrubber(cache_options.scrub);
  return engine;
}

Engine::~Engine() {
  if (!state_) return;
  if (state_->cache) state_->cache->stop_ledger();
  if (state_->cache) state_->cache->stop_scrubber();
  if (state_->cache) state_->cache->stop_collector();
  if (state_->snapshots) state_->snapshots->stop();
  if (!state_->solver) return;  // never opened; the store may be another owner's
  state_->solver.reset();
  // What the executor kept its bundles in. Whatever stays is erased by the next open.
  if (auto emptied = empty_dir(state_->options.root / "tmp"); !emptied) {
    base::log_debug("{}", emptied.error().message);
  }
  state_->cache->save_late_facts();
}

solver::SolveOutcome Engine::solve(const solver::SolveRequest& request, solver::ProgressSink& progress,
                                   std::stop_token stop) {
  const base::WallTime begun = state_->clock.now();
  solver::SolveOutcome outcome = state_->solver->solve(request, progress, std::move(stop));
  state_->history->add(history_row(request, outcome, begun));
  return outcome;
}

Status Engine::fetch(const cache::ImmutableRef& result, std::stop_token stop) {
  return state_->solver->fetch(result, std::move(stop));
}

solver::Solver& Engine::solver() { return *state_->solver; }
cache::Cache& Engine::cache() { return *state_->cache; }
snapshot::Snapshotter& Engine::snapshots() { return *state_->snapshots; }
const cache::Policy& Engine::policy() const { return state_->policy; }
const HostPath& Engine::root() const { return state_->options.root; }

EngineCounts Engine::counts() const {
  const solver::Solver::Counts solver = state_->solver->counts();
  const cache::Cache::Counts cache = state_->cache->counts();
  const base::lmdb::TxnCounts transactions = state_->env->counts();
  return {.syncs = base::sync_counts().total() - state_->syncs_at_open.total(),
          .read_transactions = transactions.reads,
          .commits = transactions.commits,
          .groups = state_->writer->counts().groups,
          .processes = solver.processes,
          .ops_executed = solver.ops_executed,
          .tree_bytes_read = cache.tree_bytes_read,
          .trees_mounted = cache.trees_mounted,
          .history_dropped = state_->history->dropped()};
}

Result<std::unique_ptr<base::lmdb::Env>> open_read_only(const HostPath& root) {
  if (!TRY(check_version(root))) return fail(ErrorCode::not_found, "open store {}: there is no store", root.str());
  const std::vector<const base::lmdb::RawTableSpec*> tables = all_tables();
  base::lmdb::Env::Options options;
  options.mode = base::lmdb::Mode::read_only;
  return base::lmdb::Env::open(root / "meta", tables, options);
}

}  // namespace cairn::engine
