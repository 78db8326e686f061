// SPDX-License-Identifier: Apache-2.0
// What a record added to its parent, as a layer: one diff, named by the SHA-256 of its tar, and the blobs that hold it,
// one for each compression that somebody asked for. A record whose tree is not here yet has blobs instead, which may be
// elsewhere: it is *lazy*.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>

#include "libbase/compress/decoder.h"
#include "libbase/lmdb/group_writer.h"
#include "libbase/result.h"
#include "libsnapshot/digests.h"

namespace cairn::cache {

struct LayerBlob {
  BlobDigest blob;
  std::uint64_t size = 0;  // of the blob
  base::Compression compression = base::Compression::gzip;
  DiffId diff;
  base::lmdb::SequenceNumber sequence = 0;  // to wait for; 0: durable
};

// A layer that somebody says exists: pulled when its tree is needed.
struct LazyLayer {
  DiffId diff;       // what the tar must turn out to be
  BlobDigest blob;   // what has it
  std::uint64_t size = 0;
  base::Compression compression = base::Compression::gzip;
};

// Gives the bytes of a blob that is not here. They are compared with its name. Called on several threads at once; a stop
// request ends what it gives, too.
using BlobProvider = std::function<base::Result<std::unique_ptr<base::ByteSource>>(const BlobDigest&, std::stop_token)>;

}  // namespace cairn::cache
