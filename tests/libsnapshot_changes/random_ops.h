// SPDX-License-Identifier: Apache-2.0
// Random changes to a tree, as a user's programs make them. An operation that makes no sense where the tree is (to write
// into a directory, to rename what is not there) does nothing, so that any sequence can be shortened to a smaller one.
#pragma once

#include <rapidcheck.h>

#include <iosfwd>
#include <vector>

#include "tests/libsnapshot_changes/trees.h"

namespace cairn::snapshot {

enum class OpKind {
  write, append, truncate, rewrite_same_time, open_for_writing, remove, rename, link, symlink, chmod, chown, set_xattr,
  remove_xattr, set_acl, set_capability, mkdir, make_again, set_time, device, fifo, socket, count
};

struct Op {
  OpKind kind = OpKind::write;
  unsigned path = 0, other = 0;  // of the few paths that there are, so that operations meet
  unsigned number = 0;           // what is written, which mode, owner, time...
};
using Ops = std::vector<Op>;

std::ostream& operator<<(std::ostream& out, const Op& op);
void run(const Ops& ops, const TreeAt& tree);
rc::Gen<Ops> random_ops(std::size_t count_max);

// Runs a property and fails the test if it does not hold; the output has the smallest counterexample and the seed, which
// RC_PARAMS="seed=…" takes. `times` runs, or ten times as many with CAIRN_TEST_FULL=1.
void check_property(const char* what, int times, const std::function<void()>& property);

}  // namespace cairn::snapshot

template <>
struct rc::Arbitrary<cairn::snapshot::Op> {
  static rc::Gen<cairn::snapshot::Op> arbitrary();
};
