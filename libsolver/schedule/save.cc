// SPDX-License-Identifier: Apache-2.0
// What is stored with a step's results: its keys, and the links that lead from every known key of its inputs to them.
#include <algorithm>

#include "libsolver/cache_key.h"
#include "libsolver/schedule/run.h"

namespace cairn::solver {

// There is one namespace of trust until stores are shared between tenants; it is in the key so that it can be told later.
constexpr std::uint32_t trust_namespace = 0;
// How much room is made when a step has found the disk full.
constexpr std::int64_t emergency_bytes = std::int64_t{1} << 30;

namespace {

void add_new(std::vector<KeyDigest>& keys, const KeyDigest& key) {
  if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(key);
}

// Every key that leads from one input: its stored keys under the selector, its content key without one. The first is what
// the step's own key is made of. For an input that was made anew that is the content if it decides: its stored keys are
// those of its earlier results, too, and what was made of other content must not be found by this one.
std::vector<KeyInput> keys_of_input(const Edge& input, const CacheMapDep& dep, const ContentKey& content) {
  std::vector<KeyInput> keys;
  const base::Sha256Bytes selector = dep.selector ? dep.selector->bytes() : base::Sha256Bytes{};
  for (const KeyDigest& key : input.stored_keys) keys.push_back({key, selector});
  if (content.phase == Phase::done && content.key) keys.insert(input.renewed ? keys.begin() : keys.end(), {*content.key, {}});
  return keys;
}

}  // namespace

Run::KeyPlan Run::plan_keys(NodeIndex index) {
  const Node& node = nodes_[index];
  KeyPlan plan;
  plan.results.resize(node.op->outputs());
  const CacheMap& map = node.identity.maps.front();
  for (std::uint32_t output = 0; output < plan.results.size(); ++output) {
    std::vector<KeyDigest>& keys = plan.results[output];
    if (node.inputs.empty()) {
      for (const CacheMap& each : node.identity.maps) {
        if (each.digest.scope == OpDigest::Scope::portable) add_new(keys, root_key(each.digest, output));
      }
      for (const KeyDigest& key : node.identity.extra_keys) add_new(keys, key);
      continue;
    }
    std::vector<std::vector<KeyInput>> inputs;
    std::vector<KeyInput> primary;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      inputs.push_back(keys_of_input(edges_[node.inputs[i]], map.deps[i], node.content[i]));
      if (!inputs.back().empty()) primary.push_back(inputs.back().front());
    }
    if (primary.size() != node.inputs.size()) continue;  // an input has no key, so this step cannot be found again
    keys.push_back(combined_key(trust_namespace, map.digest, output, primary));
    if (const auto edge = node.edges.find(output); edge != node.edges.end()) {
      for (const KeyDigest& key : edges_[edge->second].stored_keys) add_new(keys, key);
    }
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      for (const KeyInput& from : inputs[i]) {
        const cache::KeyLink link{.from = from.key, .input = static_cast<std::uint32_t>(i), .operation = map.digest.hash,
                                  .output = output, .selector = from.selector};
        for (const KeyDigest& key : keys) plan.links.emplace_back(link, key);
      }
    }
  }
  return plan;
}

void Run::add_keys(const KeyPlan& plan, const OpOutputs& outputs, cache::Publication& publication) {
  for (std::size_t output = 0; output < outputs.refs.size() && output < plan.results.size(); ++output) {
    const std::vector<KeyDigest>& keys = outputs.true_keys ? *outputs.true_keys : plan.results[output];
    for (const KeyDigest& key : keys) publication.add_result(key, outputs.refs[output]);
  }
  for (const auto& [link, target] : plan.links) publication.add_link(link, target);
}

// What a collection left of the keys of a step: it has been done before. A store that cannot say is no reason to fail.
std::optional<cache::Tombstone> Run::find_tombstone(cache::Cache& cache, const KeyPlan& plan) {
  for (const std::vector<KeyDigest>& keys : plan.results)
    for (const KeyDigest& key : keys)
      if (auto found = cache.find_tombstone(key); found && *found) return std::move(*found);
  return std::nullopt;
}

Flights::Work Run::make_work(NodeIndex index, KeyPlan plan, std::vector<OptionalRef> inputs) {
  return [shared = &shared_, op = nodes_[index].op, plan = std::move(plan), inputs = std::move(inputs)](
             const Flights::Listener& to_all, std::stop_token stop) -> base::Result<OpOutputs> {
    const OpContext context{.cache = shared->cache, .executor = shared->executor, .output = to_all.output,
                            .bytes = to_all.bytes, .stop = std::move(stop)};
    cache::Publication publication;
    const auto begun = shared->clock.steady_now();
    auto done = op->execute(inputs, context, publication);
    if (!done && done.error().code == base::ErrorCode::no_space) {
      // One emergency collection, and one more try if it freed anything.
      if (const auto freed = shared->cache.make_room(emergency_bytes, context.stop); freed && *freed > 0) {
        publication = cache::Publication();
        done = op->execute(inputs, context, publication);
      }
    }
    OpOutputs outputs = TRY(std::move(done));
    publication.took(shared->clock.steady_now() - begun);
    outputs.evicted = find_tombstone(shared->cache, plan);
    add_keys(plan, outputs, publication);
    // The step has been done; that its result cannot be stored is no reason to fail the build.
    if (auto sequence = shared->cache.publish(std::move(publication)); sequence) {
      outputs.sequence = *sequence;
    } else {
      outputs.not_cached = sequence.error().message;
    }
    ++shared->ops_executed;
    return outputs;
  };
}

void Run::finish_execute(NodeIndex index, const Flights::Outcome& outcome, Role role) {
  Node& node = nodes_[index];
  if (!node.ticket) return;  // we left it to others
  node.ticket.reset();
  --outstanding_;
  node.execute = Phase::done;
  if (!outcome) return fail_node(index, outcome.error());
  const OpOutputs& outputs = **outcome;
  CHECK(outputs.refs.size() == node.op->outputs());
  node.ran = true;
  node.evicted = outputs.evicted;
  durable_after_ = std::max(durable_after_, outputs.sequence);
  if (!outputs.not_cached.empty()) not_cached_ = outputs.not_cached;
  const KeyPlan plan = plan_keys(index);
  if (role == Role::joiner) store_joined(index, outputs);
  for (const auto& [output, edge_index] : node.edges) {
    Edge& edge = edges_[edge_index];
    if (edge.level == Level::complete) continue;
    edge.stored_keys = outputs.true_keys ? *outputs.true_keys : plan.results[output];
    // What ignores the cache must not make its users, near or far, hit what was made of an earlier result.
    edge.renewed = is_renewed(index);
    if (!edge.renewed) {
      if (outputs.true_keys) edge.keys.clear();
      for (const KeyDigest& key : edge.stored_keys) add_new(edge.keys, key);
    }
    complete(edge_index, outputs.refs[output]);
  }
  report_finished(index, StepState::executed);
}

bool Run::is_renewed(NodeIndex index) const {
  const Node& node = nodes_[index];
  return node.ignore_cache || std::any_of(node.inputs.begin(), node.inputs.end(),
                                          [&](EdgeIndex input) { return edges_[input].renewed; });
}

// The work was another solve's, which stored it under its own keys; ours may be others.
void Run::store_joined(NodeIndex index, const OpOutputs& outputs) {
  cache::Publication publication;
  add_keys(plan_keys(index), outputs, publication);
  if (auto sequence = shared_.cache.publish(std::move(publication)); sequence) {
    durable_after_ = std::max(durable_after_, *sequence);
  } else {
    not_cached_ = sequence.error().message;
  }
}

}  // namespace cairn::solver
