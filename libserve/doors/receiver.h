// SPDX-License-Identifier: Apache-2.0
// A value on its way into the store, piece by piece, packed or not.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "libbase/compress/decoder.h"
#include "libcache/blob_store.h"
#include "libserve/doors/values.h"

namespace cairn::serve {

// Not thread-safe. Dropped before finish(), it leaves nothing.
class Receiver {
 public:
  virtual ~Receiver() = default;
  virtual base::Status write(std::string_view piece) = 0;  // no_space, io
  // Once. Errors: corrupt (other bytes than its name says, or of another size), invalid_argument (more than a value may
  // have), no_space, io.
  virtual base::Result<cache::BlobStore::Put> finish() = 0;
};

// size, expected: of what is not packed, if they are known. Errors: io.
base::Result<std::unique_ptr<Receiver>> make_receiver(Intake& intake, std::optional<cache::NamespaceId> space,
                                                      base::Compression packed, std::optional<std::uint64_t> size,
                                                      std::optional<BlobDigest> expected);

}  // namespace cairn::serve
