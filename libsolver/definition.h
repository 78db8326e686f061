// SPDX-License-Identifier: Apache-2.0
// An LLB graph: parsed from the wire (pb.Definition), checked, and with vertex digests as BuildKit computes them after
// loading (spec/solver 2). A Definition that exists is bounded, acyclic, complete, and its digests are right.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/result.h"
#include "libsolver/digests.h"
#include "libsolver/wire/ops.h"

namespace cairn::solver {

// What a definition may not exceed; a larger one is invalid_argument.
struct DefinitionLimits {
  std::size_t bytes_max = 64u << 20;
  std::size_t ops_max = 200'000;
  std::size_t inputs_max = 1'000'000;  // of all ops together
  std::size_t memory_max = 1u << 30;   // of what decoding makes, about
};

struct VertexInput {
  std::size_t vertex = 0;    // index into Definition::vertices
  std::uint32_t output = 0;  // which output of it
};

// One step, immutable and shared.
struct Vertex {
  VertexDigest digest;           // after loading
  VertexDigest wire_digest;      // of the bytes as they came
  wire::Op op;                   // inputs as after loading; platform always set and normalised, after the digest
                                 // was taken
  wire::OpMetadata metadata;
  std::string name;              // as progress shows it: llb.customname, or derived (spec/solver 2)
  std::vector<VertexInput> inputs;
  bool ignore_cache = false;
};

struct Definition {
  std::vector<std::shared_ptr<const Vertex>> vertices;  // every input before its user; the head op is not one of them
  std::optional<VertexInput> result;                    // nullopt: scratch (a definition with no ops)
};

// Whether the solve forces steps through the capturing proxy. It marks the digest of every exec that has network.
enum class ProxyNetwork { off, on };

// Errors: invalid_argument, naming the op by index and digest, what is wrong, and the limit if one is exceeded.
// Only ops that the result needs become vertices; the others are still decoded, and their inputs must exist. The
// last op is the head: its first input is the result, whatever else it holds (BuildKit's rule). Linear in the bytes; no
// recursion, so depth costs nothing.
base::Result<Definition> load_definition(std::string_view bytes, const DefinitionLimits& limits = {},
                                         ProxyNetwork proxy_network = ProxyNetwork::off);

// "source", "exec", "file", "build", "merge", "diff", "passthrough", or "unknown" for an op that is none of these.
std::string_view kind_of(const wire::Op& op);

}  // namespace cairn::solver
