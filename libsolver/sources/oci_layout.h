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
#include "libsolver/sources/oci_image.h"
#include "libsolver/wire/ops.h"

namespace cairn::solver {

class OciLayout {
 public:
  // Errors: not_found (no such directory, or not a layout), corrupt, unavailable (another version), io.
  static base::Result<OciLayout> open(const base::HostPath& dir);

  // As resolve_oci_image, of the documents that are here.
  base::Result<OciImage> resolve(const BlobDigest& root, const wire::Platform& platform) const;

  // The compressed bytes of a layer. The stream fails with corrupt if there are more or fewer bytes than the manifest
  // says; the digest is compared by the caller, who hashes while applying. The layout may be closed before the stream.
  base::Result<std::unique_ptr<base::ByteSource>> open_layer(const OciLayer& layer) const;

  // The same of a blob of which nothing but the name is known.
  base::Result<std::unique_ptr<base::ByteSource>> open_blob_of(const BlobDigest& digest) const;

  // What index.json calls `name` (org.opencontainers.image.ref.name); with an empty name the only entry of the index.
  // Errors: not_found, invalid_argument (several; the hint lists the names), corrupt, io.
  base::Result<BlobDigest> find_tag(std::string_view name) const;

  // A verified blob of at most so many bytes. Errors as of resolve().
  base::Result<std::string> read_blob(const BlobDigest& digest,
                                      std::size_t size_max = OciDocumentLimits::bytes_max) const;

  const base::HostPath& dir() const { return dir_; }

 private:
  OciLayout(base::HostPath dir, base::Fd fd) : dir_(std::move(dir)), fd_(std::move(fd)) {}
  base::Result<base::Fd> open_blob(const BlobDigest& digest) const;

  base::HostPath dir_;
  base::Fd fd_;
};

}  // namespace cairn::solver
