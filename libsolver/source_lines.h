// SPDX-License-Identifier: Apache-2.0
// Where the steps of a graph are written: what front ends say of it in a definition (spec/solver 1.1, Source).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "libsolver/definition.h"

namespace cairn::solver {

struct SourceLines {
  std::string filename, text;  // of the whole file
  int first = 0, last = 0;     // from 1, both ends in
};

// Of the step with this digest in `definition`, which was loaded of `bytes`. {}: nothing is said of it.
std::vector<SourceLines> source_lines(const Definition& definition, std::string_view bytes, const VertexDigest& step);

}  // namespace cairn::solver
