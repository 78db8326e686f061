// SPDX-License-Identifier: Apache-2.0
// The bytes of a blob. A transfer that breaks off is begun again from where it was, by a range or, with a registry that knows
// none, from its beginning, as long as it gets on.
#pragma once

#include "libremote/registry/http_repository.h"

namespace cairn::remote {

class BlobBody final : public base::ByteSource {
 public:
  BlobBody(HttpRepository& repository, const BlobDigest& digest, std::optional<std::uint64_t> size, std::stop_token stop,
           std::uint64_t offset = 0)
      : repository_(repository), path_("blobs/" + digest.str()), size_(size), stop_(std::move(stop)), done_(offset), done_at_break_(offset) {}

  base::Status open();  // from where it is
  base::Result<std::size_t> read(std::span<std::byte> out) override;

 private:
  base::Result<std::size_t> read_once(std::span<std::byte> out);
  base::Status skip(std::uint64_t count);
  base::Error broken(std::string_view why) const;

  HttpRepository& repository_;
  const std::string path_;
  std::optional<std::uint64_t> size_;
  std::stop_token stop_;
  cache::FetchAnswer answer_;
  std::uint64_t done_;  // where the reader is
  std::uint64_t done_at_break_;
  int breaks_ = 0;  // without getting on
};

}  // namespace cairn::remote
