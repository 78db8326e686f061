// SPDX-License-Identifier: Apache-2.0
// An OCI image layout in a directory: `oci-layout`, `index.json` and blobs/sha256/<hex>. Everything in it is hostile
// until its digest says otherwise: documents are verified when they are read, layers by whoever applies them, and no
// link in the directory leads out of it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/compress/decoder.h"
#include "libbase/fs/fd.h"
#include "libbase/path.h"
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
};

class OciLayout {
 public:
  // Errors: not_found (no such directory, or not a layout), corrupt, unavailable (another version), io.
  static base::Result<OciLayout> open(const base::HostPath& dir);

  // The image that `root` names for `platform`. If root is a manifest, it is taken whatever its platform; in an index
  // the best match wins, the first of equals; attestations are passed over. Reads documents only, no layer. Errors:
  // not_found (a blob, or no match; the hint lists what there is), corrupt (digest, size, JSON; names the blob and the
  // layout), invalid_argument (over a limit: 8 levels, 512 documents), unavailable (media type), io.
  base::Result<OciImage> resolve(const BlobDigest& root, const wire::Platform& platform) const;

  // The compressed bytes of a layer. The stream fails with corrupt if there are more or fewer bytes than the manifest
  // says; the digest is compared by the caller, who hashes while applying. The layout may be closed before the stream.
  base::Result<std::unique_ptr<base::ByteSource>> open_layer(const OciLayer& layer) const;

  // What index.json calls `name` (org.opencontainers.image.ref.name); with an empty name the only entry of the index.
  // Errors: not_found, invalid_argument (several; the hint lists the names), corrupt, io.
  base::Result<BlobDigest> find_tag(std::string_view name) const;

  // A verified blob of at most OciDocumentLimits::bytes_max bytes. Errors as of resolve().
  base::Result<std::string> read_blob(const BlobDigest& digest) const;

  const base::HostPath& dir() const { return dir_; }

 private:
  OciLayout(base::HostPath dir, base::Fd fd) : dir_(std::move(dir)), fd_(std::move(fd)) {}
  base::Result<base::Fd> open_blob(const BlobDigest& digest) const;
  base::Result<std::string> read_document(const OciDescriptor& descriptor) const;

  struct Search;
  base::Status search_index(const OciIndex& index, int depth, Search& search) const;
  base::Status consider(const OciDescriptor& manifest, const wire::Platform& offered, Search& search) const;
  base::Result<OciImage> load_image(const BlobDigest& root, const BlobDigest& manifest, std::string bytes) const;

  base::HostPath dir_;
  base::Fd fd_;
};

}  // namespace cairn::solver
