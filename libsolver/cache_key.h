// SPDX-License-Identifier: Apache-2.0
// Keys under which results are found again. Root keys are BuildKit's, byte for byte (spec/solver 5.2); the id of a
// combined key is our own: derived from its content, where BuildKit takes random ids.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "libcache/key_store.h"
#include "libsolver/digests.h"

namespace cairn::solver {

// H("<CacheMap digest>@<output>"). Only for portable digests: a session's root key must never be stored.
KeyDigest root_key(const OpDigest& operation, std::int64_t output);
// The key of a content digest: H("<digest>@-1").
KeyDigest content_key(const TreeDigest& content);

// A key of our own, which means nothing elsewhere and is never exported: its last eight bytes are zero.
KeyDigest private_key(std::string_view text);
bool is_private(const KeyDigest& key);

struct KeyInput {
  KeyDigest key;
  base::Sha256Bytes selector{};  // zero: none
};
// Version 1: H("cairn.key.v1", trust namespace (u32, little-endian), operation, output, each input's key and selector).
KeyDigest combined_key(std::uint32_t trust_namespace, const OpDigest& operation, std::uint32_t output,
                       std::span<const KeyInput> inputs);

}  // namespace cairn::solver
