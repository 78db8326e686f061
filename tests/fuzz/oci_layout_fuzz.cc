// SPDX-License-Identifier: Apache-2.0
// The JSON documents of an OCI layout, as hostile bytes: none may crash, and what is accepted keeps the limits.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "libsolver/sources/oci_json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cairn::solver;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto root = parse_oci_root(bytes)) {
    if (const auto* index = std::get_if<OciIndex>(&*root)) {
      CHECK(index->manifests.size() <= OciDocumentLimits::entries_max);
      CHECK(parse_oci_index(bytes).has_value());
    } else {
      CHECK(std::get<OciManifest>(*root).layers.size() <= OciDocumentLimits::entries_max);
      CHECK(!parse_oci_index(bytes));
    }
  }
  if (const auto config = parse_oci_config(bytes)) CHECK(config->diff_ids.size() <= OciDocumentLimits::entries_max);
  (void)check_oci_layout_version(bytes);
  return 0;
}
