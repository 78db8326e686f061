// SPDX-License-Identifier: Apache-2.0
// One function per kind of op that can answer without I/O, and what they share.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "libsolver/cache_map.h"

namespace cairn::solver {

// A map whose digest is the hash of `hashed`.
CacheMap hashed_cache_map(std::string hashed);

base::Result<CacheMap> exec_cache_map(const Vertex& vertex, const wire::ExecOp& exec);
base::Result<CacheMap> file_cache_map(const Vertex& vertex, const wire::FileOp& file);
base::Result<CacheMap> source_cache_map(const Vertex& vertex, const wire::SourceOp& source, std::string_view session);

// What of an exec step counts: without what may differ between two builds of the same thing. As many mounts as it has.
wire::ExecOp counted_of(wire::ExecOp exec);
// Numbers that follow from the order of the actions are left out of the key: a chain over input 0, reading input 1,
// whose last action is the result.
bool has_default_indexes(const std::vector<wire::FileAction>& actions);

// The digest of selectors: of the paths joined by NUL, as they stand.
SelectorDigest selector_digest(const std::vector<std::string>& paths);

// Go's path.Join("/", path) and path.Base(path).
std::string rooted_path(std::string_view path);
std::string path_base(std::string_view path);
// Sorted, each once, without those that lie below another one. O(n log n) in the number of paths.
std::vector<std::string> dedupe_paths(const std::vector<std::string>& paths);
// Has it `*`, `?` or `[` that no backslash takes away?
bool has_wildcard(std::string_view path);

}  // namespace cairn::solver
