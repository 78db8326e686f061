// SPDX-License-Identifier: Apache-2.0
// Pieces of the text format of Prometheus.
#pragma once

#include <string>
#include <string_view>

namespace cairn::cache {

std::string metric_label(std::string_view text);  // as a label's value is written
std::string metric_family(std::string_view name, std::string_view type, std::string_view help,
                          const std::string& samples);

}  // namespace cairn::cache
