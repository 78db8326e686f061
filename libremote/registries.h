// SPDX-License-Identifier: Apache-2.0
// Registries over HTTP: the OCI distribution protocol, pull and push, with anonymous, basic and token authentication.
// https, or http to this machine (localhost, 127.x.x.x, [::1]).
#pragma once

#include <chrono>
#include <memory>

#include "libcache/fetcher.h"
#include "libcache/registry.h"

namespace cairn::remote {

struct RegistryOptions {
  // Of requests that a registry refuses for now (429, 5xx) or that break off; pauses double up to pause_max, or are what
  // the registry asks for, up to asked_pause_max.
  int tries = 5;
  std::chrono::milliseconds pause{250}, pause_max{8'000}, asked_pause_max{60'000};
};

// The fetcher outlives it.
std::unique_ptr<cache::Registries> make_registries(cache::Fetcher& fetcher, RegistryOptions options = {});

}  // namespace cairn::remote
