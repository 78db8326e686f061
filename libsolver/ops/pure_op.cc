// SPDX-License-Identifier: Apache-2.0
#include "libbase/codec.h"
#include "libbase/hash/sha256.h"
#include "libsolver/ops/ops.h"

namespace cairn::solver {

base::Result<OpIdentity> PureOp::identify(std::uint32_t, const OpContext&) {
  OpIdentity identity;
  identity.map = std::move(TRY(pure_cache_maps(*vertex_, "")).front());
  base::ByteWriter text;
  text.string(identity.map.digest.str());
  for (const CacheMapDep& dep : identity.map.deps) {
    for (const std::string& selector : dep.selectors) text.string(selector);
    text.u8(0);
  }
  operation_ = text.take();
  return identity;
}

base::Sha256Bytes PureOp::work_identity(std::span<const OptionalRef> inputs) const {
  base::ByteWriter text;
  // The digest in it begins with the kind of op.
  text.string("op").string(operation_);
  for (const OptionalRef& input : inputs) text.u64(input ? input->id().value() : 0);
  return base::sha256(text.take());
}

}  // namespace cairn::solver
