// SPDX-License-Identifier: Apache-2.0
#include "libsolver/cache_key.h"

#include <algorithm>

#include "libbase/codec.h"
#include "libbase/hash/sha256.h"

namespace cairn::solver {
namespace {

std::string_view raw(const base::Sha256Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

KeyDigest root_key(const OpDigest& operation, std::int64_t output) {
  CHECK(operation.scope == OpDigest::Scope::portable, "a session's digest has no stored key");
  return base::digest_of<KeyDigest>(fmt::format("{}@{}", operation.str(), output));
}

KeyDigest content_key(const TreeDigest& content) { return base::digest_of<KeyDigest>(content.str() + "@-1"); }

KeyDigest private_key(std::string_view text) {
  base::Sha256Bytes bytes = base::sha256(text);
  std::fill(bytes.end() - 8, bytes.end(), std::uint8_t{0});
  return KeyDigest(bytes);
}

bool is_private(const KeyDigest& key) {
  return std::all_of(key.bytes().end() - 8, key.bytes().end(), [](std::uint8_t byte) { return byte == 0; });
}

KeyDigest combined_key(std::uint32_t trust_namespace, const OpDigest& operation, std::uint32_t output,
                       std::span<const KeyInput> inputs) {
  base::ByteWriter text;
  text.raw("cairn.key.v1").u32(trust_namespace).raw(raw(operation.hash)).u32(output);
  text.u32(static_cast<std::uint32_t>(inputs.size()));
  for (const KeyInput& input : inputs) text.raw(input.key.raw()).raw(raw(input.selector));
  return base::digest_of<KeyDigest>(text.take());
}

}  // namespace cairn::solver
