// SPDX-License-Identifier: Apache-2.0
// Loading with the trace that inspecting needs: what became of each op of the wire, also of those nothing needs.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "libsolver/definition.h"
#include "libsolver/source_policy.h"

namespace cairn::solver {

struct StepInput {
  VertexDigest digest;
  std::int64_t output = 0;
};

// One op in the order of the wire.
struct LoadedStep {
  VertexDigest wire_digest;
  VertexDigest digest;                // after loading
  std::string_view kind;              // kind_of(), or "return" for the head
  std::vector<StepInput> inputs;      // after loading
  std::optional<std::size_t> vertex;  // in Definition::vertices; the head and what nothing needs have none
};

struct LoadedDefinition {
  Definition definition;
  std::vector<LoadedStep> steps;  // none if they are not wanted
};

// Under these policies, as load_definition_under.
base::Result<LoadedDefinition> load_ops(std::string_view bytes, const DefinitionLimits& limits, ProxyNetwork proxy_network,
                                        std::span<const SourcePolicy> policies = {});
// The same with its steps.
base::Result<LoadedDefinition> load_with_steps(std::string_view bytes, const DefinitionLimits& limits,
                                               ProxyNetwork proxy_network, std::span<const SourcePolicy> policies = {});

}  // namespace cairn::solver
