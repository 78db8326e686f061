// SPDX-License-Identifier: Apache-2.0
// Running a step, and storing its results under its keys.
#include <algorithm>

#include "libsolver/schedule/count.h"
#include "libsolver/schedule/recipe.h"
#include "libsolver/schedule/run.h"

namespace cairn::solver {
namespace {

// How much room is made when a step has found the disk full.
constexpr std::int64_t emergency_bytes = std::int64_t{1} << 30;

KeyFacts facts_of(KeyPlan plan, const OpOutputs& outputs) {
  KeyFacts facts;
  for (std::size_t output = 0; output < outputs.refs.size() && output < plan.results.size(); ++output) {
    const std::vector<KeyDigest>& keys = outputs.true_keys ? *outputs.true_keys : plan.results[output];
    for (const KeyDigest& key : keys) facts.results.emplace_back(key, outputs.refs[output]);
  }
  facts.links = std::move(plan.links);
  return facts;
}

bool contains(const std::vector<cache::RecordId>& records, const cache::RecordId& record) {
  return std::find(records.begin(), records.end(), record) != records.end();
}

// Somebody may have stored it between our lookup and now: then it is found, whole or not at all. What that lookup has
// tried in vain is not tried again.
std::optional<OpOutputs> find_again(MainStore& store, const KeyPlan& plan, const std::vector<cache::RecordId>& tried,
                                    const std::stop_token& stop) {
  OpOutputs outputs;
  outputs.found = true;
  const base::Status read = store.keys().read([&](cache::KeyStore::Reader& reader) -> base::Status {
    for (const std::vector<KeyDigest>& keys : plan.results) {
      std::optional<OptionalRef> found;
      for (const KeyDigest& key : keys) {
        for (const cache::KeyResult& result : TRY(reader.results(key))) {
          if (!found && !contains(tried, result.record)) found = TRY(store.load(result, stop));
        }
      }
      if (!found) return {};
      outputs.refs.push_back(std::move(*found));
    }
    return {};
  });
  if (!read || outputs.refs.size() != plan.results.size() || outputs.refs.empty()) return std::nullopt;
  return outputs;
}

// If the work finds no space there is one emergency collection, and one more try if that freed anything, or another one
// that has gone on meanwhile may have.
template <class Work>
base::Result<OpOutputs> with_room(cache::Cache& cache, const std::stop_token& stop, Work&& work) {
  const std::uint64_t emergencies = cache.counts().collector.emergencies;
  auto done = work();
  if (done || done.error().code != base::ErrorCode::no_space) return done;
  const auto freed = cache.make_room(emergency_bytes, stop);
  const bool others = cache.counts().collector.emergencies > emergencies + 1;
  if ((freed && *freed > 0) || others) done = work();
  return done;
}

cache::ExecutedStep executed_step(const Vertex& vertex, std::span<const OptionalRef> inputs) {
  cache::ExecutedStep step{vertex.digest.bytes(), owner_label(vertex.name), {}};
  for (const OptionalRef& input : inputs)
    if (input) step.inputs.push_back(input->id());
  return step;
}

// What a step that solves other definitions hands on to them.
SolveRequest sub_request(const SolveRequest& request) {
  SolveRequest sub;
  sub.locals = request.locals;
  sub.oci_layouts = request.oci_layouts;
  sub.use_cache = request.use_cache;
  sub.owner = request.owner;
  sub.more_results = request.more_results;
  sub.secrets = request.secrets;
  sub.logins = request.logins;
  sub.ssh_agents = request.ssh_agents;
  sub.allowed = request.allowed;
  sub.cache_mount_on_fail = request.cache_mount_on_fail;
  sub.failed_trees = request.failed_trees;
  sub.remote = request.remote;
  sub.source_policies = request.source_policies;
  return sub;
}

base::Result<OptionalRef> solve_within(SolverShared& shared, const SolveRequest& outer, Definition definition,
                                       const std::stop_token& stop, const std::shared_ptr<ResolverCache>& resolved) {
  SolveRequest request = outer;
  request.definition = std::move(definition);
  NoProgress quiet;
  SolveOutcome outcome = solve_without_lost(shared, request, quiet, stop, resolved);
  if (!outcome.status) return tl::unexpected(std::move(outcome.status).error());
  return std::move(outcome.result);
}

}  // namespace

Flights::Work Run::make_work(NodeIndex index, KeyPlan plan, std::vector<OptionalRef> inputs) {
  const bool look_again = !graph_.made_anew(index);
  std::vector<cache::RecordId> tried;
  for (const auto& [output, edge] : graph_.node(index).edges) {
    if (graph_.edge(edge).state.phase == Phase::complete) continue;
    for (const Candidate& each : graph_.edge(edge).tried) {
      if (each.store == 0) tried.push_back(each.result.record);
    }
  }
  const Step& step = steps_[index];
  cache::Owner owner = request_.owner;
  if (owner != cache::Owner{}) owner.step = owner_label(step.vertex->name);
  const bool looks_into_inputs = !std::holds_alternative<wire::PassthroughOp>(step.vertex->op.op);
  auto recipe = make_recipe(graph_, index, *step.vertex, inputs, began_);
  auto sub = step.op->place() == Op::Place::beside ? std::make_shared<const SolveRequest>(sub_request(request_)) : nullptr;
  return [shared = &shared_, op = step.op, plan = std::move(plan), inputs = std::move(inputs), look_again, looks_into_inputs,
          tried = std::move(tried), recipe = std::move(recipe), vertex = step.vertex, owner = std::move(owner), live = live_cache_mounts_, sub, resolved = resolved_](
             const Flights::Listener& to_all, std::stop_token stop) -> base::Result<OpOutputs> {
    if (look_again) {
      if (auto found = find_again(shared->results, plan, tried, stop)) return std::move(*found);
    }
    OpContext context{.cache = shared->cache, .executor = shared->executor, .output = to_all.output,
                      .bytes = to_all.bytes, .stop = stop, .fetcher = shared->fetcher, .solve = {},
                      .cache_mounts = shared->cache_mounts, .live_cache_mounts = live, .origins = &shared->origins,
                      .kept = to_all.kept, .owner = owner, .resolved = to_all.resolved};
    if (sub) {
      context.solve = [&](Definition definition) { return solve_within(*shared, *sub, std::move(definition), stop, resolved); };
    }
    cache::Publication publication;
    const auto begun = shared->clock.steady_now();
    OpOutputs outputs = TRY(with_room(shared->cache, stop, [&] {
      publication = cache::Publication();  // what a first try has put in
      if (looks_into_inputs) {
        if (auto here = unlazy(context, inputs); !here) return base::Result<OpOutputs>(tl::unexpected(std::move(here).error()));
      }
      return op->execute(inputs, context, publication);
    }));
    publication.took(shared->clock.steady_now() - begun);
    publication.owned_by(owner);
    publication.executed(executed_step(*vertex, inputs));
    publication.made_of(recipe);
    Missed missed = why_missed(shared->cache, plan);
    if (missed.cause == cache::MissCause::never_seen && outputs.done_otherwise) missed.cause = cache::MissCause::key_differs;
    outputs.evicted = std::move(missed.evicted);
    outputs.cause = missed.cause;
    // The step has been done; that its result cannot be stored is no reason to fail the build.
    if (auto sequence = shared->results.publish(std::move(publication), facts_of(plan, outputs)); sequence) {
      outputs.sequence = *sequence;
    } else {
      outputs.not_cached = sequence.error().message;
    }
    ++shared->ops_executed;
    return outputs;
  };
}

void Run::finish_execute(NodeIndex index, std::uint32_t attempt, const Flights::Outcome& outcome, Role role) {
  Step& step = steps_[index];
  if (!step.running || attempt != step.attempt) return;  // we left it to others
  step.running.reset();
  --outstanding_;
  if (!outcome) {
    if (step.stopping && !giving_up_) return graph_.execution_stopped(index);
    return fail_step(index, outcome.error());
  }
  const OpOutputs& outputs = **outcome;
  CHECK(outputs.refs.size() == step.op->outputs());
  step.evicted = outputs.evicted;
  step.ran = step.ran || !outputs.found;
  durable_after_ = std::max(durable_after_, outputs.sequence);
  for (const OptionalRef& ref : outputs.refs) use(ref);
  for (const OptionalRef& ref : outputs.refs)
    if (ref && !outputs.found && !step.made) step.made = ref->id();
  if (!outputs.not_cached.empty()) not_cached_ = outputs.not_cached;
  const KeyPlan plan = graph_.plan_keys(index, step.op->outputs());
  if (role == Role::joiner) store_joined(index, outputs);
  count_executed(index, outputs);
  for (const auto& [output, edge] : graph_.node(index).edges) {
    if (graph_.edge(edge).state.phase != Phase::complete) refs_[edge] = outputs.refs[output];
  }
  graph_.executed(index, outputs.true_keys, plan);
  report_finished(index, outputs.found ? StepState::cached : StepState::executed);
}

void Run::publish(const KeyFacts& facts) {
  if (auto sequence = shared_.results.publish({}, facts); sequence) {
    durable_after_ = std::max(durable_after_, *sequence);
  } else {
    not_cached_ = sequence.error().message;
  }
}

// The work was another solve's, which stored it under its own keys; ours may be others.
void Run::store_joined(NodeIndex index, const OpOutputs& outputs) {
  publish(facts_of(graph_.plan_keys(index, steps_[index].op->outputs()), outputs));
}

// It came from another store, and shall be found in the own one next time.
void Run::store_found(EdgeIndex edge) {
  KeyPlan plan = graph_.plan_found(edge);
  KeyFacts facts;
  for (const KeyDigest& key : plan.results[graph_.edge(edge).output]) facts.results.emplace_back(key, refs_[edge]);
  facts.links = std::move(plan.links);
  publish(facts);
}

}  // namespace cairn::solver
