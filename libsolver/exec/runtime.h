// SPDX-License-Identifier: Apache-2.0
// The OCI runtime that runs here, and what it says about a container that it could not start.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/path.h"
#include "libbase/result.h"

namespace cairn::solver {

// private_v2: cgroup2 is mounted over /sys/fs/cgroup in the runtime's own mount namespace, because the runtime does not
// accept what the host has there (crun 1.8 refuses the hybrid layout).
enum class CgroupView { host, private_v2 };

struct Runtime {
  std::string name;     // "crun", "runc"
  base::HostPath path;  // of its program
  CgroupView cgroups = CgroupView::host;
  bool is_crun() const { return name == "crun"; }
};

// Searches PATH and the sbin folders; a text with a slash is taken as a path. Errors: unavailable.
base::Result<base::HostPath> find_program(std::string_view name);
base::Result<Runtime> find_runtime(std::string_view name);

// The command line that runs the bundle to its end.
std::vector<std::string> runtime_command(const Runtime& runtime, const std::string& bundle, const std::string& id);

// The error that a runtime reports, or nullopt if it reports none: then the exit code is the program's own. Most of
// them are in its log (one JSON object a line); that the kernel refused to execute the program is written where the
// program's errors go, so said is all output of the step if there was little. A program that cannot be started or a cwd
// that cannot be entered is invalid_argument.
std::optional<base::Error> runtime_error(const Runtime& runtime, std::string_view log, std::string_view said,
                                         std::string_view program);

}  // namespace cairn::solver
