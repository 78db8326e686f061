// SPDX-License-Identifier: Apache-2.0
// Writes OCI image layouts: a blob is there whole or not at all, and is there before index.json names it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "libbase/compress/decoder.h"
#include "libbase/fs/fd.h"
#include "libbase/path.h"
#include "libbase/result.h"
#include "libsnapshot/digests.h"

namespace cairn::solver {

inline constexpr const char* oci_index_type = "application/vnd.oci.image.index.v1+json";
inline constexpr const char* oci_manifest_type = "application/vnd.oci.image.manifest.v1+json";
inline constexpr const char* layout_name_annotation = "org.opencontainers.image.ref.name";
inline constexpr const char* image_name_annotation = "io.containerd.image.name";
inline constexpr const char* oci_layout_version = R"({"imageLayoutVersion":"1.0.0"})";

// Copies a blob, compared with its name while it is. sink: takes its bytes in order. Errors: corrupt, cancelled, those of both.
base::Status copy_blob(const BlobDigest& digest, base::ByteSource& from,
                       const std::function<base::Status(std::span<const std::byte>)>& sink, const std::stop_token& stop);

// Thread-safe, one name at a time. The directory is made when something is written.
class OciLayoutWriter {
 public:
  explicit OciLayoutWriter(base::HostPath dir) : dir_(std::move(dir)) {}
  const base::HostPath& dir() const { return dir_; }

  bool has_blob(const BlobDigest& digest, std::uint64_t size) const;
  // Puts a blob there, durably, if it is not; whether it was new.
  using OpenBlob = std::function<base::Result<std::unique_ptr<base::ByteSource>>(std::uint64_t offset)>;
  base::Result<bool> put_blob(const BlobDigest& digest, std::uint64_t size, const OpenBlob& open, std::stop_token stop);
  base::Result<bool> put_text(const BlobDigest& digest, const std::string& text, std::stop_token stop);

  // Nobody else names anything while it is open.
  base::Result<base::Fd> lock() const;
  // Has index.json list a descriptor (a JSON object) under each name, which stands for nothing else any more; what else
  // is listed stays. The caller holds the lock.
  struct Entry {
    std::string name, descriptor;
  };
  base::Status name(const std::vector<Entry>& entries) const;

 private:
  base::HostPath blob_path(const BlobDigest& digest) const { return dir_ / ("blobs/sha256/" + digest.hex()); }
  base::Status make_layout() const;

  const base::HostPath dir_;
};

}  // namespace cairn::solver
