// SPDX-License-Identifier: Apache-2.0
// A tier on a server of the test.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libremote/reapi_tier.h"
#include "tests/conformance/remote_tier_calls.h"
#include "tests/libremote_reapi/reapi_double.h"

namespace cairn::remote {

inline const cache::EntryName entry_name{.door = "bazel", .key = std::string(64, 'a')};

inline std::string action_result(const std::string& output) {
  test::reapi::ActionResult result;
  result.set_stdout_raw(output);
  return result.SerializeAsString();
}

inline std::unique_ptr<cache::RemoteTier> tier_on(const test::ReapiDouble& server,
                                                  ReapiTierOptions options = {.address = ""}) {
  options.address = "grpc://" + server.address();
  return std::move(make_reapi_tier(std::move(options)).value());
}

}  // namespace cairn::remote
