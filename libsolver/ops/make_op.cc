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
  if (identifier.scheme == "http" || identifier.scheme == "https") return make_http_source(std::move(vertex), source, request);
  if (identifier.scheme == "docker-image") return make_image_source(std::move(vertex), source, identifier.rest, request);
  if (identifier.scheme.ends_with("+blob")) return make_blob_source(std::move(vertex), source, request);
  if (identifier.scheme == "git") return make_git_source(source, request);
  return not_supported(fmt::format("source {}://", identifier.scheme));
}

}  // namespace

Result<std::unique_ptr<Op>> make_op(std::shared_ptr<const Vertex> vertex, const SolveRequest& request) {
  struct Choose {
    std::shared_ptr<const Vertex>& vertex;
    const SolveRequest& request;
    Result<std::unique_ptr<Op>> operator()(const wire::SourceOp&) { return make_source(std::move(vertex), request); }
    Result<std::unique_ptr<Op>> operator()(const wire::ExecOp& exec) { return make_exec(std::move(vertex), exec, request); }
    Result<std::unique_ptr<Op>> operator()(const wire::FileOp& file) { return make_file(std::move(vertex), file); }
    Result<std::unique_ptr<Op>> operator()(const wire::MergeOp& merge) { return make_merge(std::move(vertex), merge); }
    Result<std::unique_ptr<Op>> operator()(const wire::DiffOp& diff) { return make_diff(std::move(vertex), diff); }
    Result<std::unique_ptr<Op>> operator()(const wire::BuildOp& build) { return make_build(std::move(vertex), build, request); }
    Result<std::unique_ptr<Op>> operator()(const wire::PassthroughOp& through) {
      return make_passthrough(std::move(vertex), through);
    }
    Result<std::unique_ptr<Op>> operator()(std::monostate) { return not_supported("an op of unknown kind"); }
  };
  const auto& op = vertex->op.op;  // stays: the request's definition holds the vertex
  return std::visit(Choose{vertex, request}, op);
}

}  // namespace cairn::solver
