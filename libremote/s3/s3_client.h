// SPDX-License-Identifier: Apache-2.0
// Signed requests for objects of one bucket.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "libremote/bodies/answers.h"
#include "libremote/s3/listing.h"
#include "libremote/s3/sigv4.h"
#include "libremote/s3_tier.h"

namespace cairn::remote {

// Thread-safe.
class S3Client {
 public:
  // Fetcher and clock outlive it. Errors: invalid_argument.
  static base::Result<S3Client> make(cache::Fetcher& fetcher, const base::Clock& clock, S3Options options);

  const std::string& name() const { return name_; }  // "s3://bucket/prefix"

  using Method = cache::FetchRequest::Method;
  enum class Condition { none, if_absent };
  struct Body {
    base::ByteSource& bytes;
    std::uint64_t size;
    std::string sha256;  // hex
  };
  // `object` is below the prefix. Any status is an answer. Errors: those of ask() in answers.h.
  base::Result<cache::FetchAnswer> get(Method method, const std::string& object, const cache::TierCall& call) const;
  base::Result<cache::FetchAnswer> put(const std::string& object, Body body, Condition condition,
                                       const cache::TierCall& call) const;
  base::Result<cache::FetchAnswer> put(const std::string& object, const std::string& bytes, Condition condition,
                                       const cache::TierCall& call) const;
  // Puts it if the object is what the tag says (If-Match).
  base::Result<cache::FetchAnswer> replace(const std::string& object, const std::string& bytes, const std::string& tag,
                                           const cache::TierCall& call) const;
  // Copies the object to itself, so that it is as if it were put now.
  base::Result<cache::FetchAnswer> renew(const std::string& object, const cache::TierCall& call) const;
  // So many bytes of an object, of which it has more than `offset`; 206 if they are given.
  base::Result<cache::FetchAnswer> get_range(const std::string& object, std::uint64_t offset, std::uint64_t size,
                                             const cache::TierCall& call) const;
  // Objects whose names begin with this, in their order, and come after that: without what the names of all begin with.
  // `at_most`: 1,000 is what servers give. Errors: also those that the answer means.
  base::Result<Listing> list(const std::string& begin, const std::string& after, unsigned at_most,
                             const cache::TierCall& call) const;
  // Reads what the server says.
  base::Error refusal(cache::FetchAnswer& answer, std::string_view request) const;
  // Whether the answer means that there is no such object. Errors: those that the answer means instead.
  base::Result<bool> is_absent(cache::FetchAnswer& answer, std::string_view request) const;

 private:
  S3Client(cache::Fetcher& fetcher, const base::Clock& clock, S3Options options);
  base::Result<cache::FetchAnswer> send_body(const std::string& object, Body body, SigV4Request::Pairs headers,
                                             const cache::TierCall& call) const;
  base::Result<cache::FetchAnswer> send(cache::FetchRequest request, const std::string& path,
                                        const std::string& payload_sha256, const cache::TierCall& call,
                                        const SigV4Request::Pairs& query = {}) const;

  cache::Fetcher* fetcher_;
  const base::Clock* clock_;
  S3Options options_;
  std::string name_;
  std::string scheme_, host_;  // "https://", "HOST:PORT"
  std::string bucket_path_;    // "/bucket/", or "/"
  std::string prefix_;         // of the names of objects: "prefix/", or ""
};

// "<Code>SlowDown</Code>" of an error's document; "" if there is none.
std::string s3_error_code(std::string_view document);

}  // namespace cairn::remote
