// SPDX-License-Identifier: Apache-2.0
// Which image an index or a manifest means for a platform, and what it is made of; whoever has the documents.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "libbase/compress/decoder.h"
#include "libbase/result.h"
#include "libsnapshot/digests.h"
#include "libsolver/sources/oci_json.h"
#include "libsolver/wire/ops.h"

namespace cairn::solver {

struct OciLayer {
  BlobDigest digest;
  std::uint64_t size = 0;
  std::string media_type;
  DiffId diff;
};

// One image for one platform.
struct OciImage {
  BlobDigest root;  // what was asked for: an index or the manifest itself
  BlobDigest manifest;
  std::string manifest_bytes;
  BlobDigest config;
  std::string config_bytes;
  std::vector<OciLayer> layers;    // lowest first; may be empty (an image of nothing)
  std::vector<ChainId> chain_ids;  // of each prefix of the layers: chain_ids[i] covers layers 0 … i
  wire::Platform platform;         // as the config says it
  std::vector<BlobDigest> documents;  // all that were read to find it
  std::string other_rootfs;           // not empty: it is made of something else than layers, so it has a name and no tree
};

bool is_attestation(const OciDescriptor& descriptor);  // about an image, and none

// Where documents of images are: a layout, a registry, a store.
class OciDocuments {
 public:
  virtual ~OciDocuments() = default;
  enum class Kind { manifest, config };  // manifest: or an index
  // At most OciDocumentLimits::bytes_max bytes, verified.
  virtual base::Result<std::string> read(Kind kind, const BlobDigest& digest) const = 0;
  virtual std::string place() const = 0;  // for messages: "OCI layout /dir"
};

// The image that `root` names for `platform`. If root is a manifest, it is taken whatever its platform; in an index
// the best match wins, the first of equals; attestations are passed over. Reads documents only, no layer. Errors:
// not_found (a blob, or no match; the hint lists what there is), corrupt (digest, size, JSON; names the blob and the
// place), invalid_argument (over a limit: 8 levels, 512 documents), unavailable (media type), io.
base::Result<OciImage> resolve_oci_image(const OciDocuments& documents, const BlobDigest& root, const wire::Platform& platform);

// Leaves the lowest `limit` layers of it, if limit is not 0.
void limit_layers(OciImage& image, std::int64_t limit);

base::Status check_rootfs(const OciImage& image);  // unavailable, if it has other_rootfs

base::Compression layer_compression(const OciLayer& layer);

}  // namespace cairn::solver
