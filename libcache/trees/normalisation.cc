// SPDX-License-Identifier: Apache-2.0
#include "libcache/normalisation.h"

#include <algorithm>

#include "libbase/codec.h"
#include "libbase/hash/sha256.h"

namespace cairn::cache {

void normalise(TreeEntry& entry, const Normalisation& policy) {
  if (policy.is_off()) return;
  if (policy.owner == Normalisation::Owner::ignored) entry.uid = entry.gid = 0;
  entry.mode &= policy.mode_mask;
  if (!policy.xattrs) return;
  std::erase_if(entry.xattrs, [&policy](const auto& xattr) {
    return std::find(policy.xattrs->begin(), policy.xattrs->end(), xattr.first) == policy.xattrs->end();
  });
}

std::string name_of(const Normalisation& policy) {
  if (policy.is_off()) return {};
  std::vector<std::string> xattrs = policy.xattrs.value_or(std::vector<std::string>());
  std::sort(xattrs.begin(), xattrs.end());
  xattrs.erase(std::unique(xattrs.begin(), xattrs.end()), xattrs.end());
  base::ByteWriter writer;
  writer.raw("cairn normalised digest").u8(1).u8(static_cast<std::uint8_t>(policy.owner)).u32(policy.mode_mask & 07777);
  writer.u8(static_cast<std::uint8_t>(policy.times)).u8(policy.xattrs ? 1 : 0).varint(xattrs.size());
  for (const std::string& name : xattrs) writer.string(name);
  return writer.take();
}

TreeDigest seal(const TreeDigest& digest, const Normalisation& policy) {
  if (policy.is_off()) return digest;
  return base::digest_of<TreeDigest>(name_of(policy) + digest.str());
}

}  // namespace cairn::cache
