// SPDX-License-Identifier: Apache-2.0
// What the process of a step is given, whatever sandbox it runs in: checked texts, its environment, its limits, its files.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "libsolver/exec/user.h"
#include "libsolver/executor.h"

namespace cairn::solver {

// Errors: invalid_argument (a text that no process can be given, a ulimit that there is not, an id that is none).
base::Status check_request(const ExecRequest& request);

// The request's, with a PATH and a HOME.
std::vector<std::string> step_environment(const ExecRequest& request, const StepUser& user);

// The request's, and none of its memory in a core file unless it asks for one: a step that dies would leave its secrets in
// its tree. Where the kernel hands cores to a program (core_pattern(5)), only a limit of one byte keeps it from that.
std::vector<ExecUlimit> step_ulimits(const ExecRequest& request);

// RLIMIT_… of getrlimit(2); -1: there is none of this name.
int ulimit_number(std::string_view name);

// The generated files of a step.
std::string hosts_file(const ExecRequest& request);
std::string_view step_hostname(const ExecRequest& request);

}  // namespace cairn::solver
