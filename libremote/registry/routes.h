// SPDX-License-Identifier: Apache-2.0
// Where requests to a registry go.
#pragma once

#include <string>

#include "libremote/registries.h"

namespace cairn::remote {

// "https://host", or "http://host" of this machine or where that is said.
std::string registry_url(const std::string& host, RegistryRoute::Scheme scheme = RegistryRoute::Scheme::usual);

}  // namespace cairn::remote
