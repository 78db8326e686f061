// SPDX-License-Identifier: Apache-2.0
// The two files that a policy is read from, as tables.
#pragma once

#include "libcache/policy.h"
#include "libcache/policy/toml_table.h"

namespace cairn::cache {

bool is_buildkit_policy(const TomlTable& document);
base::Result<Policy> read_buildkit_policy(TomlTable document);
base::Result<Policy> read_own_policy(TomlTable document);

// The filters of a rule; an `until` in any of them becomes the rule's age. Errors name the field.
base::Status read_filters(TomlTable& table, std::string_view key, PolicyRule& rule);

// What the reader of a policy should know of its rules.
void note_risks(Policy& policy);
// A last rule with a ceiling for everything, unless one of the rules is that already.
void add_backstop(Policy& policy);

}  // namespace cairn::cache
