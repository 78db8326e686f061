// SPDX-License-Identifier: Apache-2.0
// Steps that a test describes: what they say they are, what they make, what their inputs' content is, and what happens
// meanwhile. Results are real records, whose description is the step's value. Nothing sleeps: steps wait at gates.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "libbase/hash/sha256.h"
#include "libsolver/op.h"
#include "tests/libcache/store_fixture.h"

namespace cairn::solver::test {

using cache::must;

// Where a step waits until the test lets it go.
class Gate {
 public:
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  // False if it was asked to stop before the gate opened.
  bool pass(std::stop_token stop) {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    return changed_.wait(lock, std::move(stop), [&] { return open_; });
  }
  void wait_arrived(int count = 1) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return arrived_ >= count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool open_ = false;
  int arrived_ = 0;
};

struct FakeStep;
using FakeStepPtr = std::shared_ptr<FakeStep>;
using Hook = std::function<base::Status(std::stop_token)>;

struct FakeInput {
  FakeStepPtr step;
  std::uint32_t output = 0;
  std::string selector = {};
  std::function<base::Result<std::string>(const std::string& value)> content = {};  // set: content decides, and is this
};

struct FakeStep {
  std::string name;                // makes the vertex digest
  std::vector<std::string> seeds;  // of its cache maps
  std::string value;               // what it makes; if empty: "sum"
  std::vector<FakeInput> inputs;
  std::uint32_t outputs = 1;
  bool ignore_cache = false;
  bool session = false;            // its first map is a session's
  std::optional<bool> export_cache;
  int own_number = 0;              // added to those of its inputs, if it is a sum
  Hook on_map, on_execute;
  std::function<base::Status(const OpContext&)> on_resolve;  // as a source asks its remote side; not shared by solves
  FakeStepPtr builds;              // its value is that of this one, solved within
  std::atomic<int> maps{0}, executions{0}, contents{0};
};

inline std::string value_of(const OptionalRef& ref) { return ref ? ref->info().facts.description : ""; }

inline FakeStepPtr step(const std::string& name, const std::string& seed, const std::string& value,
                        std::vector<FakeInput> inputs = {}) {
  auto made = std::make_shared<FakeStep>();
  made->name = name;
  made->seeds = {seed};
  made->value = value;
  made->inputs = std::move(inputs);
  return made;
}
// What waits at a gate.
inline Hook at(Gate& gate) {
  return [&gate](std::stop_token stop) -> base::Status {
    if (!gate.pass(std::move(stop))) return base::fail(base::ErrorCode::cancelled, "stopped at a gate");
    return {};
  };
}

class FakeGraph;

class FakeOp final : public Op {
 public:
  FakeOp(FakeGraph& graph, FakeStepPtr step, VertexDigest digest) : graph_(graph), step_(std::move(step)), digest_(digest) {}
  Cost identify_cost() const override { return step_->on_map || step_->on_resolve ? Cost::io : Cost::pure; }
  base::Result<OpIdentity> identify(std::uint32_t index, const OpContext& context) override {
    ++step_->maps;
    if (step_->on_map) TRY(step_->on_map(context.stop));
    if (step_->on_resolve) TRY(step_->on_resolve(context));
    OpIdentity identity;
    identity.map.digest.hash = base::sha256("seed:" + step_->seeds.at(index));
    if (step_->session && index == 0) identity.map.digest.scope = OpDigest::Scope::session;
    identity.last = index + 1 == step_->seeds.size();
    for (const FakeInput& input : step_->inputs) {
      CacheMapDep& dep = identity.map.deps.emplace_back();
      if (!input.selector.empty()) dep.selector = base::digest_of<SelectorDigest>(input.selector);
      if (input.content) dep.content.emplace();
    }
    return identity;
  }
  std::optional<base::Sha256Bytes> identify_together(std::uint32_t index) const override {
    if (step_->on_resolve) return std::nullopt;
    return base::sha256(digest_.str() + std::to_string(index));
  }
  base::Result<TreeDigest> content_digest(std::uint32_t number, const CacheMapDep&, const OptionalRef& input,
                                          std::stop_token) override {
    ++step_->contents;
    return base::digest_of<TreeDigest>(TRY(step_->inputs[number].content(value_of(input))));
  }
  base::Sha256Bytes work_identity(std::span<const OptionalRef> inputs) const override {
    std::string text = "fake " + step_->seeds.back();
    for (const OptionalRef& input : inputs) text += " " + std::to_string(input ? input->id().value() : 0);
    return base::sha256(text);
  }
  base::Result<OpOutputs> execute(std::span<const OptionalRef> inputs, const OpContext& context,
                                  cache::Publication& publication) override;
  std::uint32_t outputs() const override { return step_->outputs; }
  Place place() const override { return step_->builds ? Place::beside : Place::pool; }

 private:
  FakeGraph& graph_;
  FakeStepPtr step_;
  VertexDigest digest_;
};

// Knows the steps of all definitions that it has made.
class FakeGraph {
 public:
  Definition define(const FakeStepPtr& target, std::uint32_t output = 0) {
    Definition definition;
    std::map<FakeStep*, std::size_t> places;
    definition.result = VertexInput{place(target, definition, places), output};
    return definition;
  }
  base::Result<std::unique_ptr<Op>> make(const std::shared_ptr<const Vertex>& vertex) {
    const std::lock_guard lock(mutex_);
    return std::make_unique<FakeOp>(*this, steps_.at(vertex->digest.str()), vertex->digest);
  }

 private:
  std::size_t place(const FakeStepPtr& step, Definition& definition, std::map<FakeStep*, std::size_t>& places) {
    if (const auto found = places.find(step.get()); found != places.end()) return found->second;
    auto vertex = std::make_shared<Vertex>();
    for (const FakeInput& input : step->inputs) vertex->inputs.push_back({place(input.step, definition, places), input.output});
    vertex->name = step->name;
    vertex->digest = base::digest_of<VertexDigest>(step->name);
    vertex->ignore_cache = step->ignore_cache;
    {
      const std::lock_guard lock(mutex_);
      steps_[vertex->digest.str()] = step;
    }
    definition.vertices.push_back(std::move(vertex));
    return places[step.get()] = definition.vertices.size() - 1;
  }

  std::mutex mutex_;
  std::map<std::string, FakeStepPtr> steps_;  // by vertex digest
};

inline base::Result<OpOutputs> FakeOp::execute(std::span<const OptionalRef> inputs, const OpContext& context,
                                               cache::Publication& publication) {
  ++step_->executions;
  if (step_->on_execute) TRY(step_->on_execute(context.stop));
  std::string value = step_->value;
  if (step_->builds) {
    value = value_of(TRY(context.solve(graph_.define(step_->builds))));
  } else if (value.empty()) {
    int sum = step_->own_number;
    for (const OptionalRef& input : inputs) sum += std::stoi(value_of(input));
    value = std::to_string(sum);
  }
  OpOutputs outputs;
  for (std::uint32_t i = 0; i < step_->outputs; ++i) {
    cache::RecordFacts facts;
    facts.description = i == 0 ? value : value + "#" + std::to_string(i);
    outputs.refs.emplace_back(TRY(TRY(context.cache.create(std::nullopt)).commit(publication, std::move(facts))));
  }
  return outputs;
}

// A store of results that counts loads and can be told to fail them.
class CountedResults final : public MainStore {
 public:
  explicit CountedResults(std::unique_ptr<MainStore> inner) : inner_(std::move(inner)) {}
  std::string_view name() const override { return inner_->name(); }
  cache::KeyStore& keys() override { return inner_->keys(); }
  Cost load_cost() const override { return slow_ ? Cost::io : Cost::pure; }
  base::Result<std::optional<OptionalRef>> load(const cache::KeyResult& result, std::stop_token stop) override {
    ++loads;
    if (fail_loads) return base::fail(base::ErrorCode::io, "load refused by the test");
    if (vanish) return std::optional<OptionalRef>();
    return inner_->load(result, std::move(stop));
  }
  base::Result<base::lmdb::SequenceNumber> publish(cache::Publication publication, const KeyFacts& keys) override {
    ++publications;
    return inner_->publish(std::move(publication), keys);
  }
  void load_on_the_pool() { slow_ = true; }

  std::atomic<int> loads{0}, publications{0};
  std::atomic<bool> fail_loads{false}, vanish{false};

 private:
  std::unique_ptr<MainStore> inner_;
  bool slow_ = false;
};

enum class Keys { local, memory };

// A solver of fake steps over a real store whose keys are where the parameter says.
class FakeSolverTest : public ::testing::TestWithParam<Keys> {
 protected:
  explicit FakeSolverTest(std::size_t parallelism = 8) : results_(make_results()) {
    restart(parallelism);
  }
  void restart(std::size_t parallelism) {
    SolverOptions options{.parallelism = parallelism, .make_op = {}, .results = &results_};
    options.make_op = [this](std::shared_ptr<const Vertex> vertex, const SolveRequest&) { return graph_.make(vertex); };
    solver_ = std::make_unique<Solver>(
        *store_.cache,
        []() -> base::Result<std::unique_ptr<Executor>> { return base::fail(base::ErrorCode::unavailable, "no executor"); },
        clock_, options);
  }

  static FakeStepPtr number(const std::string& name, int n) {
    FakeStepPtr made = step(name, "number " + std::to_string(n), std::to_string(n));
    return made;
  }
  static FakeStepPtr sum(const std::string& name, int own, std::vector<FakeInput> inputs) {
    const std::string seed = "sum " + std::to_string(own) + " of " + std::to_string(inputs.size());
    FakeStepPtr made = step(name, seed, "", std::move(inputs));
    made->own_number = own;
    return made;
  }
  static FakeInput by_content(FakeStepPtr step, const std::string& content, const std::string& selector = "") {
    return {std::move(step), 0, selector, [content](const std::string&) -> base::Result<std::string> { return content; }};
  }

  SolveOutcome solve(const FakeStepPtr& target, std::uint32_t output = 0, std::stop_token stop = {}) {
    store_.clock.advance(std::chrono::seconds(1));
    SolveRequest request;
    request.definition = graph_.define(target, output);
    request.more_results = more_;
    return solver_->solve(request, quiet_, std::move(stop));
  }
  // The value of what must succeed.
  std::string build(const FakeStepPtr& target, std::uint32_t output = 0) {
    const SolveOutcome outcome = solve(target, output);
    EXPECT_TRUE(outcome.status) << outcome.status.error().message;
    EXPECT_EQ(outcome.not_cached, "");
    return value_of(outcome.result);
  }
  // A solve that goes on beside the test.
  struct Job {
    std::stop_source stop;
    std::future<SolveOutcome> outcome;
    std::string value() {
      const SolveOutcome ended = outcome.get();
      EXPECT_TRUE(ended.status) << ended.status.error().message;
      return value_of(ended.result);
    }
  };
  Job start(const FakeStepPtr& target) {
    Job job;
    job.outcome = std::async(std::launch::async, [this, target, stop = job.stop.get_token()] { return solve(target, 0, stop); });
    return job;
  }
  std::size_t records() {
    std::size_t count = 0;
    must(store_.cache->each_record([&](const cache::RecordInfo&) -> base::Status {
      ++count;
      return {};
    }));
    return count;
  }
  std::size_t records_after_prune() {
    must(store_.cache->prune({.all = true}));
    return records();
  }

  base::SystemClock clock_;
  cache::OpenStore store_{"native"};
  cache::MemoryKeyStore memory_;
  CountedResults results_;
  std::vector<ResultStore*> more_;
  FakeGraph graph_;
  NoProgress quiet_;
  std::unique_ptr<Solver> solver_;

 private:
  std::unique_ptr<MainStore> make_results() {
    return GetParam() == Keys::local ? results_of(*store_.cache) : results_of(*store_.cache, memory_, store_.clock);
  }
};

inline std::string name_of_keys(const ::testing::TestParamInfo<Keys>& info) {
  return info.param == Keys::local ? "local" : "memory";
}

// The names are those of the tests that BuildKit's scheduler has.
using solver = FakeSolverTest;

}  // namespace cairn::solver::test
