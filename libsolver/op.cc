// SPDX-License-Identifier: Apache-2.0
#include "libsolver/op.h"

namespace cairn::solver {

base::Result<TreeDigest> Op::content_digest(std::uint32_t, const CacheMapDep& dep, const OptionalRef& input,
                                            std::stop_token stop) {
  return input ? input->content_digest(*dep.content, std::move(stop)) : cache::content_digest_of_nothing(*dep.content);
}

}  // namespace cairn::solver
