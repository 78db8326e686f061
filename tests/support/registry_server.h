// SPDX-License-Identifier: Apache-2.0
// A real registry (the program docker-registry) on the loopback, with a folder of its own, and what puts images into it.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "libbase/path.h"
#include "tests/support/temp_dir.h"

namespace cairn::test {

class RegistryServer {
 public:
  enum class Access { anonymous, basic };  // basic: cairn, secret
  // What it speaks TLS with, in PEM.
  struct Tls {
    base::HostPath key, certificate;
  };
  explicit RegistryServer(Access access = Access::anonymous, std::optional<Tls> tls = {});  // aborts if it does not start
  ~RegistryServer();
  RegistryServer(const RegistryServer&) = delete;
  RegistryServer& operator=(const RegistryServer&) = delete;

  std::string host() const { return host_; }  // 127.0.0.1:PORT
  // Pushes all blobs of an OCI layout, and everything that its index.json names under its tag; documents (manifests and
  // indexes) by their digests, too.
  void push(const base::HostPath& layout, const std::string& repository) const;

  static constexpr const char* credentials = "cairn:secret";

 private:
  TempDir dir_;
  std::optional<Tls> tls_;
  pid_t pid_ = -1;
  std::string host_;
};

}  // namespace cairn::test
