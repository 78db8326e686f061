// SPDX-License-Identifier: Apache-2.0
// A certificate that signs itself, for a server of a test.
#pragma once

#include <string>

#include <gtest/gtest.h>

#include "tests/e2e/program.h"

namespace cairn::test {

// name: "DNS:localhost", "IP:127.0.0.1".
inline void make_certificate(const base::HostPath& dir, const std::string& name, const base::HostPath& key,
                             const base::HostPath& certificate) {
  const auto made =
      run_program(dir, {"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                        "-nodes", "-days", "2", "-subj", "/CN=cairn", "-addext", "subjectAltName=" + name, "-keyout",
                        key.str(), "-out", certificate.str()});
  EXPECT_EQ(made.code, 0) << made.err;
}

}  // namespace cairn::test
