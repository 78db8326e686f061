// SPDX-License-Identifier: Apache-2.0
// The programs that keep what users are logged in with: docker-credential-NAME, which is asked over its standard streams.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "libbase/result.h"

namespace cairn::remote {

struct HelperAnswer {
  std::string user, secret;  // both empty: it keeps nothing for this address
};

// What a helper says that has done well. Errors: unavailable; the message holds nothing of it.
base::Result<HelperAnswer> parse_helper_answer(std::string_view json);
// Of what one says that has failed, what may be told: one line of at most 200 bytes, or nothing if that may be an answer.
std::string helper_reason(std::string_view said);

// Asks the helper of this name for an address as `docker login` knows it. Errors: invalid_argument (no name of a
// program), unavailable. Messages hold nothing that it may have said of a secret.
base::Result<HelperAnswer> ask_credential_helper(const std::string& name, const std::string& address,
                                                 std::chrono::milliseconds time_max);

}  // namespace cairn::remote
