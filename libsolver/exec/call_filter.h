// SPDX-License-Identifier: Apache-2.0
// The system calls that no step in the sandbox may make (seccomp): those that reach what namespaces and capabilities do not
// divide (keyrings, the kernel's tracing and program loading, its rings of asynchronous calls), those that make namespaces in
// which a step would have powers again, and those that are for the machine and not for a build.
//
// They are the ones that Docker's documentation lists as blocked for containers without CAP_SYS_ADMIN ("Seccomp security
// profiles"), and what joined them since. All else is allowed: docs/decisions/0024.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "libbase/result.h"

namespace cairn::solver {

// "linux.seccomp" of an OCI config.
nlohmann::json refused_calls_for_runtime();

// The filter as the kernel's instructions (struct sock_filter), for who loads it himself. Also calls of the machine's other
// ABIs go through it (32 bits on a machine of 64). Errors: unavailable (libseccomp cannot say it), io.
base::Result<std::string> refused_calls_program();

}  // namespace cairn::solver
