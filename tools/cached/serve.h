// SPDX-License-Identifier: Apache-2.0
// The doors of one store, from their start to the end of what they have begun.
#pragma once

#include "tools/cached/config.h"

namespace cairn::cached {

// Of all threads that are made later: they are for the one that waits in serve().
void block_ending_signals();

// Until a signal ends it. Errors: invalid_argument (an address), busy (the store or an address), io.
base::Status serve(Config config);

}  // namespace cairn::cached
