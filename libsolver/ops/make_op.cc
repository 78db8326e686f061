// SPDX-License-Identifier: Apache-2.0
#include "libsolver/identifier.h"
#include "libsolver/ops/ops.h"

namespace cairn::solver {

using base::ErrorCode;
using base::Result;

namespace {

Result<std::unique_ptr<Op>> not_supported(std::string_view what) {
  return base::fail(ErrorCode::unavailable, "not supported: {}", what);
}

Result<std::unique_ptr<Op>> make_source(std::shared_ptr<const Vertex> vertex, const SolveRequest& request) {
  const auto& source = std::get<wire::SourceOp>(vertex->op.op);
  const SourceIdentifier identifier = TRY(parse_source_identifier(source.identifier));
  if (identifier.scheme == "local") return make_local_source(std::move(vertex), source, identifier.rest, request);
  if (identifier.scheme == "oci-layout") {
    return make_oci_layout_source(std::move(vertex), source, identifier.rest, request);
  }
  return not_supported(fmt::format("source {}://", identifier.scheme));
}

}  // namespace

Result<std::unique_ptr<Op>> make_op(std::shared_ptr<const Vertex> vertex, const SolveRequest& request) {
  struct Choose {
    std::shared_ptr<const Vertex>& vertex;
    const SolveRequest& request;
    Result<std::unique_ptr<Op>> operator()(const wire::SourceOp&) { return make_source(std::move(vertex), request); }
    Result<std::unique_ptr<Op>> operator()(const wire::ExecOp& exec) { return make_exec(std::move(vertex), exec); }
    Result<std::unique_ptr<Op>> operator()(const wire::FileOp&) { return not_supported("file op"); }
    Result<std::unique_ptr<Op>> operator()(const wire::MergeOp&) { return not_supported("merge op"); }
    Result<std::unique_ptr<Op>> operator()(const wire::DiffOp&) { return not_supported("diff op"); }
    Result<std::unique_ptr<Op>> operator()(const wire::BuildOp&) { return not_supported("build op"); }
    Result<std::unique_ptr<Op>> operator()(const wire::PassthroughOp&) { return not_supported("passthrough op"); }
    Result<std::unique_ptr<Op>> operator()(std::monostate) { return not_supported("an op of unknown kind"); }
  };
  const auto& op = vertex->op.op;  // stays: the request's definition holds the vertex
  return std::visit(Choose{vertex, request}, op);
}

}  // namespace cairn::solver
