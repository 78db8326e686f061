// SPDX-License-Identifier: Apache-2.0
// The stages of loading, in BuildKit's order (spec/solver 2): decode and name by the raw bytes, link, digest anew from
// canonical bytes, find the head, check and build what it reaches.
#include "libsolver/load/load.h"

#include <unordered_map>

#include "libbase/hash/sha256.h"
#include "libsolver/load/check.h"
#include "libsolver/load/name.h"
#include "libsolver/load/order.h"
#include "libsolver/platform.h"
#include "libsolver/wire/codec.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;

class Loader {
 public:
  Loader(const DefinitionLimits& limits, ProxyNetwork proxy_network, std::span<const SourcePolicy> policies)
      : limits_(limits), proxy_network_(proxy_network), policies_(policies), budget_{limits.memory_max} {}

  enum class Steps : std::uint8_t { unwanted, wanted };

  Result<LoadedDefinition> load(std::string_view bytes, Steps steps) {
    TRY(decode(bytes), "load definition");
    if (ops_.empty()) return LoadedDefinition{};
    TRY(link(), "load definition");
    TRY(digest(), "load definition");
    TRY(find_head(), "load definition");
    TRY(build(), "load definition");
    if (steps == Steps::wanted) record_steps();
    return std::move(out_);
  }

 private:
  struct LoadingOp {
    wire::Op op;
    std::string raw;
    VertexDigest wire_digest;
    VertexDigest digest;
    std::vector<std::size_t> inputs;  // in ops_, the first op with that digest
    std::optional<std::size_t> vertex;
  };

  static std::string describe(std::size_t index, const LoadingOp& loading) {
    return fmt::format("op {} ({}, {})", index, loading.wire_digest, kind_of(loading.op));
  }
  std::string describe(std::size_t index) const { return describe(index, ops_[index]); }

  Status decode(std::string_view bytes) {
    if (bytes.size() > limits_.bytes_max) {
      return fail(ErrorCode::invalid_argument, "{} bytes, the limit is {}", bytes.size(), limits_.bytes_max);
    }
    wire::DefinitionMessage message = TRY(wire::decode_definition(bytes, budget_));
    if (message.def.size() > limits_.ops_max) {
      return fail(ErrorCode::invalid_argument, "{} ops, the limit is {}", message.def.size(), limits_.ops_max);
    }
    metadata_ = std::move(message.metadata);
    metadata_of_.reserve(metadata_.size());
    for (auto& [digest, metadata] : metadata_) {
      if (const auto parsed = VertexDigest::parse(digest)) metadata_of_.emplace(*parsed, &metadata);
    }
    ops_.reserve(message.def.size());
    by_wire_digest_.reserve(message.def.size());
    by_digest_.reserve(message.def.size());
    std::size_t inputs = 0;
    for (std::size_t i = 0; i < message.def.size(); ++i) {
      LoadingOp loading;
      loading.raw = std::move(message.def[i].value);
      loading.wire_digest = base::digest_of<VertexDigest>(loading.raw);
      loading.op = TRY(wire::decode_op(loading.raw, budget_), "op {} ({})", i, loading.wire_digest);
      TRY(check_input_indexes(loading.op), "{}", describe(i, loading));
      if (!policies_.empty()) TRY(apply_policies(loading.op), "{}", describe(i, loading));
      inputs += loading.op.inputs.size();
      if (inputs > limits_.inputs_max) {
        return fail(ErrorCode::invalid_argument, "{}: more than {} inputs so far, which is the limit", describe(i, loading),
                    limits_.inputs_max);
      }
      by_wire_digest_.emplace(loading.wire_digest, i);
      ops_.push_back(std::move(loading));
    }
    return {};
  }

  Status apply_policies(wire::Op& op) const {
    if (auto* source = std::get_if<wire::SourceOp>(&op.op)) TRY(apply_source_policies(policies_, *source));
    return {};
  }

  static Status check_input_indexes(const wire::Op& op) {
    for (std::size_t i = 0; i < op.inputs.size(); ++i) {
      const std::int64_t index = op.inputs[i].index;
      if (index < 0 || index > std::int64_t{UINT32_MAX}) {
        return fail(ErrorCode::invalid_argument, "input {} has output index {}", i, index);
      }
    }
    return {};
  }

  Status link() {
    for (std::size_t i = 0; i < ops_.size(); ++i) {
      for (const wire::Input& input : ops_[i].op.inputs) {
        const auto digest = VertexDigest::parse(input.digest);
        const auto found = digest ? by_wire_digest_.find(*digest) : by_wire_digest_.end();
        if (found == by_wire_digest_.end()) {
          return fail(ErrorCode::invalid_argument, "{}: its input \"{}\" is not in the definition", describe(i), input.digest);
        }
        ops_[i].inputs.push_back(found->second);
      }
    }
    return {};
  }

  // Every op is encoded canonically with its inputs' new digests, so that the same graph from a client with another
  // encoding gets the same digests.
  Status digest() {
    std::vector<std::size_t> all(ops_.size());
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
    const auto order = TRY(post_order(ops_.size(), all, [&](std::size_t i) { return std::span(ops_[i].inputs); }));
    std::string bytes;  // one buffer for all of them
    for (const std::size_t i : order) {
      LoadingOp& loading = ops_[i];
      for (std::size_t k = 0; k < loading.inputs.size(); ++k) {
        loading.op.inputs[k].digest = ops_[loading.inputs[k]].digest.str();
      }
      bytes.clear();
      wire::append(bytes, loading.op);
      if (uses_proxy(loading.op)) bytes += std::string_view("\0buildkit.proxy-network.v0", 26);
      loading.digest = bytes == loading.raw ? loading.wire_digest : base::digest_of<VertexDigest>(bytes);
      loading.raw = {};
      // The first of equal ops in the order of the wire is the one that stays; order may visit a later one first.
      const auto [first, fresh] = by_digest_.emplace(loading.digest, i);
      if (!fresh && i < first->second) first->second = i;
    }
    return {};
  }

  bool uses_proxy(const wire::Op& op) const {
    const auto* exec = std::get_if<wire::ExecOp>(&op.op);
    return proxy_network_ == ProxyNetwork::on && exec != nullptr && exec->network == wire::NetMode::unset;
  }

  Status find_head() {
    if (by_digest_.size() < 2) {
      return fail(ErrorCode::invalid_argument, "there is one op only; a definition ends with one more that names the result");
    }
    const LoadingOp& head = ops_.back();
    if (head.inputs.empty()) {
      return fail(ErrorCode::invalid_argument, "{}: the last op names the result, but it has no input", describe(ops_.size() - 1));
    }
    result_ = canonical(head.inputs.front());
    result_output_ = static_cast<std::uint32_t>(head.op.inputs.front().index);
    return {};
  }

  // Different bytes may become the same op.
  std::size_t canonical(std::size_t op) const { return by_digest_.at(ops_[op].digest); }

  Status build() {
    for (auto& loading : ops_) {
      for (auto& input : loading.inputs) input = canonical(input);
    }
    const auto order = TRY(post_order(ops_.size(), std::span(&result_, 1),
                                      [&](std::size_t i) { return std::span(ops_[i].inputs); }));
    out_.definition.vertices.reserve(order.size());
    for (const std::size_t i : order) {
      TRY(check_op(ops_[i].op), "{}", describe(i));
      auto vertex = TRY(make_vertex(ops_[i]), "{}", describe(i));
      ops_[i].vertex = out_.definition.vertices.size();
      out_.definition.vertices.push_back(std::move(vertex));
    }
    out_.definition.result = VertexInput{*ops_[result_].vertex, result_output_};
    return {};
  }

  // Takes the op and its metadata: two copies of a large graph would be one too many.
  Result<std::shared_ptr<const Vertex>> make_vertex(LoadingOp& loading) {
    auto vertex = std::make_shared<Vertex>();
    if (const auto found = metadata_of_.find(loading.wire_digest); found != metadata_of_.end()) {
      TRY(check_capabilities(*found->second));
      vertex->metadata = std::move(*found->second);
    }
    vertex->digest = loading.digest;
    vertex->wire_digest = loading.wire_digest;
    vertex->op = std::move(loading.op);
    vertex->op.platform = vertex->op.platform ? normalize_platform(*vertex->op.platform) : host_;
    vertex->ignore_cache = vertex->metadata.ignore_cache;
    std::vector<const std::string*> input_names;
    for (std::size_t k = 0; k < loading.inputs.size(); ++k) {
      const std::size_t input = *ops_[loading.inputs[k]].vertex;
      vertex->inputs.push_back({input, static_cast<std::uint32_t>(vertex->op.inputs[k].index)});
      input_names.push_back(&out_.definition.vertices[input]->name);
    }
    vertex->name = vertex_name(vertex->op, vertex->metadata, input_names, names_);
    return vertex;
  }

  void record_steps() {
    for (std::size_t i = 0; i < ops_.size(); ++i) {
      const LoadingOp& loading = ops_[i];
      const wire::Op& op = loading.vertex ? out_.definition.vertices[*loading.vertex]->op : loading.op;
      LoadedStep step{loading.wire_digest, loading.digest, kind_of(op), {}, ops_[canonical(i)].vertex};
      for (std::size_t k = 0; k < loading.inputs.size(); ++k) {
        step.inputs.push_back({ops_[loading.inputs[k]].digest, op.inputs[k].index});
      }
      if (i + 1 == ops_.size() && !step.vertex) step.kind = "return";
      out_.steps.push_back(std::move(step));
    }
  }

  const DefinitionLimits& limits_;
  ProxyNetwork proxy_network_;
  std::span<const SourcePolicy> policies_;
  wire::DecodeBudget budget_;
  NameBudget names_;
  const wire::Platform host_ = host_platform();
  std::map<std::string, wire::OpMetadata> metadata_;
  std::unordered_map<VertexDigest, wire::OpMetadata*> metadata_of_;  // by the digest of the raw bytes
  std::vector<LoadingOp> ops_;
  std::unordered_map<VertexDigest, std::size_t> by_wire_digest_;
  std::unordered_map<VertexDigest, std::size_t> by_digest_;
  std::size_t result_ = 0;
  std::uint32_t result_output_ = 0;
  LoadedDefinition out_;
};

}  // namespace

Result<LoadedDefinition> load_with_steps(std::string_view bytes, const DefinitionLimits& limits,
                                         ProxyNetwork proxy_network, std::span<const SourcePolicy> policies) {
  return Loader(limits, proxy_network, policies).load(bytes, Loader::Steps::wanted);
}

Result<LoadedDefinition> load_ops(std::string_view bytes, const DefinitionLimits& limits, ProxyNetwork proxy_network,
                                  std::span<const SourcePolicy> policies) {
  return Loader(limits, proxy_network, policies).load(bytes, Loader::Steps::unwanted);
}

Result<Definition> load_definition_under(std::string_view bytes, std::span<const SourcePolicy> policies,
                                         const DefinitionLimits& limits, ProxyNetwork proxy_network) {
  return TRY(load_ops(bytes, limits, proxy_network, policies)).definition;
}

}  // namespace cairn::solver
