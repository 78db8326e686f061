// SPDX-License-Identifier: Apache-2.0
// Any text as a source policy; one that is read is applied to some sources, and must come to an end.
#include <cstddef>
#include <cstdint>

#include "libsolver/source_policy.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cairn::solver;
  const auto policy = SourcePolicy::parse({reinterpret_cast<const char*>(data), size});
  if (!policy) return 0;
  for (const char* identifier : {"docker-image://docker.io/library/busybox:latest", "https://example.com/a?b", "local://src", ""}) {
    wire::SourceOp source;
    source.identifier = identifier;
    source.attrs["http.checksum"] = "sha256:0";
    (void)apply_source_policies({&*policy, 1}, source);
  }
  return 0;
}
