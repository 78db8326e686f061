// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/digests.h"

#include "libbase/hash/sha256.h"

namespace cairn {

ChainId chain_id(const ChainId& parent, const DiffId& diff) {
  if (parent.is_zero()) return ChainId(diff.bytes());
  return base::digest_of<ChainId>(parent.str() + " " + diff.str());
}

}  // namespace cairn
