// SPDX-License-Identifier: Apache-2.0
// One step of a graph that is being written. Its op is complete but for the digests of its inputs, which are known when
// the graph is marshalled.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "libbase/result.h"
#include "libsolver/llb.h"

namespace cairn::solver::llb {

struct NodeInput {
  std::shared_ptr<const Node> node;
  std::int64_t output = 0;
  bool operator==(const NodeInput&) const = default;
};

// Whether the op's digest depends on the machine it is for.
enum class PlatformUse { none, wanted };

struct Node {
  wire::Op op;                    // without inputs, platform and constraints
  std::vector<NodeInput> needs;     // each once, in the order in which they are written before this op
  std::vector<std::size_t> inputs;  // Op.inputs, as indexes into needs
  // Execs and files take an input once, also if two steps that were written apart turn out to be the same.
  bool folds_inputs = false;
  PlatformUse platform_use = PlatformUse::none;
  std::optional<Platform> platform;  // nullopt: that of the marshal
  wire::OpMetadata metadata;
  std::vector<wire::Range> lines;    // of the text that the graph was made from
  bool needs_unique_id = false;      // a local source without session
  std::optional<base::Error> error;  // what the author of the graph did wrong here

  Node() = default;
  Node(const Node&) = delete;
  // A chain of steps is as deep as its author likes, so its end must not recurse.
  ~Node();

  // The index of this state in needs; it must not be scratch.
  std::size_t need_state(const State& state);
  void name(std::string_view custom_name);
  void note(const StepNotes& notes);
  void need_capability(const char* capability) { metadata.caps[capability] = true; }

  // Makes a Node reachable from a State, and back.
  static State state(std::shared_ptr<const Node> node, std::int64_t output = 0) { return State(std::move(node), output); }
  static NodeInput input(const State& state) { return {state.node_, state.output_}; }
};

State wrong(std::string message);  // a state whose marshalling fails with this message

}  // namespace cairn::solver::llb
