// SPDX-License-Identifier: Apache-2.0
// Writes OCI layouts for tests: right ones in one call, and the pieces from which wrong ones are made. Everything here
// aborts the test program if the disk refuses.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "libbase/compress/decoder.h"
#include "libbase/path.h"
#include "libsnapshot/digests.h"

namespace cairn::test {

enum class MediaTypes { oci, docker };

struct ImageSpec {
  std::vector<std::string> layer_tars;  // uncompressed, lowest first
  std::vector<std::string> env;         // "K=V"
  base::Compression compression = base::Compression::gzip;
  MediaTypes media_types = MediaTypes::oci;
  std::string os = "linux", architecture = "amd64", variant;
  std::string made_by = {};  // what the history says of each layer; "": it says nothing
};

// What an index says of a blob.
struct Described {
  BlobDigest digest;
  std::size_t size = 0;
  std::string media_type;
  std::string os, architecture, variant;  // all empty: no platform is given
  std::string tag;                        // org.opencontainers.image.ref.name
  bool attestation = false;
};

// A layout in dir (made if missing) with this image, which index.json names `tag`. Returns the manifest's digest.
BlobDigest write_layout(const base::HostPath& dir, const ImageSpec& image, std::string_view tag = "latest");

// The pieces. begin_layout writes `oci-layout`; images are blobs that index.json does not know yet.
void begin_layout(const base::HostPath& dir);
BlobDigest put_blob(const base::HostPath& dir, std::string_view bytes);
Described put_image(const base::HostPath& dir, const ImageSpec& image);
std::string index_json(const std::vector<Described>& entries, MediaTypes media_types = MediaTypes::oci);
Described put_index(const base::HostPath& dir, const std::vector<Described>& entries,
                    MediaTypes media_types = MediaTypes::oci);
void write_index_json(const base::HostPath& dir, const std::vector<Described>& entries);

// The tar of everything in a directory, as the program `tar` makes it, with numeric owners.
std::string tar_of(const base::HostPath& dir);

void write_text(const base::HostPath& file, std::string_view bytes);

}  // namespace cairn::test
