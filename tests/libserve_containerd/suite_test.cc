// SPDX-License-Identifier: Apache-2.0
// The conformance suite's cases about trees, over the socket: prepared, mounted as the server says, committed, looked at
// through views, removed.
#include "tests/conformance/snapshotter_suite_trees.h"
#include "tests/libserve_containerd/socket_snapshotter.h"

namespace cairn::snapshot {
namespace {

const bool over_the_socket = [] {
  other_snapshotters() = serve::make_socket_snapshotter;
  return true;
}();

}  // namespace

INSTANTIATE_TEST_SUITE_P(OverTheSocket, SnapshotterSuite, testing::Values("overlay", "native"),
                         [](const auto& about) { return about.param; });

}  // namespace cairn::snapshot
