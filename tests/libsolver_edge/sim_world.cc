// SPDX-License-Identifier: Apache-2.0
#include "tests/libsolver_edge/sim_world.h"

#include <algorithm>

#include "libsolver/cache_key.h"

namespace cairn::solver::sim {
namespace {

using base::Result;
using base::Status;

std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  a ^= b + 0x9e3779b97f4a7c15u + (a << 6) + (a >> 2);
  a *= 0xff51afd7ed558ccdu;
  return a ^ (a >> 33);
}

// What a step looks at belongs to what it is.
std::uint64_t operation_of(const SpecNode& node) {
  std::uint64_t operation = static_cast<std::uint64_t>(node.operation) + 10 * (node.inputs.size() + 1);
  for (const SpecNode::Input& input : node.inputs) operation = operation * 4 + (input.content ? 2 : 0) + (input.selector ? 1 : 0);
  return operation;
}

std::uint64_t apply(const SpecNode& node, std::uint32_t output, const std::vector<std::uint64_t>& inputs) {
  std::uint64_t value = mix(operation_of(node), output);
  for (std::size_t i = 0; i < inputs.size(); ++i) value = mix(value, node.inputs[i].content ? inputs[i] % 3 : inputs[i]);
  return value;
}

base::Sha256Bytes bytes_of(std::uint64_t a, std::uint64_t b) {
  base::Sha256Bytes bytes{};
  for (std::size_t i = 0; i < 4; ++i) {
    const std::uint64_t word = mix(a + i, b);
    std::copy_n(reinterpret_cast<const std::uint8_t*>(&word), 8, bytes.begin() + static_cast<std::ptrdiff_t>(8 * i));
  }
  return bytes;
}

class Run;

// What all solves have in common, and the order in which things happen.
struct World {
  explicit World(const Spec& spec_in)
      : spec(spec_in), random(spec_in.seed), flights([this](base::ThreadPool::Task task, Op::Place) -> Status {
          later([task = std::move(task)] { task({}); });
          return {};
        }) {}

  void later(std::function<void()> event) { events.push_back(std::move(event)); }
  bool chance(int percent) { return static_cast<int>(random() % 100) < percent; }
  void wrong(const std::string& what) {
    if (problem.empty()) problem = what;
  }
  // Records: a value, and how many hold it.
  cache::RecordId make(std::uint64_t value) {
    records.push_back({value, 0});
    return cache::RecordId(records.size());
  }
  std::uint64_t value(cache::RecordId record) const { return records[record.value() - 1].first; }
  void hold(cache::RecordId record, int by) { records[record.value() - 1].second += by; }

  const Spec& spec;
  std::mt19937_64 random;
  base::SystemClock clock;
  cache::MemoryKeyStore keys;
  Flights flights;
  std::vector<std::function<void()>> events;
  std::vector<std::pair<std::uint64_t, int>> records;
  std::map<std::string, std::vector<cache::RecordId>> made;  // by work identity: the records of all outputs
  std::string problem;
  bool answer_lost = false;
};

// One solve: what schedule/ does with threads and a cache, done with numbers.
class Run final : public Graph::Host {
 public:
  Run(World& world, std::size_t number) : world_(world), spec_(world.spec.solves[number]), number_(number) {
    const std::vector<SpecNode>& nodes = world.spec.nodes;
    for (const SpecNode& node : nodes) {
      std::vector<Graph::Input> inputs;
      for (const SpecNode::Input& input : node.inputs) inputs.push_back({input.node, input.output});
      graph_.add_node(inputs, node.ignore_cache ? UseCache::no : UseCache::yes);
    }
    target_ = graph_.edge_of(spec_.target, spec_.output);
    refs_.resize(graph_.edges());
    tickets_.resize(nodes.size());
    stopping_.resize(nodes.size());
    executions_.resize(nodes.size());
    attempts_.resize(nodes.size());
    graph_.want(target_, Phase::complete);
  }
  ~Run() override {
    for (const auto& ref : refs_) {
      if (ref) world_.hold(*ref, -1);
    }
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  bool ended() const { return given_up_ && outstanding_ == 0; }
  bool done() const { return done_; }
  // Works off what can be done now.
  void pump() {
    if (given_up_) return;
    const Status worked = world_.keys.read([&](cache::KeyStore::Reader& reader) {
      reader_ = &reader;
      return graph_.pump(*this);
    });
    if (!worked) return give_up();
    if (spec_.cancel_after && events_ >= *spec_.cancel_after) return give_up();
    if (graph_.edge(target_).state.phase != Phase::complete) return;
    done_ = true;
    const std::uint64_t got = world_.value(*refs_[target_]);
    const std::uint64_t want = naive_value(world_.spec, spec_.target, spec_.output);
    if (got != want) world_.wrong(fmt::format("solve {} gives {:x}, but it is {:x}", number_, got, want));
    give_up();
  }
  void give_up() {
    if (given_up_) return;
    given_up_ = true;
    for (auto& ticket : tickets_) {
      if (ticket && world_.flights.leave(*ticket) == Flights::Left::others_wait) {
        ticket.reset();
        --outstanding_;
      }
    }
  }

  void identify(NodeIndex index, std::uint32_t at) override {
    answer([this, index, at] {
      const SpecNode& node = world_.spec.nodes[index];
      OpIdentity identity;
      identity.map.digest.hash = bytes_of(operation_of(node), at);
      if (node.session && at == 0) identity.map.digest.scope = OpDigest::Scope::session;
      identity.last = at + 1 == node.maps;
      for (const SpecNode::Input& input : node.inputs) {
        CacheMapDep& dep = identity.map.deps.emplace_back();
        if (input.selector) dep.selector = SelectorDigest(bytes_of(77, 0));
        if (input.content) dep.content.emplace();
      }
      graph_.mapped(index, std::move(identity));
    });
  }
  void digest(NodeIndex index, std::uint32_t input) override {
    const auto& ref = refs_[graph_.node(index).inputs[input]];
    if (!ref) return world_.wrong("content is asked of an input that is not complete");
    const std::uint64_t content = world_.value(*ref) % 3;
    answer([this, index, input, content] { graph_.digested(index, input, KeyDigest(bytes_of(content, 99))); });
  }
  void execute(NodeIndex index) override {
    stopping_[index] = false;
    std::vector<cache::RecordId> inputs;
    for (const EdgeIndex input : graph_.node(index).inputs) {
      if (!refs_[input]) return world_.wrong("a step runs without an input");
      inputs.push_back(*refs_[input]);
    }
    std::string identity = std::to_string(operation_of(world_.spec.nodes[index]));
    for (const cache::RecordId input : inputs) identity += " " + std::to_string(input.value());
    const bool anew = graph_.node(index).use_cache == UseCache::no;
    Flights::Listener listener;
    listener.started = [] {};
    listener.done = [this, index, attempt = ++attempts_[index]](Flights::Outcome outcome, Flights::Listener::Role) {
      world_.later([this, index, attempt, outcome = std::move(outcome)] { finish(index, attempt, outcome); });
    };
    ++outstanding_;
    tickets_[index] = world_.flights.join(
        base::sha256(identity), work(index, identity, inputs), std::move(listener),
        anew ? Flights::Wants::anew : Flights::Wants::any, Op::Place::pool);
  }
  void stop_execution(NodeIndex index) override {
    if (!tickets_[index]) return;
    stopping_[index] = true;
    if (world_.flights.leave(*tickets_[index]) != Flights::Left::others_wait) return;
    tickets_[index].reset();
    --outstanding_;
    graph_.execution_stopped(index);
  }
  void load(EdgeIndex edge, const Candidate& candidate) override {
    loading_[edge] = false;
    answer([this, edge, candidate] {
      const bool stop = loading_[edge];
      loading_.erase(edge);
      if (graph_.edge(edge).state.phase == Phase::complete) return;  // its step ran meanwhile, for another output
      if (stop && world_.chance(50)) return graph_.load_stopped(edge, candidate);
      if (world_.chance(world_.spec.load_fail_percent)) return graph_.load_failed(edge);
      take(edge, candidate.result.record);
      graph_.loaded(edge);
    });
  }
  void stop_load(EdgeIndex edge) override { loading_[edge] = true; }
  Result<std::vector<KeyDigest>> follow(const cache::KeyLink& link) override { return reader_->follow(link); }
  Result<std::vector<Candidate>> results(const KeyDigest& key) override {
    std::vector<Candidate> found;
    for (const cache::KeyResult& result : TRY(reader_->results(key))) found.push_back({0, result});
    return found;
  }
  void share(EdgeIndex edge, EdgeIndex leader) override {
    if (!refs_[leader]) return world_.wrong("an edge shares what is not there");
    take(edge, *refs_[leader]);
  }

 private:
  // Something takes time, and is answered once. (Or, to see that the checks see it, not.)
  void answer(std::function<void()> f) {
    ++outstanding_;
    if (world_.spec.lose_an_answer && !world_.answer_lost && world_.chance(20)) {
      world_.answer_lost = true;
      return;
    }
    world_.later([this, f = std::move(f)] {
      --outstanding_;
      ++events_;
      if (!given_up_) f();
      pump();
    });
  }
  void take(EdgeIndex edge, cache::RecordId record) {
    if (refs_[edge]) return world_.wrong("an edge becomes complete twice");
    refs_[edge] = record;
    world_.hold(record, 1);
  }
  Flights::Work work(NodeIndex index, const std::string& identity, const std::vector<cache::RecordId>& inputs) {
    const std::uint32_t outputs = 2;
    return [world = &world_, index, identity, inputs, outputs, plan = graph_.plan_keys(index, outputs),
            anew = graph_.made_anew(index)](const Flights::Listener&, std::stop_token) -> Result<OpOutputs> {
      OpOutputs made;
      const auto before = world->made.find(identity);
      if (before != world->made.end() && !anew) {
        made.found = true;  // somebody stored it between the lookup and now
        return made;
      }
      if (world->chance(world->spec.fail_percent)) return base::fail(base::ErrorCode::io, "failed by the seed");
      std::vector<std::uint64_t> values;
      for (const cache::RecordId input : inputs) values.push_back(world->value(input));
      std::vector<cache::RecordId> records;
      for (std::uint32_t output = 0; output < outputs; ++output) {
        records.push_back(world->make(apply(world->spec.nodes[index], output, values)));
        for (const KeyDigest& key : plan.results[output]) world->keys.put_result(key, {records[output], world->clock.now()});
      }
      for (const auto& [link, target] : plan.links) world->keys.put_link(link, target);
      world->made[identity] = records;
      return made;
    };
  }
  void finish(NodeIndex index, int attempt, const Flights::Outcome& outcome) {
    if (!tickets_[index] || attempt != attempts_[index]) return;
    tickets_[index].reset();
    --outstanding_;
    ++events_;
    if (!outcome) {
      if (given_up_) return;
      if (!stopping_[index]) return give_up();
      graph_.execution_stopped(index);
      return pump();
    }
    if (given_up_) return;
    if (++executions_[index] > 1) world_.wrong("a step ran twice in one solve");
    std::string identity = std::to_string(operation_of(world_.spec.nodes[index]));
    for (const EdgeIndex input : graph_.node(index).inputs) identity += " " + std::to_string(refs_[input]->value());
    const std::vector<cache::RecordId>& records = world_.made.at(identity);
    for (const auto& [output, edge] : graph_.node(index).edges) {
      if (graph_.edge(edge).state.phase != Phase::complete) take(edge, records[output]);
    }
    graph_.executed(index, std::nullopt, graph_.plan_keys(index, 2));
    pump();
  }

  World& world_;
  const SpecSolve& spec_;
  std::size_t number_;
  Graph graph_;
  cache::KeyStore::Reader* reader_ = nullptr;
  EdgeIndex target_ = 0;
  std::vector<std::optional<cache::RecordId>> refs_;
  std::vector<std::optional<Flights::Ticket>> tickets_;
  std::vector<bool> stopping_;
  std::vector<int> executions_, attempts_;
  std::map<EdgeIndex, bool> loading_;  // whether it was asked to stop
  int outstanding_ = 0, events_ = 0;
  bool given_up_ = false, done_ = false;
};

}  // namespace

std::uint64_t naive_value(const Spec& spec, std::size_t target, std::uint32_t output) {
  std::vector<std::array<std::uint64_t, 2>> values;
  for (std::size_t n = 0; n <= target; ++n) {
    std::vector<std::uint64_t> inputs;
    for (const SpecNode::Input& input : spec.nodes[n].inputs) inputs.push_back(values[input.node][input.output]);
    values.push_back({apply(spec.nodes[n], 0, inputs), apply(spec.nodes[n], 1, inputs)});
  }
  return values[target][output];
}

Spec random_spec(std::uint64_t seed) {
  std::mt19937_64 random(seed * 2654435761u + 1);
  const auto below = [&](std::uint64_t n) { return random() % n; };
  Spec spec;
  spec.seed = seed;
  const std::size_t size = 1 + below(7);
  for (std::size_t n = 0; n < size; ++n) {
    SpecNode node;
    const std::size_t inputs = n == 0 ? 0 : below(3);
    for (std::size_t i = 0; i < inputs; ++i) {
      node.inputs.push_back({below(n), static_cast<std::uint32_t>(below(4) == 0), below(2) == 0, below(4) == 0});
    }
    node.operation = static_cast<int>(below(3));  // few, so that steps turn out equal
    node.maps = below(4) == 0 ? 2 : 1;
    node.ignore_cache = below(8) == 0;
    node.session = node.inputs.empty() && below(8) == 0;
    spec.nodes.push_back(std::move(node));
  }
  const std::size_t solves = 1 + below(3);
  for (std::size_t s = 0; s < solves; ++s) {
    SpecSolve solve{below(3) == 0 ? below(size) : size - 1, static_cast<std::uint32_t>(below(2)), {}};
    if (below(5) == 0) solve.cancel_after = static_cast<int>(below(12));
    spec.solves.push_back(solve);
  }
  spec.fail_percent = below(6) == 0 ? 20 : 0;
  spec.load_fail_percent = below(4) == 0 ? 30 : 0;
  return spec;
}

std::string run(const Spec& spec) {
  World world(spec);
  {
    std::vector<std::unique_ptr<Run>> runs;
    for (std::size_t s = 0; s < spec.solves.size(); ++s) {
      runs.push_back(std::make_unique<Run>(world, s));
      world.later([run = runs.back().get()] { run->pump(); });
    }
    for (int steps = 0; !world.events.empty() && world.problem.empty(); ++steps) {
      if (steps > 100'000) world.wrong("it goes on for ever");
      const std::size_t which = world.random() % world.events.size();
      const std::function<void()> event = std::move(world.events[which]);
      world.events[which] = std::move(world.events.back());
      world.events.pop_back();
      event();
    }
    for (std::size_t s = 0; s < runs.size(); ++s) {
      if (!runs[s]->ended()) world.wrong(fmt::format("solve {} waits for what never comes", s));
      const bool may_fail = spec.fail_percent > 0 || spec.solves[s].cancel_after.has_value();
      if (!runs[s]->done() && !may_fail) world.wrong(fmt::format("solve {} has no result", s));
    }
  }
  for (const auto& [value, holders] : world.records) {
    if (holders != 0) world.wrong(fmt::format("a record is held {} times after all", holders));
  }
  return world.problem;
}

Spec shrink(Spec spec) {
  const auto fails = [](const Spec& candidate) { return !candidate.solves.empty() && !run(candidate).empty(); };
  for (bool smaller = true; smaller;) {
    smaller = false;
    std::vector<Spec> candidates;
    const auto with = [&](const std::function<void(Spec&)>& change) {
      candidates.push_back(spec);
      change(candidates.back());
    };
    for (std::size_t s = 0; s < spec.solves.size(); ++s) {
      with([&](Spec& c) { c.solves.erase(c.solves.begin() + static_cast<std::ptrdiff_t>(s)); });
      if (spec.solves[s].cancel_after) with([&](Spec& c) { c.solves[s].cancel_after.reset(); });
      if (spec.solves[s].target > 0) with([&](Spec& c) { --c.solves[s].target; });
    }
    if (spec.fail_percent > 0) with([](Spec& c) { c.fail_percent = 0; });
    if (spec.load_fail_percent > 0) with([](Spec& c) { c.load_fail_percent = 0; });
    for (std::size_t n = 0; n < spec.nodes.size(); ++n) {
      const SpecNode& node = spec.nodes[n];
      if (node.ignore_cache) with([&](Spec& c) { c.nodes[n].ignore_cache = false; });
      if (node.session) with([&](Spec& c) { c.nodes[n].session = false; });
      if (node.maps > 1) with([&](Spec& c) { c.nodes[n].maps = 1; });
      for (std::size_t i = 0; i < node.inputs.size(); ++i) {
        with([&](Spec& c) { c.nodes[n].inputs.erase(c.nodes[n].inputs.begin() + static_cast<std::ptrdiff_t>(i)); });
      }
    }
    const auto highest = std::max_element(spec.solves.begin(), spec.solves.end(),
                                          [](const SpecSolve& a, const SpecSolve& b) { return a.target < b.target; });
    if (highest != spec.solves.end() && highest->target + 1 < spec.nodes.size()) {
      with([&](Spec& c) { c.nodes.resize(highest->target + 1); });
    }
    for (const Spec& candidate : candidates) {
      if (!fails(candidate)) continue;
      spec = candidate;
      smaller = true;
      break;
    }
  }
  return spec;
}

std::string Spec::str() const {
  std::string text = fmt::format("seed {}, {}% of executions and {}% of loads fail\n", seed, fail_percent, load_fail_percent);
  for (std::size_t n = 0; n < nodes.size(); ++n) {
    text += fmt::format("  node {}: operation {}, {} maps{}{}", n, nodes[n].operation, nodes[n].maps,
                        nodes[n].ignore_cache ? ", ignores the cache" : "", nodes[n].session ? ", a session's" : "");
    for (const SpecNode::Input& input : nodes[n].inputs) {
      text += fmt::format("; input {}#{}{}{}", input.node, input.output, input.content ? " by content" : "",
                          input.selector ? " selected" : "");
    }
    text += "\n";
  }
  for (const SpecSolve& solve : solves) {
    text += fmt::format("  solve {}#{}{}\n", solve.target, solve.output,
                        solve.cancel_after ? fmt::format(", cancelled after {} events", *solve.cancel_after) : "");
  }
  return text;
}

}  // namespace cairn::solver::sim
