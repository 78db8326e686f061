// SPDX-License-Identifier: Apache-2.0
// Applies an OCI layer (a tar, maybe compressed) to a mounted tree, with all its metadata: owners, modes, times, xattrs,
// hard links, devices, fifos, whiteouts and opaque directories (spec/storage 4.6). A layer is hostile input: names
// that are absolute or step up are refused, everything is opened beneath the tree, and no link leads out of it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>

#include "libbase/compress/decoder.h"
#include "libbase/result.h"
#include "libsnapshot/digests.h"
#include "libsnapshot/snapshotter.h"

namespace cairn::snapshot {

struct ApplyOptions {
  std::uint64_t unpacked_max = 1ull << 40;  // bytes of tar; more is invalid_argument
  std::uint64_t entries_max = 50'000'000;
  std::function<void(std::uint64_t bytes_read)> progress;  // compressed bytes consumed so far; may be empty
  std::stop_token stop;
};
struct Applied {
  BlobDigest blob;          // of the compressed bytes read, to their end
  std::uint64_t blob_bytes = 0;
  DiffId diff;              // of the uncompressed tar, to its end
  std::uint64_t entries = 0;
};

// Applies `layer` onto tree (mounted read_write). The compression is detected. Afterwards the tree holds what the layer
// says; on an error it holds part of it and the caller abandons it. The caller compares the digests.
// Errors: corrupt (damaged tar or compression), invalid_argument (hostile entry, named; or over a limit), no_space,
// cancelled, io.
base::Result<Applied> apply_layer(const MountedTree& tree, std::unique_ptr<base::ByteSource> layer,
                                  const ApplyOptions& options);

}  // namespace cairn::snapshot
