// SPDX-License-Identifier: Apache-2.0
// The bytes of a blob on their way to a registry: in one piece if they are few, else in pieces, so that what breaks off
// goes on from what the registry has.
#pragma once

#include "libremote/registry/http_repository.h"

namespace cairn::remote {

class Upload {
 public:
  // location: where the registry takes it.
  Upload(HttpRepository& repository, const BlobDigest& digest, std::uint64_t size,
         const cache::Repository::OpenBlob& open, std::string location, std::stop_token stop)
      : repository_(repository),
        digest_(digest),
        size_(size),
        open_(open),
        location_(std::move(location)),
        stop_(std::move(stop)) {}

  // Errors: not_found (the registry has forgotten it: it is to be begun anew), and those of Repository::push_blob.
  base::Status send();

 private:
  base::Status send_piece();
  base::Status ask_offset();
  base::Status finish(base::ByteSource* body, std::uint64_t bytes);
  base::Status follow(const cache::FetchAnswer& answer);

  HttpRepository& repository_;
  const BlobDigest digest_;
  const std::uint64_t size_;
  const cache::Repository::OpenBlob& open_;
  std::string location_;
  std::stop_token stop_;
  std::unique_ptr<base::ByteSource> source_;  // at done_; null: to be opened
  std::uint64_t done_ = 0;
};

// An address that an answer names, which may be relative to the one that gave it. "": it names none.
std::string resolve_location(const cache::FetchAnswer& answer);

// How much a registry has of an upload: the header "Range: 0-1023". 0: it says nothing that can be read; "0-0" is said of
// an upload that has nothing yet.
std::uint64_t bytes_taken(std::string_view range);

}  // namespace cairn::remote
