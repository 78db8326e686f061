// SPDX-License-Identifier: Apache-2.0
// A server of the Remote Execution API, version 2 (cached, bazel-remote, buildbox-casd), as a tier over gRPC: blobs in
// its ContentAddressableStorage, small ones as batches of one, larger ones as streams, compressed where the server
// knows zstd and it pays; action results in its ActionCache. It keeps entries of the door "bazel" only, and only what
// is an action result: servers read them, and refuse others. They are found by the hash of their action, whose size is
// not known here, which the servers above do not ask for. A library of its own: cairn_remote_reapi.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "libbase/path.h"
#include "libcache/remote_tier.h"

namespace cairn::remote {

struct ReapiTierOptions {
  std::string address;                   // "grpc://HOST:PORT", "grpcs://HOST:PORT", "unix:/PATH"
  std::string instance = {};             // of the server; an entry of instance I, and what it needs, is in INSTANCE/I
  std::string user = {}, password = {};  // no user: none
  std::string token = {};                // bearer; "": none
  // PEM, for grpcs: whom to trust instead of the machine's authorities, and who we are.
  std::optional<base::HostPath> ca{}, client_certificate{}, client_key{};
};

// Errors: invalid_argument (it is no address as above).
base::Status expect_reapi_address(const std::string& address);

// Asks nobody; what the server is able to do it is asked before the first call. Errors: invalid_argument (an address or
// an instance that cannot be one, certificates without TLS, both a user and a token), io and others of reading files.
base::Result<std::unique_ptr<cache::RemoteTier>> make_reapi_tier(ReapiTierOptions options);

}  // namespace cairn::remote
