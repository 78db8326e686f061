// SPDX-License-Identifier: Apache-2.0
// The seal of a tree: a checksum over what a snapshot has on disk for itself, names, owners, modes, times, all extended
// attributes (the marks of overlayfs too) and bytes. It is the name of the page that the directory would have
// (docs/formats/tree-digest.md), except that no page says which names are one inode: a merge may give a file more names
// in other trees, and that changes no seal.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>

#include "libbase/digest.h"
#include "libcache/pages/page.h"

namespace cairn::cache {

using TreeSeal = base::Digest<struct TreeSealMeaning>;

// What seals are made by. A row that says another number is no seal any more, and gives way to a new one.
inline constexpr std::uint8_t seal_rules = 1;

struct SealOptions {
  std::function<void(std::uint64_t bytes)> read = {};  // told of the bytes of files as they are read; it may wait
  PageSink pages = {};                                 // takes the pages that the seal is the name of
  std::stop_token stop = {};
};

// Of the directory at this descriptor, on the calling thread. O(entries and bytes). Errors: io (it cannot be read, or
// changes meanwhile: a hard link to one of its files is a change), busy, cancelled.
base::Result<TreeSeal> seal_of(int directory, const SealOptions& options);

// Whether what `own` (the page of a snapshot's own directory) holds is what `whole` (the page of the whole tree, made when
// its bytes came in) says, as far as both tell: files without marks, links and devices. What is missing is not noticed,
// for a tree may have the rest from below. Gives the path of the first that differs; empty: none does.
base::Result<std::string> first_difference(const PageName& own, const PageLoad& read_own, const PageName& whole,
                                           const PageLoad& read_whole);

}  // namespace cairn::cache
