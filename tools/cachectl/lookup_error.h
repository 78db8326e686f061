// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tools/cachectl/command.h"

namespace cairn::cachectl {

// As report_lookup_error() of the error alone, where the error may be one of opening the store, which is none of the name's.
inline ExitCode report_lookup_error(const GlobalOptions& global, const base::Error& error) {
  const auto options = store_options(global);
  const bool store_is_good = options && engine::open_read_only(options->engine.root);
  return store_is_good ? report_lookup_error(error) : report_error(error);
}

}  // namespace cairn::cachectl
