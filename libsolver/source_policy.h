// SPDX-License-Identifier: Apache-2.0
// Which sources a build may have, and which it gets instead: BuildKit's source policy, to its JSON (spec/solver 7.6).
// Rules are tried in order. Of ALLOW and DENY the last that matches wins; a CONVERT changes the source, and the rules are
// tried anew.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "libbase/result.h"
#include "libsolver/definition.h"

namespace cairn::solver {

// Immutable, so thread-safe; cheap to copy.
class SourcePolicy {
 public:
  // Errors: invalid_argument: not JSON, a version, action or match type that is none, an expression that is none, a field
  // that is not known (one that was misspelt would let more through than was meant); names the rule.
  static base::Result<SourcePolicy> parse(std::string_view json);

  struct Rule;
  std::span<const Rule> rules() const;
  const std::string& digest() const;  // of the JSON, as it stood

 private:
  struct Rules;
  explicit SourcePolicy(std::shared_ptr<const Rules> rules) : rules_(std::move(rules)) {}
  std::shared_ptr<const Rules> rules_;
};

// Changes the source as the policies say, tried in order; true: something changed. Errors: invalid_argument (denied,
// naming the source; more than 20 conversions).
base::Result<bool> apply_source_policies(std::span<const SourcePolicy> policies, wire::SourceOp& source);

// As load_definition, with the policies applied to every source of it before digests are taken. The graph
// of a build step is not known yet: the policies of the request (SolveRequest::source_policies) are applied to it when it is,
// and are part of that step's key. Errors: those of both.
base::Result<Definition> load_definition_under(std::string_view bytes, std::span<const SourcePolicy> policies,
                                               const DefinitionLimits& limits = {},
                                               ProxyNetwork proxy_network = ProxyNetwork::off);

}  // namespace cairn::solver
