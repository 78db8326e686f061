// SPDX-License-Identifier: Apache-2.0
// The file of a trace, and a replay of whatever it says.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "libcache/trace.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cairn::cache;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)parse_trace(bytes);
  // Past the checksums, which a fuzzer does not find: the whole as one row.
  const auto trace = parse_trace(trace_header(0) + trace_frame(bytes));
  if (!trace) return 0;
  const Replayer replayer(*trace);
  for (const std::int64_t ceiling : {std::int64_t{0}, std::int64_t{1} << 20}) {
    const auto report = replayer.run({.size = ceiling});
    if (report && report->hits > report->lookups) __builtin_trap();
  }
  return 0;
}
