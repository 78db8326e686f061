// SPDX-License-Identifier: Apache-2.0
// One source of bytes for several readers at once, each at its own pace but for some pieces.
#pragma once

#include <chrono>
#include <functional>
#include <span>
#include <vector>

#include "libbase/compress/decoder.h"

namespace cairn::cache {

// Runs each reader on a thread of its own, with a source that gives what `source` gives, also its error. Returns when
// all have returned. A reader that takes nothing for `stall_time` while others could go on, or is not done so long
// after another one, is told so by `stalled`; in the first case its source fails from then on. Ok: the source was read
// to its end, or nobody wanted more. Errors: those of the source.
struct TeeReader {
  std::function<void(base::ByteSource& bytes)> read;
  std::function<void()> stalled;
};
base::Status tee(base::ByteSource& source, std::span<const TeeReader> readers, std::chrono::nanoseconds stall_time);

}  // namespace cairn::cache
