// SPDX-License-Identifier: Apache-2.0
// Edits of a tree as a program or a person might make them, in an order made from a seed. What cannot be done where the
// tree stands does nothing, so that any part of a list is a list again, and a failing one can be made shorter.
#pragma once

#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

namespace cairn::cache {

enum class EditKind : std::uint8_t {
  write,      // make a file, or give it other bytes
  write_back, // other bytes of the same size under the same mtime
  chmod,      // of a file or a directory
  chown,
  touch,
  rename,
  exchange,
  hard_link,
  symlink,    // make one, or point it elsewhere
  make_dir,
  remove,     // with all that is in it
  remake,     // remove a directory and make it anew, with one file in it
  xattr,
  node,       // a FIFO or a device
  last = node
};

struct Edit {
  EditKind kind = EditKind::write;
  std::string path, other;
  std::uint32_t value = 0;
};

Edit random_edit(std::mt19937_64& random);
// top: a directory of this machine, maybe by /proc/self/fd.
void apply_edit(const Edit& edit, const std::string& top);
std::string to_string(const Edit& edit);

// The shortest list that this finds, by leaving out parts of it, for which `fails` is still true.
using Rounds = std::vector<std::vector<Edit>>;
Rounds shrink(Rounds rounds, const std::function<bool(const Rounds&)>& fails);
std::string to_string(const Rounds& rounds);

}  // namespace cairn::cache
