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
base::Result<std::unique_ptr<Op>> make_exec(std::shared_ptr<const Vertex> vertex, const wire::ExecOp& exec);

}  // namespace cairn::solver
