// SPDX-License-Identifier: Apache-2.0
// Large blobs to and from a server, as streams of messages: no more than some of them is in memory.
#pragma once

#include <memory>

#include "libremote/reapi/peer.h"

namespace cairn::remote {

// The bytes as they arrive, of this size or corrupt. nullptr: it has none.
base::Result<std::unique_ptr<base::ByteSource>> read_stream(Peer& peer, const cache::SizedBlob& blob,
                                                            base::Compression compression, const cache::TierCall& call);

// Ok: the server has it. It is compressed if `compression` says so and its first bytes become fewer by that. Errors:
// those of a tier, corrupt (the source has more or fewer bytes), and those of the source.
base::Status write_stream(Peer& peer, const cache::SizedBlob& blob, base::ByteSource& source,
                          base::Compression compression, const cache::TierCall& call);

}  // namespace cairn::remote
