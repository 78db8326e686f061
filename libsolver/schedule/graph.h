// SPDX-License-Identifier: Apache-2.0
// The graph of one solve while it runs. A node is a vertex; an edge is one output of it. All of it belongs to the thread
// that runs the solve; nothing here is shared.
//
// An edge climbs:  none → fast → slow → complete
//   fast:     the keys that follow from definitions alone are known
//   slow:     no further key can appear, short of running it
//   complete: its result is there
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "libcache/key_store.h"
#include "libsolver/definition.h"
#include "libsolver/op.h"
#include "libsolver/schedule/flights.h"

namespace cairn::solver {

enum class Level : std::uint8_t { none, fast, slow, complete };

using EdgeIndex = std::size_t;
using NodeIndex = std::size_t;

// What one input has contributed to finding an edge's key.
struct DepProbe {
  std::size_t keys_probed = 0;      // of the input edge's keys, which only grow
  bool content_probed = false;
  std::vector<KeyDigest> targets;   // combined keys that some key of this input leads to
};

struct Waiter {
  EdgeIndex edge;
  Level level;
};

struct Edge {
  NodeIndex node = 0;
  std::uint32_t output = 0;
  Level desire = Level::none;
  Level level = Level::none;
  bool queued = false;          // in the scheduler's line
  std::size_t blocked = 0;      // inputs it waits for
  std::vector<Waiter> waiters;  // edges that wait for this one
  std::vector<DepProbe> probes;         // by input
  std::vector<KeyDigest> keys;          // under which its users may look; grows only
  std::vector<KeyDigest> stored_keys;   // under which its result is (or will be) stored; used when users are stored
  std::vector<cache::KeyResult> candidates;  // results not tried yet, best last
  bool root_probed = false;
  bool renewed = false;         // made anew in this solve because a step ignores the cache, here or below
  OptionalRef result;           // valid at level complete
};

enum class Phase : std::uint8_t { idle, running, done };

// The content key of one input, which all edges of a node share.
struct ContentKey {
  Phase phase = Phase::idle;
  std::optional<KeyDigest> key;
};

struct Node {
  std::shared_ptr<const Vertex> vertex;
  std::shared_ptr<Op> op;
  std::vector<EdgeIndex> inputs;
  std::map<std::uint32_t, EdgeIndex> edges;  // by output
  bool ignore_cache = false;

  Phase identify = Phase::idle;
  OpIdentity identity;
  std::vector<ContentKey> content;  // by input

  Phase execute = Phase::idle;
  std::optional<Flights::Ticket> ticket;
  bool ran = false;   // its op ran, here or in a flight that this solve joined
  std::optional<cache::Tombstone> evicted;  // what it had made before was taken
  bool hit = false;   // some edge of it was found in the store
  std::optional<std::chrono::steady_clock::time_point> started;
  std::chrono::nanoseconds duration{0};
  bool failed = false;
  std::string error;
  bool reported = false;
};

}  // namespace cairn::solver
