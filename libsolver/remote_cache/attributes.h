// SPDX-License-Identifier: Apache-2.0
// What orders of BuildKit's clients say: "type=…,name=value,…", by attribute (--cache-to, --output).
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "libbase/compress/decoder.h"
#include "libbase/result.h"

namespace cairn::solver {

using Attributes = std::map<std::string, std::string>;

std::string value_of(const Attributes& attributes, const std::string& name, const std::string& otherwise = "");
// Errors of all: invalid_argument.
base::Status expect_known(const Attributes& attributes, const std::set<std::string_view>& known);
// "true" and "1", "false" and "0".
base::Result<bool> flag_of(const Attributes& attributes, const std::string& name, bool otherwise);
base::Result<base::Compression> parse_compression(const std::string& name);

}  // namespace cairn::solver
