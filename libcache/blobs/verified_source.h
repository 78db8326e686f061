// SPDX-License-Identifier: Apache-2.0
// Reads a blob's file and compares it with its name at the end (I2).
#pragma once

#include "libbase/compress/decoder.h"
#include "libbase/fs/fd.h"
#include "libbase/hash/sha256.h"
#include "libsnapshot/digests.h"

namespace cairn::cache {

class VerifiedSource final : public base::ByteSource {
 public:
  VerifiedSource(base::Fd file, const BlobDigest& digest) : file_(std::move(file)), digest_(digest) {}
  // Errors: io; corrupt instead of the end if the bytes were not the blob.
  base::Result<std::size_t> read(std::span<std::byte> out) override;

 private:
  base::Fd file_;
  BlobDigest digest_;
  base::Sha256 hash_;
  bool ended_ = false;
};

// The digest of all bytes of the file, from its beginning.
base::Result<BlobDigest> digest_file(int file);

}  // namespace cairn::cache
