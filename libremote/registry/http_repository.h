// SPDX-License-Identifier: Apache-2.0
// One repository over HTTP. Who asks is told only after the registry has asked for it, and remembered from then on.
#pragma once

#include <functional>
#include <string>

#include "libbase/sync.h"
#include "libcache/fetcher.h"
#include "libcache/registry.h"
#include "libremote/registries.h"

namespace cairn::remote {

class HttpRepository final : public cache::Repository {
 public:
  HttpRepository(cache::Fetcher& fetcher, const RegistryOptions& options, cache::RepositoryName name,
                 std::string credentials);

  base::Result<BlobDigest> resolve(const std::string& tag, std::stop_token stop) override;
  base::Result<std::string> read(Document kind, const BlobDigest& digest, std::size_t size_max,
                                 std::stop_token stop) override;
  base::Result<std::unique_ptr<base::ByteSource>> open_blob(const BlobDigest& digest, std::optional<std::uint64_t> size,
                                                            std::stop_token stop) override;

  // The answer to a request with a status that is one (200, 206), whatever it took. path: below /v2/<path of the
  // repository>/.
  base::Result<cache::FetchAnswer> ask(cache::FetchRequest request, const std::string& path,
                                       const std::stop_token& stop);
  // Waits as before the given try (1: the second one). Errors: cancelled.
  base::Status pause(int tries, const std::string& asked_seconds, const std::stop_token& stop) const;
  const RegistryOptions& options() const { return options_; }
  const std::string& name() const { return name_text_; }

 private:
  base::Result<cache::FetchAnswer> ask_once(cache::FetchRequest request, const std::stop_token& stop);
  base::Status authenticate(const cache::FetchAnswer& answer, const std::stop_token& stop);
  base::Result<std::string> fetch_token(const std::string& url, const std::stop_token& stop);
  base::Error status_error(int status, const std::string& path) const;

  cache::Fetcher& fetcher_;
  const RegistryOptions options_;
  const std::string name_text_, base_url_, scope_, credentials_;
  base::Guarded<std::string> authorization_;  // the header's value; "": not asked for yet
};

// "https://host", or "http://host" of this machine.
std::string registry_url(const std::string& host);

}  // namespace cairn::remote
