// SPDX-License-Identifier: Apache-2.0
// Bytes that the owner of a store reads, on their way to standard output.
#pragma once

#include "tools/cachectl/command.h"
#include "tools/engine/files.h"

namespace cairn::cachectl {

// In pieces, each of which is written before the next is asked for. Ends without an error when nobody reads any more.
base::Status write_from_store(const GlobalOptions& global, const engine::FileOrder& order);

}  // namespace cairn::cachectl
