// SPDX-License-Identifier: Apache-2.0
// Where a large blob is cut into chunks: FastCDC as of 2020, normalization 2, seed 0, which is what the Remote Execution API
// agrees on (spec/reapi 1.9). A boundary depends on the bytes before it alone, so that blobs with a part in common have
// most chunks of that part in common.
#pragma once

#include <cstdint>
#include <string_view>

#include "libbase/result.h"

namespace cairn::cache {

class ChunkRule {
 public:
  static constexpr std::uint32_t average_min = 1024, average_max = 1024 * 1024;
  // Chunks of a quarter of the average up to four times of it. Errors: invalid_argument (no power of two between the two
  // above).
  static base::Result<ChunkRule> of_average(std::uint32_t bytes);
  // average: a power of two in those bounds; min_bytes <= average <= max_bytes.
  ChunkRule(std::uint32_t min_bytes, std::uint32_t average, std::uint32_t max_bytes);

  // How long the first chunk of `bytes` is, which are all that is left of the blob, or max_bytes() of it or more. 0 of
  // nothing.
  std::size_t cut(std::string_view bytes) const;

  std::uint32_t max_bytes() const { return max_; }

 private:
  std::uint32_t min_, average_, max_;
  std::uint64_t rare_, common_;  // masks: below the average a boundary is made rarer, above it more common
};

}  // namespace cairn::cache
