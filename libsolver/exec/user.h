// SPDX-License-Identifier: Apache-2.0
// Who a step runs as: a user text of the definition, resolved with the passwd and group files of the step's root. The
// files are untrusted; lines that do not parse are skipped, as the C library does.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/result.h"

namespace cairn::solver {

struct StepUser {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::vector<std::uint32_t> groups;  // supplementary; the primary group is always the first
  std::string home = "/";             // as passwd says, if it knows the user
};

// text: "", "name", "uid", "uid:gid", "name:group". "" is uid 0 and its groups. A number that passwd does not know is
// taken as it is, with group 0. Errors: invalid_argument (no such user or group, number out of range). spec/solver 6.2.
base::Result<StepUser> resolve_user(std::string_view text, std::string_view passwd, std::string_view group);

// The same with /etc/passwd and /etc/group read beneath a root (at most 10 MiB each; a missing one is empty).
base::Result<StepUser> resolve_user_in(int root, std::string_view text);

// The number of a group, given by name or number, with /etc/group read beneath a root.
base::Result<std::uint32_t> resolve_group_in(int root, std::string_view text);

}  // namespace cairn::solver
