// SPDX-License-Identifier: Apache-2.0
// The edges of one solve, and who asks what of whom. It feeds edges with events, hands what takes time to its host, and
// merges edges that turn out equal. All of it belongs to one thread; nothing here waits, reads a clock or knows a store.
//
// Merging (docs/decisions/0013): an edge that is equal to another one by the keys of its inputs is parked, and mirrors
// the other. Who is parked waits for a lower node, or for one that waits for nobody any more; so no circle can form.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "libbase/result.h"
#include "libsolver/cache_key.h"
#include "libsolver/cache_map.h"
#include "libsolver/edge/state.h"

namespace cairn::solver {

using EdgeIndex = std::size_t;
using NodeIndex = std::size_t;

// A result that a lookup has found. Stores are numbered; 0 is the solve's own.
struct Candidate {
  std::size_t store = 0;
  cache::KeyResult result;
};
// Whether a is to be tried before b: the own store first, then the newest, then the first store, then the lowest record.
bool tried_before(const Candidate& a, const Candidate& b);

// Which rows to store with a node's results.
struct KeyPlan {
  std::vector<std::vector<KeyDigest>> results;  // by output
  std::vector<std::pair<cache::KeyLink, KeyDigest>> links;
};

class Graph {
 public:
  // Who carries out what takes time, and looks keys up. Called from pump() only.
  class Host {
   public:
    virtual ~Host() = default;
    // Answered by mapped(), digested(), executed() or execution_stopped(), loaded() or load_failed() or load_stopped():
    // once each, at once or later. A load whose edge has become complete meanwhile needs no answer.
    virtual void identify(NodeIndex node, std::uint32_t index) = 0;
    virtual void digest(NodeIndex node, std::uint32_t input) = 0;
    virtual void execute(NodeIndex node) = 0;
    virtual void load(EdgeIndex edge, const Candidate& candidate) = 0;
    // The answer is no longer waited for. It comes all the same.
    virtual void stop_execution(NodeIndex node) = 0;
    virtual void stop_load(EdgeIndex edge) = 0;
    virtual base::Result<std::vector<KeyDigest>> follow(const cache::KeyLink& link) = 0;
    virtual base::Result<std::vector<Candidate>> results(const KeyDigest& key) = 0;
    // The edge is complete, with the result that `leader` has.
    virtual void share(EdgeIndex edge, EdgeIndex leader) = 0;
  };

  struct Input {
    NodeIndex node;
    std::uint32_t output;
  };
  // Nodes come after their inputs.
  NodeIndex add_node(const std::vector<Input>& inputs, UseCache use_cache);
  EdgeIndex edge_of(NodeIndex node, std::uint32_t output);  // before the first want()
  // What the outside wants of an edge; it may want less later.
  void want(EdgeIndex edge, Phase phase);
  // Works off everything that has happened. Errors: those of lookups.
  base::Status pump(Host& host);
  // As pump(), but makes no lookup: it stops where one has to be made. Whether it stopped there.
  bool pump_to_lookup(Host& host);
  bool idle() const { return queue_.empty() && !delivery_; }

  // Answers.
  void mapped(NodeIndex node, OpIdentity identity);
  void digested(NodeIndex node, std::uint32_t input, const KeyDigest& key);
  // `true_keys`: the step turned out otherwise than it said before, and these are its keys.
  void executed(NodeIndex node, const std::optional<std::vector<KeyDigest>>& true_keys, const KeyPlan& plan);
  void execution_stopped(NodeIndex node);
  void loaded(EdgeIndex edge);
  void load_failed(EdgeIndex edge);
  void load_stopped(EdgeIndex edge, const Candidate& candidate);

  // What to store when a node has run, and (links only) when an edge was found under other keys than it was looked for.
  KeyPlan plan_keys(NodeIndex node, std::uint32_t outputs) const;
  // What to store in the own store of an edge that was loaded from another one: its keys, and the links that lead there
  // from sources, each of them once.
  KeyPlan plan_found(EdgeIndex edge);

  struct User {
    EdgeIndex edge;
    std::uint32_t input;
  };
  struct Edge {
    NodeIndex node = 0;
    std::uint32_t output = 0;
    EdgeState state;
    std::vector<Event> inbox;               // what has happened to it, and was not delivered yet
    std::array<std::uint32_t, 4> wishes{};  // how many want each phase
    std::vector<User> users;
    std::optional<EdgeIndex> into;          // the edge that it was merged into
    std::vector<EdgeIndex> followers;
    std::vector<Candidate> candidates;      // best last
    std::vector<Candidate> tried;
    std::vector<KeyDigest> stored_keys;     // under which its result is (or will be) stored; grows
    bool renewed = false;       // made anew because a step ignores the cache, here or below
    bool ran = false;
    bool way_planned = false;   // plan_found() has given the links that lead to it
    std::size_t compared = 0;   // what was known when it was last compared with others
  };
  enum class Doing : std::uint8_t { idle, running, done };
  struct Content {  // of one input, which all edges of a node share
    Doing doing = Doing::idle;
    std::optional<KeyDigest> key;
  };
  struct Node {
    std::vector<EdgeIndex> inputs;
    std::map<std::uint32_t, EdgeIndex> edges;  // by output
    UseCache use_cache = UseCache::yes;
    std::vector<CacheMap> maps;
    std::vector<KeyDigest> extra_keys;
    bool maps_done = false;
    Doing identify = Doing::idle;
    std::vector<Content> content;
    Doing execution = Doing::idle;
  };
  const Edge& edge(EdgeIndex index) const { return edges_[index]; }
  EdgeIndex looking() const { return delivery_->edge; }  // for whom follow() and results() of the host are called
  const Node& node(NodeIndex index) const { return nodes_[index]; }
  std::size_t nodes() const { return nodes_.size(); }
  std::size_t edges() const { return edges_.size(); }
  EdgeIndex leader_of(EdgeIndex edge) const;
  // Whether its result may not be one that was stored earlier: it ignores the cache, or an input was made anew.
  bool made_anew(NodeIndex node) const;

 private:
  struct Carry;
  // All that has happened to an edge since the last one, on its way into it, with the state from before, and what it led to
  // so far.
  struct Delivery {
    EdgeIndex edge;
    Phase phase;
    std::size_t keys;
    std::uint32_t keys_begin;
    bool mirrors;
    std::vector<Event> events;     // not delivered yet; answers to lookups, after the first time
    std::deque<Request> lookups;   // all of them answered before the next events
  };
  void begin_delivery();
  void go_to_lookup(Host& host);
  void end_delivery(Host& host);
  base::Result<Event> follow(EdgeIndex edge, const request::Follow& request, Host& host) const;
  base::Result<Event> read_results(EdgeIndex edge, const request::ReadResults& request, Host& host);
  void post(EdgeIndex edge, Event event);
  void change_wish(EdgeIndex edge, Phase before, Phase after);
  void post_map(EdgeIndex edge);
  void tell_view(EdgeIndex input, const User& user);
  void notify(EdgeIndex edge);
  void mirror(EdgeIndex leader, EdgeIndex follower);
  void connect_users();

  // merge.cc
  void compare_with_others(EdgeIndex edge);
  bool equal(EdgeIndex a, EdgeIndex b) const;
  bool inputs_equal(const Node& a, const CacheMap& map_a, const Node& b, const CacheMap& map_b) const;
  void merge(EdgeIndex a, EdgeIndex b);
  void park(EdgeIndex from, EdgeIndex into);
  std::vector<std::uint64_t> tokens(EdgeIndex edge) const;

  // key_plan.cc
  std::vector<KeyInput> keys_of_input(const Node& node, std::uint32_t input) const;
  void plan_output(NodeIndex node, std::uint32_t output, KeyPlan& plan) const;
  void plan_links(const Node& node, std::uint32_t output, const std::vector<KeyDigest>& keys, KeyPlan& plan) const;

  std::vector<Node> nodes_;
  std::vector<Edge> edges_;
  std::deque<EdgeIndex> queue_;  // those to which something has happened, each of them once
  std::optional<Delivery> delivery_;
  std::unordered_map<std::uint64_t, std::vector<EdgeIndex>> index_;  // by token
  std::unordered_map<EdgeIndex, Phase> outside_;                      // what the outside wants
  bool connected_ = false;
};

}  // namespace cairn::solver
