// SPDX-License-Identifier: Apache-2.0
#include "libsolver/solver.h"

#include <algorithm>
#include <mutex>
#include <thread>

#include "libsolver/images/export_images.h"
#include "libsolver/ops/image_tag.h"
#include "libsolver/remote_cache/export_cache.h"
#include "libsolver/remote_cache/imported_cache.h"
#include "libsolver/remote_cache/time_limit.h"
#include "libsolver/schedule/run.h"
#include "libsolver/sources/oci_layout.h"

namespace cairn::solver {
namespace {

constexpr int config_times = 4;  // it is larger than the manifest

}  // namespace

std::string_view to_string(StepState state) {
  switch (state) {
    case StepState::executed: return "executed";
    case StepState::cached: return "cached";
    case StepState::failed: return "failed";
    case StepState::cancelled: return "cancelled";
  }
  return "unknown";
}

std::size_t SolveOutcome::count(StepState state) const {
  return static_cast<std::size_t>(
      std::count_if(steps.begin(), steps.end(), [&](const StepResult& step) { return step.state == state; }));
}

struct Solver::State {
  State(cache::Cache& cache, OpenExecutor open_executor_in, const base::Clock& clock, const SolverOptions& options,
        std::size_t threads)
      : shared(cache, clock, options, threads), open_executor(std::move(open_executor_in)) {
    shared.executor = [this] { return executor_once(); };
  }

  base::Result<Executor*> executor_once() {
    std::lock_guard lock(mutex);
    if (!executor) executor = TRY(open_executor());
    return executor.get();
  }

  SolverShared shared;
  OpenExecutor open_executor;
  std::mutex mutex;  // held while the executor is probed: whoever needs one waits for that
  std::unique_ptr<Executor> executor;
};

Solver::Solver(cache::Cache& cache, OpenExecutor open_executor, const base::Clock& clock, SolverOptions options) {
  // A step waits for the kernel when its mounts are made and when they go: with one for each core the cores rest (bench/budgets.md).
  const std::size_t cores = std::max(1u, std::thread::hardware_concurrency());
  state_ = std::make_unique<State>(cache, std::move(open_executor), clock, options,
                                   options.parallelism != 0 ? options.parallelism : cores + 2);
}

Solver::~Solver() = default;

SolveOutcome Solver::solve(const SolveRequest& request, ProgressSink& progress, std::stop_token stop) {
  if (request.id.empty()) return solve_without_lost(state_->shared, request, progress, stop);
  std::stop_source source;
  const std::stop_callback pass_on(stop, [&] { source.request_stop(); });
  if (!state_->shared.jobs.lock()->emplace(request.id, source).second) {
    SolveOutcome refused;
    refused.status = base::fail(base::ErrorCode::already_exists, "solve: a job {} is running", request.id);
    return refused;
  }
  SolveOutcome outcome = solve_without_lost(state_->shared, request, progress, source.get_token());
  state_->shared.jobs.lock()->erase(request.id);
  return outcome;
}

base::Status Solver::fetch(const cache::ImmutableRef& result, std::stop_token stop) {
  SolverShared& shared = state_->shared;
  return shared.cache.unlazy(result, shared.origins.provider(), stop);
}

base::Result<std::unique_ptr<ResultStore>> Solver::import_cache(const CacheAddress& from,
                                                                const std::string& credentials, std::stop_token stop) {
  SolverShared& shared = state_->shared;
  auto place = TRY(open_cache_place(from, credentials, shared.origins));
  std::optional<NamedManifest> manifest;
  {
    const TimeLimit limit(stop, from.answer_max);
    manifest = TRY(limit.judge(place->find_manifest(limit.token())), "{}", from.text());
  }
  if (!manifest) return base::fail(base::ErrorCode::not_found, "{}: nothing is there", from.text());
  const TimeLimit limit(stop, config_times * from.answer_max);
  WrittenCache written = TRY(limit.judge(read_cache_or_images(*place, *manifest, limit.token())), "{}", from.text());
  return TRY(ImportedCache::of(from, std::move(written), std::move(place), shared.cache, shared.origins));
}

base::Result<CacheExported> Solver::export_cache(const KeyGraph& keys, const CacheExport& to,
                                                 const std::string& credentials, std::stop_token stop) {
  SolverShared& shared = state_->shared;
  const auto place = TRY(open_cache_place(to.to, credentials, shared.origins));
  const CacheExportContext context{shared.results, shared.cache, shared.origins};
  return TRY(solver::export_cache(keys, to, *place, context, std::move(stop)), "{}", to.to.text());
}

base::Result<ImageAnswer> Solver::image_config(const ImageQuery& query, std::stop_token stop) {
  SolverShared& shared = state_->shared;
  ImageTag tag{TRY(parse_image_reference(query.reference)), query.reference, TRY(parse_resolve_mode(query.resolve_mode))};
  ImageAnswer answer;
  if (query.oci_layout) {
    const OciLayout layout = TRY(OciLayout::open(*query.oci_layout));
    if (!tag.reference.digest) return base::fail(base::ErrorCode::invalid_argument, "{}: its digest is missing", query.reference);
    answer.digest = *tag.reference.digest;
    answer.config = TRY(layout.resolve(answer.digest, query.platform), "resolve {}", query.reference).config_bytes;
    return answer;
  }
  std::shared_ptr<cache::Repository> repository;
  if (query.remote.ask == RemoteUse::Ask::always)
    repository = TRY(shared.origins.open(tag.reference.repository, query.credentials));
  const auto warn = [&](const std::string& text) { answer.warnings.push_back(text); };
  answer.digest = tag.reference.digest
                      ? *tag.reference.digest
                      : TRY(resolve_tag(shared.cache, tag, repository.get(), query.remote, warn, stop));
  const RegistryDocuments documents(shared.cache.blobs(), repository, tag.reference.repository.text(), stop);
  answer.config = TRY(resolve_oci_image(documents, answer.digest, query.platform), "resolve {}", query.reference).config_bytes;
  return answer;
}

base::Result<ImagesExported> Solver::export_images(const ImageExport& order, std::stop_token stop) {
  return solver::export_images(order, {state_->shared.cache, state_->shared.origins}, std::move(stop));
}

base::Result<std::string> Solver::inline_cache(const KeyGraph& keys, const std::vector<CacheLayer>& image,
                                               std::stop_token stop) {
  SolverShared& shared = state_->shared;
  return TRY(solver::inline_cache(keys, image, {shared.results, shared.cache, shared.origins}, std::move(stop)),
             "inline cache");
}

base::Status Solver::stop(std::string_view id) {
  std::stop_source source(std::nostopstate);
  {
    auto jobs = state_->shared.jobs.lock();
    const auto job = jobs->find(id);
    if (job == jobs->end()) return base::fail(base::ErrorCode::not_found, "no such job: {}", id);
    source = job->second;
  }
  source.request_stop();
  return {};
}

Solver::Counts Solver::counts() const {
  std::lock_guard lock(state_->mutex);
  return {.processes = state_->executor ? state_->executor->processes_run() : 0,
          .ops_executed = state_->shared.ops_executed.load()};
}

}  // namespace cairn::solver
