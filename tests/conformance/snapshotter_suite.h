// SPDX-License-Identifier: Apache-2.0
// The conformance suite of libsnapshot/snapshotter.h, whole. A runner names the drivers:
// INSTANTIATE_TEST_SUITE_P(Drivers, SnapshotterSuite, testing::ValuesIn(names)).
// What a tree looks like through forks is in snapshotter_suite_trees.h, the life of snapshots, restarts and deep chains are in snapshotter_suite_life.h, merges in snapshotter_suite_stack.h,
// labels, walks and views in snapshotter_suite_look.h, the rest of the field's cases in snapshotter_suite_field.h, trees that are lent in
// snapshotter_suite_lent.h. Each of
// them has a suite of its own, to be instantiated alike: SnapshotterStackSuite, SnapshotterLookSuite, SnapshotterFieldSuite, SnapshotterLentSuite, and for what goes on in the
// background and the space of it all (snapshotter_suite_space.h, snapshotter_suite_squash.h) SnapshotterSpaceSuite.
#pragma once

#include "tests/conformance/snapshotter_fixture.h"
#include "tests/conformance/snapshotter_suite_field.h"
#include "tests/conformance/snapshotter_suite_lent.h"
#include "tests/conformance/snapshotter_suite_life.h"
#include "tests/conformance/snapshotter_suite_look.h"
#include "tests/conformance/snapshotter_suite_space.h"
#include "tests/conformance/snapshotter_suite_squash.h"
#include "tests/conformance/snapshotter_suite_stack.h"
#include "tests/conformance/snapshotter_suite_trees.h"
