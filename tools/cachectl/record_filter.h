// SPDX-License-Identifier: Apache-2.0
// --filter, for whatever lists records: containerd's grammar with BuildKit's fields (libcache/policy.h), and until=AGE. Given
// several times, a record matches that matches one of them.
#pragma once

#include <functional>

#include "libcache/policy.h"
#include "tools/cachectl/verb.h"

namespace cairn::cachectl {

CLI::Option* add_filters(CLI::App& verb, std::vector<std::string>& filters);
base::Result<std::vector<cache::RecordFilter>> parse_filters(const std::vector<std::string>& texts);

// Every record that matches, in the order of numbers, read beside the owner. visit must not write output.
base::Status each_matching(const GlobalOptions& global, const std::vector<cache::RecordFilter>& filters,
                           const std::function<void(const cache::RecordInfo&)>& visit);

}  // namespace cairn::cachectl
