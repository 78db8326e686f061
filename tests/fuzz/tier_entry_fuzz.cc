// SPDX-License-Identifier: Apache-2.0
// Any bytes as an entry of a tier, with the checksum that they would have: what is taken is what was encoded.
#include <cstddef>
#include <cstdint>
#include <string>

#include "libbase/hash/sha256.h"
#include "libremote/entries/tier_entry.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cairn;
  const std::string raw(reinterpret_cast<const char*>(data), size);
  const KeyDigest key = base::digest_of<KeyDigest>("key");
  CHECK(!remote::decode_tier_entry(KeyDigest(), raw), "taken for another key");
  // As it is, and with the checksum and the key that fuzzing would never find. The key is at its place in the seeds.
  std::string mended = raw;
  constexpr std::size_t key_at = 12;
  if (mended.size() >= key_at + key.raw().size()) mended.replace(key_at, key.raw().size(), key.raw());
  mended += base::digest_of<KeyDigest>(mended).raw();
  for (const std::string& bytes : {raw, mended}) {
    const auto entry = remote::decode_tier_entry(key, bytes);
    if (!entry) {
      CHECK(entry.error().code == base::ErrorCode::corrupt);
      continue;
    }
    CHECK(remote::encode_tier_entry(key, *entry).value() == bytes, "another encoding of one entry");
  }
  return 0;
}
