// SPDX-License-Identifier: Apache-2.0
// Which entry a key of Redis is: whose it is is told by its form.
#pragma once

#include <string_view>

#include "libcache/entry_store.h"

namespace cairn::serve {

inline constexpr unsigned databases = 16;
std::string instance_of_database(unsigned database);  // 0: "", else its number

// ccache:KEY is ccache's KEY, as over HTTP; A/B/C/HASH with the hash's first digits before it, and .sccache_check, are
// sccache's; others are of the door "redis". Database 0 has no name of an instance, others are the instances "1" and so
// on. Errors: invalid_argument (empty, longer than a key of an entry may be, or other characters than those of ASCII
// that one can see).
base::Result<cache::EntryName> entry_of_key(unsigned database, std::string_view key);
// "ccache", "sccache" or "redis"; a literal.
std::string_view door_of_key(std::string_view key);

}  // namespace cairn::serve
