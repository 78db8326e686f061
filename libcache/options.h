// SPDX-License-Identifier: Apache-2.0
// What may be set for a store, whoever opens it: <root>/store.toml.
#pragma once

#include <cstdint>
#include <string_view>

#include "libbase/result.h"

namespace cairn::cache {

struct CacheOptions {
  // Blobs of more than 64 KiB and four times this are stored as chunks of about this many bytes, each once however many
  // blobs it is in: a power of two, 1 KiB to 1 MiB. 0: each blob is stored as it is. What is stored already stays as it is.
  std::uint32_t chunk_bytes = 0;
};

// The text of store.toml; `name` is what errors call it, and they say line and field. Errors: invalid_argument.
base::Result<CacheOptions> parse_options(std::string_view text, std::string_view name);

}  // namespace cairn::cache
