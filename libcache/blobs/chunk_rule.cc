// SPDX-License-Identifier: Apache-2.0
#include "libcache/chunk_rule.h"

#include <algorithm>
#include <array>
#include <bit>

#include "libcache/blobs/gear_table.h"

namespace cairn::cache {

namespace {

constexpr int normalization = 2;
constexpr int mask_bits_min = 8;
// Masks of 8 and more bits, spread so that boundaries look back over some 48 bytes. They are part of what is agreed on, and
// follow no formula.
constexpr std::array<std::uint64_t, 15> masks = {
    0x1800035300,   0x19000353000,  0x590003530000, 0xd90003530000, 0xd90103530000,
    0xd90303530000, 0xd90313530000, 0xd90f03530000, 0xd90303537000, 0xd90703537000,
    0xd90707537000, 0xd91707537000, 0xd91747537000, 0xd91767537000, 0xd93767537000,
};

std::uint64_t mask_of(int bits) { return masks.at(static_cast<std::size_t>(bits - mask_bits_min)); }

// The first place in [at, end) at which the hash has none of the mask's bits; end: there is none.
std::size_t find(std::string_view bytes, std::size_t at, std::size_t end, std::uint64_t mask, std::uint64_t& hash) {
  for (; at < end; ++at) {
    hash = (hash << 1) + gear_table[static_cast<unsigned char>(bytes[at])];
    if ((hash & mask) == 0) break;
  }
  return at;
}

}  // namespace

base::Result<ChunkRule> ChunkRule::of_average(std::uint32_t bytes) {
  if (!std::has_single_bit(bytes) || bytes < average_min || bytes > average_max)
    return base::fail(base::ErrorCode::invalid_argument,
                      "chunks of {} bytes: want a power of two between {} and {}", bytes, average_min, average_max);
  return ChunkRule(bytes / 4, bytes, bytes * 4);
}

ChunkRule::ChunkRule(std::uint32_t min_bytes, std::uint32_t average, std::uint32_t max_bytes)
    : min_(min_bytes), average_(average), max_(max_bytes) {
  const int bits = std::bit_width(average) - 1;
  rare_ = mask_of(bits + normalization);
  common_ = mask_of(bits - normalization);
}

std::size_t ChunkRule::cut(std::string_view bytes) const {
  if (bytes.size() <= min_) return bytes.size();
  const std::size_t end = std::min<std::size_t>(bytes.size(), max_);
  // The rule takes bytes in pairs: a last one that is alone is not looked at.
  const std::size_t last = end & ~std::size_t{1};
  const std::size_t middle = std::min<std::size_t>(average_, last);
  std::uint64_t hash = 0;
  std::size_t at = find(bytes, min_ & ~std::size_t{1}, middle, rare_, hash);
  if (at < middle) return at;
  at = find(bytes, middle, last, common_, hash);
  return at < last ? at : end;
}

}  // namespace cairn::cache
