// SPDX-License-Identifier: Apache-2.0
// The attributes of a source op, read as Go reads them.
#pragma once

#include <cstdint>
#include <string>

#include "libbase/result.h"
#include "libsolver/cache_map.h"
#include "libsolver/wire/ops.h"

namespace cairn::solver {

// Null if it is not there.
const std::string* find_attr(const wire::SourceOp& source, const std::string& name);
// "" if it is not there.
std::string attr_text(const wire::SourceOp& source, const std::string& name);
// Go's strconv.ParseBool; absent: false. Errors of all: invalid_argument, naming the attribute.
base::Result<bool> bool_attr(const wire::SourceOp& source, const std::string& name);
// Go's strconv.ParseInt with base 0: 0x, 0o, 0b and a leading 0 choose the base. Absent: 0.
base::Result<std::int64_t> int_attr(const wire::SourceOp& source, const std::string& name);
// How many layers of an image are wanted; absent: 0, all of them.
base::Result<std::int64_t> layer_limit_attr(const wire::SourceOp& source, const std::string& name);
// A list attribute as Go prints it back: null if the attribute is not there.
base::Result<std::string> list_json_attr(const wire::SourceOp& source, const std::string& name);

// The map of a source, by the key of its kind; and how a key hashes a text.
CacheMap source_map(std::string_view key);
std::string hash_text(std::string_view text);

}  // namespace cairn::solver
