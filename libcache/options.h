// SPDX-License-Identifier: Apache-2.0
// What may be set for a store, whoever opens it: <root>/store.toml.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

#include "libbase/result.h"

namespace cairn::cache {

// Reading the store back in the background, from where the last scrub stopped.
struct BackgroundScrub {
  std::uint64_t bytes_per_second = 4u << 20;                  // on the average; 0: it does not run
  std::chrono::nanoseconds every = std::chrono::hours(7 * 24);  // after the end was reached it rests for so long
  std::chrono::nanoseconds delay = std::chrono::minutes(1);     // after the store was opened
};

struct CacheOptions {
  // Blobs of more than 64 KiB and four times this are stored as chunks of about this many bytes, each once however many
  // blobs it is in: a power of two, 1 KiB to 1 MiB. 0: each blob is stored as it is. What is stored already stays as it is.
  std::uint32_t chunk_bytes = 0;
  BackgroundScrub scrub{};
  // Of how many records what they were made of is kept, for explanations; beyond that the oldest go. Some 250 bytes each.
  std::uint64_t recipes_max = 1'000'000;
};

// The text of store.toml; `name` is what errors call it, and they say line and field. Errors: invalid_argument.
base::Result<CacheOptions> parse_options(std::string_view text, std::string_view name);

}  // namespace cairn::cache
