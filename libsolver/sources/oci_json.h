// SPDX-License-Identifier: Apache-2.0
// The JSON documents of an OCI image (index, manifest, config) as plain structs. They come from outside: sizes, counts
// and nesting are bounded, and a document that could be read in two ways is refused.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "libbase/result.h"
#include "libsnapshot/digests.h"
#include "libsolver/wire/ops.h"

namespace cairn::solver {

struct OciDocumentLimits {
  static constexpr std::size_t bytes_max = 4u << 20;
  static constexpr std::size_t entries_max = 4'096;  // manifests of an index, layers of a manifest
  static constexpr int depth_max = 64;               // brackets within brackets
};

// What documents of other kinds may have.
struct OciBounds {
  std::size_t bytes_max = OciDocumentLimits::bytes_max;
  std::size_t entries_max = OciDocumentLimits::entries_max;
};

struct OciDescriptor {
  std::string media_type;  // "" if it was not given
  BlobDigest digest;
  std::uint64_t size = 0;
  std::optional<wire::Platform> platform;
  std::map<std::string, std::string> annotations;
};
struct OciIndex {
  std::vector<OciDescriptor> manifests;
};
struct OciManifest {
  OciDescriptor config;
  std::vector<OciDescriptor> layers;
};
struct OciConfig {
  wire::Platform platform;
  std::vector<DiffId> diff_ids;
  std::string other_rootfs;  // what rootfs.type says, if that is not "layers": then nothing is known of diff_ids
};

// Whether the media type is an index or a manifest, OCI's or Docker's.
bool is_index_type(std::string_view media_type);
bool is_manifest_type(std::string_view media_type);

// Errors of all: corrupt (not JSON, or not such a document), invalid_argument (over a limit), unavailable (a version,
// digest algorithm or media type that is not supported). The caller puts the name of the document before the message.
base::Result<std::variant<OciIndex, OciManifest>> parse_oci_root(std::string_view bytes, const OciBounds& bounds = {});
base::Result<OciIndex> parse_oci_index(std::string_view bytes);
base::Result<OciConfig> parse_oci_config(std::string_view bytes);
// The file `oci-layout`: unavailable unless imageLayoutVersion is 1.x.
base::Status check_oci_layout_version(std::string_view bytes);

}  // namespace cairn::solver
