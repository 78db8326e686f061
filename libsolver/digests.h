// SPDX-License-Identifier: Apache-2.0
// Two digests that a reader would mix up: the vertex digest names a step of a graph (progress, sharing of running work);
// the CacheMap digest says what an operation *is* (cache keys). spec/solver 0.
#pragma once

#include "libbase/digest.h"

namespace cairn::solver {

using VertexDigest = base::Digest<struct VertexMeaning>;
using SelectorDigest = base::Digest<struct SelectorMeaning>;

// CacheMap digest. `session` digests are written "random:<hex>" (sources of one client session): they never match across
// solves and are never exported.
struct OpDigest {
  enum class Scope : std::uint8_t { portable, session };
  base::Sha256Bytes hash{};
  Scope scope = Scope::portable;
  std::string str() const;
  auto operator<=>(const OpDigest&) const = default;
};

}  // namespace cairn::solver
