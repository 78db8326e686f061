// SPDX-License-Identifier: Apache-2.0
#include "libsolver/definition.h"

#include "libsolver/load/load.h"

namespace cairn::solver {

base::Result<Definition> load_definition(std::string_view bytes, const DefinitionLimits& limits,
                                         ProxyNetwork proxy_network) {
  return TRY(load_ops(bytes, limits, proxy_network)).definition;
}

std::string_view kind_of(const wire::Op& op) {
  struct Kind {
    std::string_view operator()(const std::monostate&) const { return "unknown"; }
    std::string_view operator()(const wire::SourceOp&) const { return "source"; }
    std::string_view operator()(const wire::ExecOp&) const { return "exec"; }
    std::string_view operator()(const wire::FileOp&) const { return "file"; }
    std::string_view operator()(const wire::BuildOp&) const { return "build"; }
    std::string_view operator()(const wire::MergeOp&) const { return "merge"; }
    std::string_view operator()(const wire::DiffOp&) const { return "diff"; }
    std::string_view operator()(const wire::PassthroughOp&) const { return "passthrough"; }
  };
  return std::visit(Kind{}, op.op);
}

}  // namespace cairn::solver
