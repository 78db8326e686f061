// SPDX-License-Identifier: Apache-2.0
// Opens a store of libsnapshot as its owner would after a power cut, and says what is wrong with it.
#pragma once

#include <vector>

#include "tests/e2e/power/events.h"
#include "tests/e2e/power/image_check.h"
#include "tests/e2e/power/power_store.h"

namespace cairn::test {

// Rows and trees against the report of the workload, rows against directories; then erases the trash, commits a
// snapshot, and opens once more.
std::vector<Violation> check_snapshots(const base::HostPath& root, const Expected& expected,
                                       const StoreOptions& options);

}  // namespace cairn::test
