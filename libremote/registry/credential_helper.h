// SPDX-License-Identifier: Apache-2.0
// The programs that keep what users are logged in with: docker-credential-NAME, which is asked over its standard streams.
#pragma once

#include <chrono>
#include <string>

#include "libbase/result.h"

namespace cairn::remote {

struct HelperAnswer {
  std::string user, secret;  // both empty: it keeps nothing for this address
};

// Asks the helper of this name for an address as `docker login` knows it. Errors: invalid_argument (no name of a
// program), unavailable. Messages hold nothing that it may have said of a secret.
base::Result<HelperAnswer> ask_credential_helper(const std::string& name, const std::string& address,
                                                 std::chrono::milliseconds time_max);

}  // namespace cairn::remote
