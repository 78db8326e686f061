// SPDX-License-Identifier: Apache-2.0
// Which file systems a store can lie on. The metadata are a shared map with locks of one kernel, so a network file system,
// which other machines write to behind its back, is refused. On an overlay no overlay can be stacked: trees are copied
// there, and the probe of the drivers says so.
#pragma once

#include <string>

#include "libbase/path.h"
#include "libbase/result.h"

namespace cairn::engine {

struct Backing {
  enum class Fit : std::uint8_t { good, slower, refused };
  Fit fit = Fit::good;
  std::string name;  // "ext4", "nfs", or the number as statfs gives it
  std::string why;   // unless good: one line
};

// f_type as statfs(2) gives it.
Backing judge_backing(std::uint64_t f_type);
// Of the directory, or the nearest one above it that exists. Errors: io.
base::Result<std::uint64_t> file_system_type(const base::HostPath& path);

}  // namespace cairn::engine
