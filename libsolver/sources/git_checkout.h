// SPDX-License-Identifier: Apache-2.0
// The tree of a commit, made from a repository that has it: without .git, or with one that knows this commit and where it
// came from; a part of it, moved to the root; with the trees of its submodules.
#pragma once

#include <stop_token>

#include "libbase/result.h"
#include "libcache/ref.h"
#include "libsolver/ops/git_spec.h"
#include "libsolver/sources/git_program.h"

namespace cairn::solver {

struct GitCheckout {
  const GitProgram& git;
  const GitSpec& spec;
  const GitResolved& resolved;
  // Has the commit. Is written to meanwhile: a fork of its own, which is thrown away afterwards.
  const cache::MutableRef& repository;
};

// Fills `tree`, which is empty. Errors: not_found (the subdirectory), invalid_argument (it is none), io, cancelled.
base::Status check_out(const GitCheckout& checkout, const cache::MutableRef& tree, std::stop_token stop);

}  // namespace cairn::solver
