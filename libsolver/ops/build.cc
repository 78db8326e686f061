// SPDX-License-Identifier: Apache-2.0
// A step that solves another graph, which an earlier step has written into a file (spec/solver 3.8).
#include "libbase/hash/sha256.h"
#include "libbase/fs/beneath.h"
#include "libsolver/ops/cache_maps.h"
#include "libsolver/ops/ops.h"
#include "libsolver/source_policy.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::Result;

constexpr std::int64_t llb_builder = -1;
// The name of the input, and of the file in it unless an attribute says otherwise.
constexpr const char* definition_name = "buildkit.llb.definition";
constexpr const char* filename_attribute = "llbbuild.filename";

class BuildStep final : public PureOp {
 public:
  BuildStep(std::shared_ptr<const Vertex> vertex, std::size_t input, std::string file, std::vector<SourcePolicy> policies)
      : PureOp(std::move(vertex)), input_(input), file_(std::move(file)), policies_(std::move(policies)) {}

  // What it makes under a policy is not what it makes without one.
  Result<OpIdentity> identify(std::uint32_t index, const OpContext& context) override {
    OpIdentity identity = TRY(PureOp::identify(index, context));
    if (policies_.empty()) return identity;
    CacheMap under = hashed_cache_map("cairn.build.policy.v1:" + identity.map.digest.str() + policy_digests());
    under.deps = std::move(identity.map.deps);
    identity.map = std::move(under);
    return identity;
  }
  base::Sha256Bytes work_identity(std::span<const OptionalRef> inputs) const override {
    return base::sha256(base::to_hex(PureOp::work_identity(inputs)) + policy_digests());
  }

  Result<OpOutputs> execute(std::span<const OptionalRef> inputs, const OpContext& context, cache::Publication&) override {
    OpOutputs outputs;
    Definition definition = TRY(load(inputs[input_]), "load the graph {}", file_);
    outputs.refs.push_back(TRY(context.solve(std::move(definition)), "solve the graph {}", file_));
    return outputs;
  }
  std::uint32_t outputs() const override { return 1; }
  Place place() const override { return Place::beside; }

 private:
  std::string policy_digests() const {
    std::string text;
    for (const SourcePolicy& policy : policies_) text += " " + policy.digest();
    return text;
  }

  Result<Definition> load(const OptionalRef& input) const {
    if (!input) return base::fail(ErrorCode::not_found, "the input is the empty tree");
    const snapshot::MountedTree tree = TRY(input->mount());
    const base::TreePath path = TRY(base::TreePath::clean(file_));
    const DefinitionLimits limits;
    return load_definition_under(TRY(base::read_beneath(tree.fd(), path, limits.bytes_max, base::Follow::in_root)), policies_, limits);
  }

  std::size_t input_;
  std::string file_;
  std::vector<SourcePolicy> policies_;
};

}  // namespace

Result<std::unique_ptr<Op>> make_build(std::shared_ptr<const Vertex> vertex, const wire::BuildOp& build,
                                       const SolveRequest& request) {
  if (build.builder != llb_builder) return base::fail(ErrorCode::unavailable, "not supported: a builder of build op");
  const auto input = build.inputs.find(definition_name);
  if (input == build.inputs.end()) {
    return base::fail(ErrorCode::invalid_argument, "a build op without the input {}", definition_name);
  }
  const std::int64_t number = input->second.input;
  if (number < 0 || number >= static_cast<std::int64_t>(vertex->inputs.size())) {
    return base::fail(ErrorCode::invalid_argument, "a build op takes input {} of {}", number, vertex->inputs.size());
  }
  const auto name = build.attrs.find(filename_attribute);
  std::string file = name == build.attrs.end() ? definition_name : name->second;
  return std::make_unique<BuildStep>(std::move(vertex), static_cast<std::size_t>(number), std::move(file), request.source_policies);
}

}  // namespace cairn::solver
