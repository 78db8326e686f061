// SPDX-License-Identifier: Apache-2.0
// One repository over HTTP. Who asks is told only after the registry has asked for it, and remembered from then on.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "libbase/sync.h"
#include "libcache/fetcher.h"
#include "libcache/registry.h"
#include "libremote/registries.h"
#include "libremote/registry/credentials.h"

namespace cairn::remote {

class HttpRepository final : public cache::Repository {
 public:
  // origin: where it is, "https://host".
  HttpRepository(cache::Fetcher& fetcher, RegistryOptions options, const cache::RepositoryName& name,
                 const std::string& origin, const std::string& credentials);

  base::Result<BlobDigest> resolve(const std::string& tag, std::stop_token stop) override;
  base::Result<std::string> read(Document kind, const BlobDigest& digest, std::size_t size_max,
                                 std::stop_token stop) override;
  base::Result<std::unique_ptr<base::ByteSource>> open_blob(const BlobDigest& digest, std::optional<std::uint64_t> size,
                                                            std::stop_token stop) override;
  // The same from an offset on.
  base::Result<std::unique_ptr<base::ByteSource>> open_blob_from(std::uint64_t offset, const BlobDigest& digest,
                                                                 std::optional<std::uint64_t> size,
                                                                 std::stop_token stop);

  base::Result<Tagged> read_tag(const std::string& tag, std::size_t size_max, std::stop_token stop) override;
  base::Result<std::optional<std::uint64_t>> find_blob(const BlobDigest& digest, std::stop_token stop) override;
  base::Status push_blob(const BlobDigest& digest, std::uint64_t size, const OpenBlob& open,
                         std::stop_token stop) override;
  base::Result<bool> mount_blob(const BlobDigest& digest, const cache::RepositoryName& from,
                                std::stop_token stop) override;
  base::Result<BlobDigest> push_manifest(const std::string& tag, const std::string& media_type,
                                         const std::string& bytes, std::stop_token stop) override;

  // The answer to a request with a status that is one (2xx), whatever it took. path: below /v2/<path of the
  // repository>/, or a whole address, which gets no credentials if it is another origin's.
  base::Result<cache::FetchAnswer> ask(cache::FetchRequest request, const std::string& path,
                                       const std::stop_token& stop);
  // The same for bytes: the answer has all of them (200), or, if the request has a range, maybe those only (206).
  base::Result<cache::FetchAnswer> get(cache::FetchRequest request, const std::string& path,
                                       const std::stop_token& stop);
  // Waits as before the given try (1: the second one), or for as long as the registry has asked for. Errors: cancelled.
  base::Status pause(int tries, std::optional<std::chrono::seconds> asked, const std::stop_token& stop) const;
  const RegistryOptions& options() const { return options_; }
  const std::string& name() const { return name_text_; }
  const std::string& base_url() const { return base_url_; }

 private:
  std::optional<std::chrono::steady_clock::time_point> document_deadline() const;
  base::Result<cache::FetchAnswer> ask_once(cache::FetchRequest request, const std::stop_token& stop);
  enum class Access { pull, push };
  base::Status authenticate(const cache::FetchAnswer& answer, Access access, const std::stop_token& stop);
  bool is_own_address(const std::string& url) const;
  base::Result<std::string> begin_upload(const std::string& more, const std::stop_token& stop);
  struct TokenQuestion;
  base::Result<cache::FetchAnswer> ask_token_service(const TokenQuestion& question, const std::stop_token& stop);
  base::Result<std::string> fetch_token(const TokenQuestion& question, const std::stop_token& stop);
  base::Error refused(int status) const;
  base::Error status_error(int status, const std::string& path) const;

  cache::Fetcher& fetcher_;
  const RegistryOptions options_;
  const std::string name_text_, base_url_, scope_;
  const Credentials credentials_;
  base::Guarded<std::string> authorization_;  // the header's value; "": not asked for yet
};

// "https://host:port" of an address; "" of one that is none.
std::string origin_of(std::string_view url);

}  // namespace cairn::remote
