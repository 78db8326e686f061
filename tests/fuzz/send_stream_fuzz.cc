// SPDX-License-Identifier: Apache-2.0
// The reader of btrfs send streams. What it accepts must be consistent: all that is touched may differ, and everything
// above it.
#include <cstddef>
#include <cstdint>

#include "libsnapshot/drivers/send_stream.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cairn::snapshot::TouchedPaths touched;
  const std::string_view stream(reinterpret_cast<const char*>(data), size);
  if (!cairn::snapshot::read_send_stream(stream, touched)) return 0;
  for (const auto& path : touched.touched()) {
    CHECK(touched.may_differ(path) && touched.may_differ(""));
    CHECK(touched.may_differ(path.substr(0, path.find('/'))));
  }
  for (const auto& path : touched.whole()) CHECK(touched.may_differ(path + "/below"));
  return 0;
}
