// SPDX-License-Identifier: Apache-2.0
// Images of a registry: the seam between who wants them (sources) and who speaks the registry's protocol, which only
// libremote does. Nothing is trusted but what a digest says.
#pragma once

#include <cstdint>
#include <functional>
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
  // What a tag is now, and its document of at most size_max bytes: one request.
  struct Tagged {
    BlobDigest digest;
    std::string bytes;
  };
  virtual base::Result<Tagged> read_tag(const std::string& tag, std::size_t size_max, std::stop_token stop) = 0;
  // How large a blob is, of which nothing is transferred. nullopt: it is not there.
  virtual base::Result<std::optional<std::uint64_t>> find_blob(const BlobDigest& digest, std::stop_token stop) = 0;

  // Gives the bytes of a blob from an offset on.
  using OpenBlob = std::function<base::Result<std::unique_ptr<base::ByteSource>>(std::uint64_t offset)>;
  // Uploads a blob, whatever is there. A transfer that breaks off goes on from what the registry has of it.
  virtual base::Status push_blob(const BlobDigest& digest, std::uint64_t size, const OpenBlob& open,
                                 std::stop_token stop) = 0;
  // Takes a blob over from another repository of the registry, without its bytes. False: the registry does not.
  virtual base::Result<bool> mount_blob(const BlobDigest& digest, const RepositoryName& from, std::stop_token stop) = 0;
  // Lets a tag stand for a document, of which all that it names is there.
  virtual base::Result<BlobDigest> push_manifest(const std::string& tag, const std::string& media_type,
                                                 const std::string& bytes, std::stop_token stop) = 0;
};

// Thread-safe.
class Registries {
 public:
  virtual ~Registries() = default;
  // Asks nobody yet. credentials: "user:password", or "" for none; the user "<token>" has an identity token for a
  // password, which the token service changes for others, and "<registry token>" one that the registry takes as it is. A
  // second line says where they are from, for messages; after a NUL comes what is for mirrors. Repositories do not outlive this.
  virtual std::shared_ptr<Repository> open(const RepositoryName& name, const std::string& credentials) = 0;
};

}  // namespace cairn::cache
