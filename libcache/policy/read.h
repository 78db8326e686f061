// SPDX-License-Identifier: Apache-2.0
// The two files that a policy is read from, as tables.
#pragma once

#include "libbase/toml/toml_table.h"
#include "libcache/policy.h"

namespace cairn::cache {

bool is_buildkit_policy(const base::TomlTable& document);
base::Result<Policy> read_buildkit_policy(base::TomlTable document);
base::Result<Policy> read_own_policy(base::TomlTable document);

// The filters of a rule; an `until` in any of them becomes the rule's age. Errors name the field.
base::Status read_filters(base::TomlTable& table, std::string_view key, PolicyRule& rule);

// What the reader of a policy should know of its rules.
void note_risks(Policy& policy);
// A last rule with a ceiling for everything, unless one of the rules is that already.
void add_backstop(Policy& policy);

}  // namespace cairn::cache
