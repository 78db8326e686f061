// SPDX-License-Identifier: Apache-2.0
#include "libsolver/digests.h"

namespace cairn::solver {

std::string OpDigest::str() const { return (scope == Scope::session ? "random:" : "sha256:") + base::to_hex(hash); }

}  // namespace cairn::solver
