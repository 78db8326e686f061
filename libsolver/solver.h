// SPDX-License-Identifier: Apache-2.0
// The solver: takes a definition, finds what has been done before, runs what has not, and hands back the result as a ref.
// It keeps no durable state of its own. Any number of solves run at once; equal work of two solves is done once (I7).
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "libbase/clock.h"
#include "libbase/path.h"
#include "libbase/result.h"
#include "libbase/thread_pool.h"
#include "libcache/bucket.h"
#include "libcache/cache.h"
#include "libcache/fetcher.h"
#include "libcache/registry.h"
#include "libsolver/definition.h"
#include "libsolver/executor.h"
#include "libsolver/progress.h"
#include "libsolver/registry_logins.h"
#include "libsolver/result_store.h"
#include "libsolver/source_policy.h"
#include "libsolver/use_cache.h"

namespace cairn::cache {
class TraceRecorder;  // trace.h
}

namespace cairn::solver {

// When sources ask their remote sides.
struct RemoteUse {
  enum class Ask : std::uint8_t { always, never } ask = Ask::always;  // never: what is not known from before fails (unavailable)
  std::chrono::seconds believed_for{0};  // what a remote side has said is not asked again for so long
  std::uint64_t file_bytes_max = ~std::uint64_t{0};  // of one file that is fetched over HTTP, or one blob
  std::chrono::milliseconds stalled_after{120'000};  // a git server that lets nothing be heard for so long is given up
};

// What steps may have beyond what every step may. A graph that asks for more is refused before anything runs.
struct Entitlements {
  bool insecure = false;      // "security.insecure": all that the engine may do itself
  bool host_network = false;  // "network.host": whatever listens on this machine's loopback
};

// What becomes of what a step has written to its cache mounts, if it ended by itself and failed.
enum class CacheMountOnFail : std::uint8_t { keep, drop };

// What becomes of the trees of a step that ended by itself and failed: what it wrote to, cache mounts aside.
enum class FailedTrees : std::uint8_t { drop, keep };
// One that was kept: a durable record that no key leads to, so it goes as soon as somebody collects what is not used.
struct KeptTree {
  std::string mount;  // "/", ...
  cache::RecordId record;
};

struct SolveRequest {
  Definition definition;
  std::map<std::string, base::HostPath> locals;       // name in local://name → directory
  std::map<std::string, base::HostPath> oci_layouts;  // name in oci-layout://name@digest → directory
  // By id: what steps may see, as files or variables, and what sources authenticate with. In no key, no log and no tree.
  std::map<std::string, std::string> secrets = {};
  // By registry: what whoever asks is logged in with. In no key, no log and no tree, either, and for registries alone.
  RegistryLogins logins = {};
  // By id: the sockets of agents that steps may talk to (ssh mounts); "default" is that of a mount that names none.
  std::map<std::string, base::HostPath> ssh_agents = {};
  Entitlements allowed = {};
  CacheMountOnFail cache_mount_on_fail = CacheMountOnFail::keep;
  FailedTrees failed_trees = FailedTrees::drop;  // of work that two solves share: what the first of them has said
  UseCache use_cache = UseCache::yes;  // no: every step runs; results are stored all the same
  cache::Owner owner = {};             // who asks: whose lookups are counted, and whose the new records are (step: its name)
  std::string id = {};                 // not empty: by which stop() finds it while it runs
  // Where else to look, after the solver's own store. What is found there is stored in the own one. They outlive the solve.
  std::vector<ResultStore*> more_results = {};
  // keep: the outcome says how everything was found, for exporters. Costs memory by the step.
  enum class Keys { drop, keep } keys = Keys::drop;
  RemoteUse remote = {};
  // here: the result's tree is fetched before the solve ends, so that a layer that is gone is made again.
  enum class Tree : std::uint8_t { lazy, here } tree = Tree::lazy;
  // What the definition was loaded under; graphs that build steps bring are loaded under them, too.
  std::vector<SourcePolicy> source_policies = {};
};

// Which image, for which platform.
struct ImageQuery {
  std::string reference;     // in full
  wire::Platform platform;
  std::string resolve_mode;  // "default", "pull", "local"
  std::string credentials;   // "user:password" for its registry, or ""
  RemoteUse remote;
  std::optional<base::HostPath> oci_layout;  // it is in this directory, and the reference has its digest
};
struct ImageAnswer {
  BlobDigest digest;                  // of what the reference leads to: a manifest or an index
  std::string config;                 // JSON
  std::vector<std::string> warnings;  // sentences for the user
};

struct KeyGraph;  // key_graph.h
struct CacheAddress;   // remote_cache.h
struct CacheExport;    // remote_cache.h
struct CacheExported;  // remote_cache.h
struct CacheLayer;     // remote_cache.h
struct ImageExport;    // images.h
struct ImagesExported; // images.h

struct StepResult {
  VertexDigest digest;
  std::string name;
  StepState state = StepState::cached;
  std::chrono::nanoseconds duration{0};
  std::string error;
  std::optional<cache::Tombstone> evicted{};  // it was executed because a collection had taken its result
  std::vector<KeptTree> kept{};               // of a failed one, if the request keeps them
  // How it was looked for, all of its outputs together.
  std::chrono::nanoseconds started{0};        // after the solve began; 0 and no duration: nothing of it ran
  std::uint64_t keys_tried = 0;               // keys whose results were looked for
  std::vector<KeyDigest> keys{};              // the first of them
  std::optional<KeyDigest> hit{};             // the key that led to what was taken, if the solver's own store had it
  std::optional<cache::MissCause> missed{};   // why nothing was, if it was asked for
  cache::RecordId made{};                     // of an executed one: its first result that is not scratch; 0: there is none
};

struct SolveOutcome {
  base::Status status;                          // why there is no result
  std::optional<cache::ImmutableRef> result;    // nullopt with an ok status: the empty tree (scratch)
  std::vector<StepResult> steps;                // one per vertex, always complete
  std::chrono::nanoseconds duration{0};
  std::string not_cached;  // not empty: the result is good, but storing it failed for this reason
  std::vector<std::string> warnings{};  // what went otherwise than it should have without doing harm
  // Of a step that failed because an input could not be looked into: that input, held for a look as long as this lives.
  struct FailedInput {
    std::size_t step = 0;
    std::uint32_t input = 0;
    OptionalRef ref;
  };
  std::optional<FailedInput> failed_input;
  std::shared_ptr<const KeyGraph> keys;  // if the request keeps them and there is a result
  std::size_t count(StepState state) const;
};

class Op;
// Makes the op of a vertex; the default is make_op of op.h.
using MakeOp = std::function<base::Result<std::unique_ptr<Op>>(std::shared_ptr<const Vertex>, const SolveRequest&)>;

struct SolverOptions {
  std::size_t parallelism = 0;  // steps at a time; 0: two more than there are cores
  MakeOp make_op = {};          // empty: the ops of this library
  cache::Fetcher* fetcher = nullptr;  // for sources of the network; outlives the solver
  cache::Registries* registries = nullptr;  // for images; outlives the solver
  cache::Buckets* buckets = nullptr;        // for remote caches; outlives the solver
  cache::TraceRecorder* trace = nullptr;    // gets each solve while it is on; outlives the solver
  MainStore* results = nullptr;  // where results are found and stored; null: the cache's own keys. Outlives the solver
};

// Thread-safe.
class Solver {
 public:
  // The executor is opened when the first process has to run, so that a warm solve starts none.
  using OpenExecutor = std::function<base::Result<std::unique_ptr<Executor>>()>;
  Solver(cache::Cache& cache, OpenExecutor open_executor, const base::Clock& clock, SolverOptions options);
  ~Solver();  // no solve is running

  // Solves and waits. With an ok status every record and key that the result depends on is durable (a power cut cannot
  // take it back). On an error or a stop request all work that nobody else waits for has ended, and nothing half-made is
  // in the store. Errors name the step. The outcome's ref holds the result.
  SolveOutcome solve(const SolveRequest& request, ProgressSink& progress, std::stop_token stop);

  // Gives a result its tree if it is lazy: an image of which no step has needed the files yet. Errors: as Cache::unlazy.
  base::Status fetch(const cache::ImmutableRef& result, std::stop_token stop = {});

  // What an image says of itself, for front ends. Its documents are in the store afterwards; no layer is transferred.
  // Errors: invalid_argument (the reference, the mode), not_found, unavailable, corrupt, those of Repository.
  base::Result<ImageAnswer> image_config(const ImageQuery& query, std::stop_token stop);

  // A cache that somebody exported (remote_cache.h), as one more place to look for requests; it outlives no solver, and
  // transfers no layer by itself. Credentials: "user:password" for its registry, or "". Errors: not_found (nothing is
  // there), corrupt and invalid_argument (it cannot be read), those of the registry.
  base::Result<std::unique_ptr<ResultStore>> import_cache(const CacheAddress& from, const std::string& credentials,
                                                          std::stop_token stop);
  // Writes what a solve has found, and what the store knows beyond, where others import it; what is there already stays
  // and is not written again. Errors: those of making layers, no_space, invalid_argument (it would be over a limit),
  // those of the place.
  base::Result<CacheExported> export_cache(const KeyGraph& keys, const CacheExport& to, const std::string& credentials,
                                           std::stop_token stop);

  // Writes results as images, or as trees (images.h). What was there under a name stays until all of the new is. Errors:
  // invalid_argument (an order that cannot be met, a config that is none), unavailable (blobs that are nowhere, no
  // registry), no_space, cancelled, those of making layers, of the directory, and of the registry.
  base::Result<ImagesExported> export_images(const ImageExport& order, std::stop_token stop);

  // The same for an image: the records of what a solve has found, as the image's config has them (JSON,
  // "moby.buildkit.cache.v0" before it is base64), of which the results are made of these layers of the image, the
  // lowest first. Makes no layer. "": none of its layers is a result. import_cache() finds it by the image.
  base::Result<std::string> inline_cache(const KeyGraph& keys, const std::vector<CacheLayer>& image,
                                         std::stop_token stop);

  // Asks the running solve with this id to stop. Errors: not_found ("no such job: ...").
  base::Status stop(std::string_view id);

  struct Counts {
    std::uint64_t processes = 0;   // started by executors
    std::uint64_t ops_executed = 0;
  };
  Counts counts() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cairn::solver
