// SPDX-License-Identifier: Apache-2.0
// Packs of a bucket as bytes (docs/formats/tier-pack.md): many small blobs and entries in one object. Its index is at
// its beginning, and the name of the object says how long the index is and what it hashes to, so that one ranged
// request reads an index and nothing of it is believed that is not as it was written.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/result.h"
#include "libsnapshot/digests.h"

namespace cairn::remote {

// In the order of their time, of the clock of whoever wrote them.
struct PackName {
  std::uint64_t time_ms = 0;  // since 1970
  std::uint32_t index_bytes = 0;
  base::Sha256Bytes index_sha256{};

  static constexpr std::size_t text_bytes = 16 + 1 + 8 + 1 + 64;
  std::string str() const;
  static std::optional<PackName> parse(std::string_view text);
  auto operator<=>(const PackName&) const = default;
};
// What names of packs of this time and later ones come after.
std::string before_packs_of(std::uint64_t time_ms);

struct PackItem {
  // `loose`: a blob that is an object of its own, which whoever wrote the pack has put before; it has no bytes here.
  enum class Kind : std::uint8_t { blob = 0, entry = 1, loose = 2 };
  Kind kind = Kind::blob;
  base::Sha256Bytes digest{};  // of an entry: of its name
  std::uint64_t size = 0;      // bytes
  auto operator<=>(const PackItem&) const = default;
};

inline constexpr std::uint64_t pack_bytes_max = std::uint64_t{256} << 20;  // a reader takes no longer ones
inline constexpr std::uint32_t pack_index_bytes_max = 16 << 20;

// The bytes of the items follow the index, in their order, with nothing between.
std::string encode_pack_index(std::span<const PackItem> items);
// Errors: corrupt (nothing that encode_pack_index gave, or more bytes than a pack may have).
base::Result<std::vector<PackItem>> decode_pack_index(std::string_view bytes);

// An entry as it lies in a pack: with the places of what it needs, so that whoever has it needs no other index.
struct PlacedEntry {
  struct Place {
    // 0: in no pack; 1: in the one that the entry is in; 2 and more: in packs[pack - 2].
    std::size_t pack = 0;
    std::uint64_t offset = 0;  // after the end of the index
    auto operator<=>(const Place&) const = default;
  };
  std::vector<PackName> packs{};
  std::vector<Place> places{};  // of the blobs of the closure, in its order; empty: they are not known
  std::string entry{};          // docs/formats/tier-entry.md
};
std::string encode_placed_entry(const PlacedEntry& entry);
base::Result<PlacedEntry> decode_placed_entry(std::string_view bytes);  // Errors: corrupt

}  // namespace cairn::remote
