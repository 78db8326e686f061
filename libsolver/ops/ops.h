// SPDX-License-Identifier: Apache-2.0
// The ops that this version runs; make_op (make_op.cc) chooses among them.
#pragma once

#include <memory>
#include <string>

#include "libsolver/op.h"

namespace cairn::solver {

// Errors: not_found if the request binds no directory to the name; unavailable for what is not supported.
base::Result<std::unique_ptr<Op>> make_local_source(std::shared_ptr<const Vertex> vertex, const wire::SourceOp& source,
                                                    const std::string& name, const SolveRequest& request);
base::Result<std::unique_ptr<Op>> make_oci_layout_source(std::shared_ptr<const Vertex> vertex,
                                                         const wire::SourceOp& source, const std::string& reference,
                                                         const SolveRequest& request);
// The directory that the request binds to the name of an oci-layout source. Errors: not_found.
base::Result<base::HostPath> find_oci_layout(const wire::SourceOp& source, const std::string& reference,
                                             const SolveRequest& request);
base::Result<std::unique_ptr<Op>> make_image_source(std::shared_ptr<const Vertex> vertex, const wire::SourceOp& source,
                                                    const std::string& reference, const SolveRequest& request);
base::Result<std::unique_ptr<Op>> make_blob_source(std::shared_ptr<const Vertex> vertex, const wire::SourceOp& source,
                                                   const SolveRequest& request);
base::Result<std::unique_ptr<Op>> make_http_source(std::shared_ptr<const Vertex> vertex, const wire::SourceOp& source,
                                                   const SolveRequest& request);
// Errors: unavailable ("not supported: …"), invalid_argument, naming the attribute.
base::Result<std::unique_ptr<Op>> make_git_source(const wire::SourceOp& source, const SolveRequest& request);
base::Result<std::unique_ptr<Op>> make_exec(std::shared_ptr<const Vertex> vertex, const wire::ExecOp& exec,
                                            const SolveRequest& request);
// Errors: invalid_argument: input, output or action numbers that cannot be right.
base::Result<std::unique_ptr<Op>> make_file(std::shared_ptr<const Vertex> vertex, const wire::FileOp& file);
base::Result<std::unique_ptr<Op>> make_merge(std::shared_ptr<const Vertex> vertex, const wire::MergeOp& merge);
base::Result<std::unique_ptr<Op>> make_diff(std::shared_ptr<const Vertex> vertex, const wire::DiffOp& diff);
base::Result<std::unique_ptr<Op>> make_passthrough(std::shared_ptr<const Vertex> vertex, const wire::PassthroughOp& op);
base::Result<std::unique_ptr<Op>> make_build(std::shared_ptr<const Vertex> vertex, const wire::BuildOp& build,
                                             const SolveRequest& request);

// An op whose one cache map needs no I/O: what it is, and what equal work is (the map, its selectors, and the inputs).
class PureOp : public Op {
 public:
  Cost identify_cost() const override { return Cost::pure; }
  base::Result<OpIdentity> identify(std::uint32_t index, const OpContext& context) override;
  base::Sha256Bytes work_identity(std::span<const OptionalRef> inputs) const override;

 protected:
  explicit PureOp(std::shared_ptr<const Vertex> vertex) : vertex_(std::move(vertex)) {}
  std::shared_ptr<const Vertex> vertex_;

 private:
  std::string operation_;  // set by identify(): what the step is, inputs aside
};

}  // namespace cairn::solver
