// SPDX-License-Identifier: Apache-2.0
// Archives that a copy unpacks: tar, plain or compressed with gzip, zstd, xz or bzip2.
#pragma once

#include <optional>
#include <stop_token>

#include "libsolver/files/places.h"

namespace cairn::solver {

// Whether an open file begins as a tar does, decompressed if need be; it is read from its start. Errors: unavailable
// ("not supported: …": a name that would be a whiteout if this were a layer).
base::Result<bool> is_archive(int file);

// Unpacks it into an open directory, which is the root of all that it holds: no name and no link in it leads out. What is
// there is replaced as by a layer. owner: of everything that is made, instead of what the archive says.
// Errors: corrupt, invalid_argument (an absolute name, or one that steps up), cancelled, no_space, io.
base::Status unpack(int file, int directory, std::optional<Ownership> owner, std::stop_token stop);

}  // namespace cairn::solver
