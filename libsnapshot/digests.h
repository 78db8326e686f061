// SPDX-License-Identifier: Apache-2.0
// The digests of layers. Three meanings that are easily mixed up: the bytes as stored, the bytes uncompressed, and a
// chain of layers.
#pragma once

#include "libbase/digest.h"

namespace cairn {

using BlobDigest = base::Digest<struct BlobMeaning>;  // bytes as stored
using DiffId = base::Digest<struct DiffIdMeaning>;    // an uncompressed layer tar
using ChainId = base::Digest<struct ChainIdMeaning>;  // a chain of layers (OCI image spec; spec/storage 4.1)

// ChainId of the chain `parent` (zero: none) with `diff` on top: diff itself, or sha256(parent " " diff).
ChainId chain_id(const ChainId& parent, const DiffId& diff);

}  // namespace cairn
