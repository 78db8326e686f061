// SPDX-License-Identifier: Apache-2.0
// s3rver, a server of S3's protocol that others wrote, with a bucket "cache". It is of scripts/setup.
#pragma once

#include "tests/libremote/started_server.h"

namespace cairn::remote {

inline constexpr const char* s3rver_key = "S3RVER";  // and secret

// `said()` is its port.
struct StartedS3rver {
  test::StartedServer server{{CAIRN_SOURCE_DIR "/build/clients/node_modules/.bin/s3rver", "--directory", "{dir}",
                              "--address", "127.0.0.1", "--port", "0", "--configure-bucket", "cache"},
                             "listening on 127.0.0.1:"};
};

}  // namespace cairn::remote
