// SPDX-License-Identifier: Apache-2.0
// Images of a registry: the seam between who wants them (sources) and who speaks the registry's protocol, which only
// libremote does. Nothing is trusted but what a digest says.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "libbase/compress/decoder.h"
#include "libbase/result.h"
#include "libsnapshot/digests.h"

namespace cairn::cache {

// A repository of a registry, as a full image reference names it.
struct RepositoryName {
  std::string host;  // "docker.io", "127.0.0.1:5000"
  std::string path;  // "library/busybox"
  std::string text() const { return host + "/" + path; }
  auto operator<=>(const RepositoryName&) const = default;
};

// Thread-safe. Errors of all: not_found, unavailable (it wants other credentials, or any), corrupt (other bytes than their
// digest or size says), io (no answer after all tries, a stall, a status that means nothing here), invalid_argument
// (redirects in a circle, an address that is none), cancelled. Messages name the repository and no secret.
class Repository {
 public:
  virtual ~Repository() = default;
  // What a tag is now.
  virtual base::Result<BlobDigest> resolve(const std::string& tag, std::stop_token stop) = 0;
  // A document of at most size_max bytes, verified: a manifest or an index, or a blob.
  enum class Document { manifest, blob };
  virtual base::Result<std::string> read(Document kind, const BlobDigest& digest, std::size_t size_max, std::stop_token stop) = 0;
  // The bytes of a blob as they arrive; the caller compares them with the digest. A transfer that breaks off goes on from
  // where it was. With a size: corrupt if there are more or fewer. Must not outlive the repository.
  virtual base::Result<std::unique_ptr<base::ByteSource>> open_blob(const BlobDigest& digest, std::optional<std::uint64_t> size,
                                                                    std::stop_token stop) = 0;
};

// Thread-safe.
class Registries {
 public:
  virtual ~Registries() = default;
  // Asks nobody yet. credentials: "user:password", or "" for none. Repositories do not outlive this.
  virtual std::shared_ptr<Repository> open(const RepositoryName& name, const std::string& credentials) = 0;
};

}  // namespace cairn::cache
