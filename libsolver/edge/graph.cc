// SPDX-License-Identifier: Apache-2.0
#include "libsolver/edge/graph.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "libsolver/cache_key.h"

namespace cairn::solver {

using base::Result;
using base::Status;

bool tried_before(const Candidate& a, const Candidate& b) {
  const auto foreign = [](const Candidate& c) { return c.store != 0; };
  if (foreign(a) != foreign(b)) return foreign(b);
  if (a.result.created != b.result.created) return a.result.created > b.result.created;
  return std::tie(a.store, a.result.record) < std::tie(b.store, b.result.record);
}

NodeIndex Graph::add_node(const std::vector<Input>& inputs, UseCache use_cache) {
  Node node;
  node.use_cache = use_cache;
  for (const Input& input : inputs) {
    CHECK(input.node < nodes_.size(), "a node comes after its inputs");
    node.inputs.push_back(edge_of(input.node, input.output));
  }
  node.content.resize(inputs.size());
  nodes_.push_back(std::move(node));
  return nodes_.size() - 1;
}

EdgeIndex Graph::edge_of(NodeIndex node, std::uint32_t output) {
  CHECK(!connected_);
  const auto [place, is_new] = nodes_[node].edges.try_emplace(output, edges_.size());
  if (is_new) {
    Edge& edge = edges_.emplace_back();
    edge.node = node;
    edge.output = output;
    edge.state.use_cache = nodes_[node].use_cache;
    edge.state.inputs.resize(nodes_[node].inputs.size());
  }
  return place->second;
}

void Graph::connect_users() {
  connected_ = true;
  for (EdgeIndex e = 0; e < edges_.size(); ++e) {
    const std::vector<EdgeIndex>& inputs = nodes_[edges_[e].node].inputs;
    for (std::uint32_t i = 0; i < inputs.size(); ++i) edges_[inputs[i]].users.push_back({e, i});
  }
}

void Graph::want(EdgeIndex edge, Phase phase) {
  if (!connected_) connect_users();
  // There is one outside: its wish replaces the one it had.
  const auto before = outside_.find(edge);
  change_wish(edge, before == outside_.end() ? Phase::initial : before->second, phase);
  outside_[edge] = phase;
}

EdgeIndex Graph::leader_of(EdgeIndex edge) const {
  while (edges_[edge].into) edge = *edges_[edge].into;
  return edge;
}

void Graph::change_wish(EdgeIndex index, Phase before, Phase after) {
  const auto most = [](const Edge& edge) {
    for (int phase = 3; phase > 0; --phase) {
      if (edge.wishes[static_cast<std::size_t>(phase)] > 0) return static_cast<Phase>(phase);
    }
    return Phase::initial;
  };
  while (before != after) {
    Edge& edge = edges_[index];
    const Phase was = most(edge);
    if (before != Phase::initial) --edge.wishes[static_cast<std::size_t>(before)];
    if (after != Phase::initial) ++edge.wishes[static_cast<std::size_t>(after)];
    const Phase is = most(edge);
    if (was == is) return;
    post(index, event::Wanted{is});
    if (!edge.into) return;
    index = *edge.into;
    before = was;
    after = is;
  }
}

Status Graph::pump(Host& host) {
  while (pump_to_lookup(host)) {
    Delivery& now = *delivery_;
    const Request lookup = std::move(now.lookups.front());
    now.lookups.pop_front();
    if (const auto* ask = std::get_if<request::Follow>(&lookup)) {
      now.events.push_back(TRY(follow(now.edge, *ask, host)));
    } else {
      now.events.push_back(TRY(read_results(now.edge, std::get<request::ReadResults>(lookup), host)));
    }
  }
  return {};
}

bool Graph::pump_to_lookup(Host& host) {
  while (delivery_ || !queue_.empty()) {
    if (!delivery_) begin_delivery();
    go_to_lookup(host);
    if (!delivery_->lookups.empty()) return true;
    end_delivery(host);
  }
  return false;
}

// Carries out one request of the edge to which something is delivered; lookups are put off.
struct Graph::Carry {
  Graph& graph;
  EdgeIndex index;
  Host& host;
  Delivery& delivery;

  Edge& edge() const { return graph.edges_[index]; }
  Node& node() const { return graph.nodes_[edge().node]; }

  void operator()(const request::AskMap&) const {
    if (node().maps.size() > edge().state.maps) {
      graph.post_map(index);
    } else if (node().identify != Doing::running) {
      node().identify = Doing::running;
      host.identify(edge().node, static_cast<std::uint32_t>(node().maps.size()));
    }
  }
  void operator()(const request::AskInput& r) const {
    const EdgeIndex input = node().inputs[r.input];
    graph.change_wish(input, r.before, r.phase);
    if (r.phase != Phase::initial) graph.tell_view(input, {index, r.input});
  }
  void operator()(const request::Follow& r) const { delivery.lookups.push_back(r); }
  void operator()(const request::ReadResults& r) const { delivery.lookups.push_back(r); }
  void operator()(const request::Load&) const {
    CHECK(!edge().candidates.empty());
    const Candidate best = edge().candidates.back();
    edge().candidates.pop_back();
    edge().tried.push_back(best);
    host.load(index, best);
  }
  void operator()(const request::AskContent& r) const {
    Content& content = node().content[r.input];
    if (content.doing == Doing::done) {
      graph.post(index, event::Digested{r.input});
    } else if (content.doing == Doing::idle) {
      content.doing = Doing::running;
      host.digest(edge().node, r.input);
    }
  }
  void operator()(const request::Compare&) const {
    graph.compare_with_others(index);
    if (!edge().into) delivery.events.push_back(event::Alone{});
  }
  void operator()(const request::Execute&) const {
    CHECK(node().execution != Doing::done, "what has run is complete");
    if (node().execution == Doing::running) return;
    node().execution = Doing::running;
    host.execute(edge().node);
  }
  void operator()(const request::StopWork&) const {
    if (edge().state.work == EdgeState::Work::load) {
      host.stop_load(index);
      return;
    }
    const auto wanted = [&](const auto& each) {
      const EdgeState& state = graph.edges_[each.second].state;
      return state.work == EdgeState::Work::execute && !state.stopping;
    };
    if (std::none_of(node().edges.begin(), node().edges.end(), wanted)) host.stop_execution(edge().node);
  }
};

void Graph::post(EdgeIndex index, Event event) {
  std::vector<Event>& inbox = edges_[index].inbox;
  if (inbox.empty()) queue_.push_back(index);
  inbox.push_back(std::move(event));
}

void Graph::begin_delivery() {
  const EdgeIndex index = queue_.front();
  queue_.pop_front();
  const EdgeState& state = edges_[index].state;
  std::vector<Event> events = std::exchange(edges_[index].inbox, {});
  const bool mirrors = std::any_of(events.begin(), events.end(), [](const Event& event) {
    return std::holds_alternative<event::Mirrored>(event);
  });
  delivery_ = Delivery{index, state.phase, state.keys.size(), state.keys_begin, mirrors, std::move(events), {}};
}

void Graph::go_to_lookup(Host& host) {
  while (delivery_->lookups.empty() && !delivery_->events.empty()) {
    const EdgeIndex index = delivery_->edge;
    std::vector<Event> events = std::exchange(delivery_->events, {});
    Edge& edge = edges_[index];
    const std::size_t keys = edge.state.keys.size();
    const std::vector<Request> requests = step(edge.state, events);
    // Before the requests: a load that is answered at once is stored under these keys.
    for (std::size_t k = std::max<std::size_t>(keys, edge.state.keys_begin); k < edge.state.keys.size(); ++k) {
      if (std::find(edge.stored_keys.begin(), edge.stored_keys.end(), edge.state.keys[k]) == edge.stored_keys.end()) {
        edge.stored_keys.push_back(edge.state.keys[k]);
      }
    }
    for (const Request& request : requests) std::visit(Carry{*this, index, host, *delivery_}, request);
  }
}

void Graph::end_delivery(Host& host) {
  const Delivery before = *std::exchange(delivery_, std::nullopt);
  const Edge& edge = edges_[before.edge];
  const bool completed = edge.state.phase == Phase::complete && before.phase != Phase::complete;
  if (completed && before.mirrors) host.share(before.edge, *edge.into);
  if (edge.state.phase != before.phase || edge.state.keys.size() != before.keys ||
      edge.state.keys_begin != before.keys_begin) {
    notify(before.edge);
  }
  compare_with_others(before.edge);
}

void Graph::post_map(EdgeIndex index) {
  const Edge& edge = edges_[index];
  const Node& node = nodes_[edge.node];
  const std::uint32_t at = edge.state.maps;
  const CacheMap& map = node.maps[at];
  event::Mapped mapped;
  for (const CacheMapDep& dep : map.deps) mapped.content.push_back(dep.content.has_value());
  mapped.last = node.maps_done && at + 1 == node.maps.size();
  if (node.inputs.empty()) {
    if (map.digest.scope == OpDigest::Scope::portable) mapped.roots.push_back(root_key(map.digest, edge.output));
    mapped.roots.insert(mapped.roots.end(), node.extra_keys.begin(), node.extra_keys.end());
  }
  post(index, std::move(mapped));
}

void Graph::mapped(NodeIndex index, OpIdentity identity) {
  Node& node = nodes_[index];
  node.identify = Doing::idle;
  node.maps_done = identity.last;
  node.maps.push_back(std::move(identity.map));
  for (const KeyDigest& key : identity.extra_keys) node.extra_keys.push_back(key);
  for (const auto& [output, edge] : node.edges) {
    const EdgeState& state = edges_[edge].state;
    if (state.map_asked && state.maps + 1 == node.maps.size()) post_map(edge);
  }
}

void Graph::digested(NodeIndex index, std::uint32_t input, const KeyDigest& key) {
  Node& node = nodes_[index];
  node.content[input] = {Doing::done, key};
  for (const auto& [output, edge] : node.edges) {
    if (edges_[edge].state.inputs[input].content == InputState::Content::asked) post(edge, event::Digested{input});
  }
}

void Graph::executed(NodeIndex index, const std::optional<std::vector<KeyDigest>>& true_keys, const KeyPlan& plan) {
  Node& node = nodes_[index];
  node.execution = Doing::done;
  const bool renewed = made_anew(index);
  for (const auto& [output, edge_index] : node.edges) {
    Edge& edge = edges_[edge_index];
    if (edge.state.phase == Phase::complete) continue;
    edge.ran = true;
    edge.stored_keys = true_keys ? *true_keys : plan.results[output];
    // What ignores the cache must not make its users, near or far, hit what was made of an earlier result.
    edge.renewed = renewed;
    event::Executed event;
    event.only = !renewed && true_keys.has_value();
    if (!renewed) event.keys = edge.stored_keys;
    post(edge_index, std::move(event));
  }
}

void Graph::execution_stopped(NodeIndex index) {
  Node& node = nodes_[index];
  node.execution = Doing::idle;
  for (const auto& [output, edge] : node.edges) {
    if (edges_[edge].state.work == EdgeState::Work::execute) post(edge, event::Stopped{});
  }
}

void Graph::loaded(EdgeIndex edge) { post(edge, event::Loaded{}); }
void Graph::load_failed(EdgeIndex edge) { post(edge, event::LoadFailed{}); }
void Graph::load_stopped(EdgeIndex edge, const Candidate& candidate) {
  CHECK(!edges_[edge].tried.empty());
  edges_[edge].tried.pop_back();
  edges_[edge].candidates.push_back(candidate);
  post(edge, event::Stopped{});
}

// Tells a user how far its input has come, if that is more than nothing.
void Graph::tell_view(EdgeIndex input, const User& user) {
  const EdgeState& state = edges_[input].state;
  if (state.phase == Phase::initial && state.keys.empty()) return;
  const auto keys = static_cast<std::uint32_t>(state.keys.size());
  post(user.edge, event::InputMoved{user.input, state.phase, state.keys_begin, keys});
}

void Graph::notify(EdgeIndex index) {
  for (const User& user : edges_[index].users) {
    if (edges_[user.edge].state.inputs[user.input].asked != Phase::initial) tell_view(index, user);
  }
  for (const EdgeIndex follower : edges_[index].followers) mirror(index, follower);
}

void Graph::mirror(EdgeIndex leader_index, EdgeIndex follower_index) {
  const Edge& leader = edges_[leader_index];
  Edge& follower = edges_[follower_index];
  event::Mirrored event{leader.state.phase, {}};
  event.keys.assign(leader.state.keys.begin() + leader.state.keys_begin, leader.state.keys.end());
  if (leader.state.phase == Phase::complete) {
    follower.stored_keys = leader.stored_keys;
    follower.renewed = leader.renewed;
  }
  post(follower_index, std::move(event));
}

Result<Event> Graph::follow(EdgeIndex index, const request::Follow& request, Host& host) const {
  const Edge& edge = edges_[index];
  const Node& node = nodes_[edge.node];
  event::Followed followed{request.input, request.to, request.content, {}};
  const std::vector<KeyDigest>& keys = edges_[node.inputs[request.input]].state.keys;
  const Content& content = node.content[request.input];
  const auto look = [&](const cache::KeyLink& link) -> Status {
    for (const KeyDigest& target : TRY(host.follow(link))) followed.targets.push_back(target);
    return {};
  };
  for (std::uint32_t m = 0; m < edge.state.maps; ++m) {
    const CacheMap& map = node.maps[m];
    const auto& selector = map.deps[request.input].selector;
    cache::KeyLink link{.from = {}, .input = request.input, .operation = map.digest.hash, .output = edge.output,
                        .selector = selector ? selector->bytes() : base::Sha256Bytes{}};
    for (std::uint32_t k = request.from; k < request.to; ++k) {
      link.from = keys[k];
      TRY(look(link));
    }
    if (!request.content || !content.key) continue;
    link.from = *content.key;
    link.selector = {};  // the selection is in the key already (spec/solver 3.6)
    TRY(look(link));
  }
  return followed;
}

Result<Event> Graph::read_results(EdgeIndex index, const request::ReadResults& request, Host& host) {
  Edge& edge = edges_[index];
  std::uint32_t found = 0;
  for (std::uint32_t k = std::max(request.from, edge.state.keys_begin); k < request.to; ++k) {
    for (const Candidate& candidate : TRY(host.results(edge.state.keys[k]))) {
      const auto same = [&](const Candidate& c) {
        return c.store == candidate.store && c.result.record == candidate.result.record;
      };
      if (std::any_of(edge.candidates.begin(), edge.candidates.end(), same)) continue;
      if (std::any_of(edge.tried.begin(), edge.tried.end(), same)) continue;
      edge.candidates.push_back(candidate);
      ++found;
    }
  }
  if (found > 0) {
    std::sort(edge.candidates.begin(), edge.candidates.end(),
              [](const Candidate& a, const Candidate& b) { return tried_before(b, a); });
  }
  return event::ResultsRead{request.to, found};
}

}  // namespace cairn::solver
