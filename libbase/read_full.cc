// SPDX-License-Identifier: Apache-2.0
#include "libbase/read_full.h"

namespace cairn::base {

Result<std::size_t> read_full(ByteSource& source, std::span<std::byte> out) {
  std::size_t done = 0;
  while (done < out.size()) {
    const std::size_t count = TRY(source.read(out.subspan(done)));
    if (count == 0) break;
    done += count;
  }
  return done;
}

}  // namespace cairn::base
