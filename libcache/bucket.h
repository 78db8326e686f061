// SPDX-License-Identifier: Apache-2.0
// Objects of a bucket, by their names: the seam between who keeps something there (remote caches) and who speaks S3's
// protocol, which only libremote does. Nothing is trusted but what a digest says.
#pragma once

#include <compare>
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

struct BucketAddress {
  std::string bucket;
  std::string region = {};    // "": us-east-1
  std::string endpoint = {};  // "https://HOST[:PORT]", or http; "": Amazon's of the region
  // https://HOST/BUCKET/NAME or https://BUCKET.HOST/NAME.
  enum class Names : std::uint8_t { in_path, in_host } names = Names::in_host;
  auto operator<=>(const BucketAddress&) const = default;
};

// Without a key: those of the environment (AWS_ACCESS_KEY_ID and so on).
struct BucketCredentials {
  std::string access_key_id = {}, secret_access_key = {};
  std::string session_token = {};
  bool operator==(const BucketCredentials&) const = default;
};

// Thread-safe. Names of objects are any text that S3 takes. Every call ends in bounded time, whatever the other side
// does. Errors of all: unavailable (it does not let us: credentials, rights, no such bucket), busy (it asks for less,
// after all tries), io (no connection, no answer in time, an answer that makes no sense), corrupt (an answer with other
// bytes than it announces), cancelled. Messages name the bucket and no secret.
class Bucket {
 public:
  virtual ~Bucket() = default;
  virtual const std::string& name() const = 0;  // for people: "s3://bucket"

  struct Object {
    std::string bytes;
    std::string tag = {};            // of exactly these bytes, for replace()
    std::string last_modified = {};  // as HTTP says times; "": it does not
  };
  // nullopt: there is none. Errors: corrupt (more than size_max bytes).
  virtual base::Result<std::optional<Object>> read(const std::string& object, std::size_t size_max,
                                                   std::stop_token stop) = 0;
  struct Facts {
    std::uint64_t size = 0;
    std::string last_modified = {};  // as HTTP says times; "": it does not
  };
  virtual base::Result<std::optional<Facts>> find(const std::string& object, std::stop_token stop) = 0;
  // So many bytes as they arrive; the caller compares them with a digest. A transfer that breaks off goes on from where
  // it was. Must not outlive the bucket. Errors: not_found.
  virtual base::Result<std::unique_ptr<base::ByteSource>> open(const std::string& object, std::uint64_t size,
                                                               std::stop_token stop) = 0;

  // Gives the bytes from their beginning on, as often as they are asked for.
  using OpenBytes = std::function<base::Result<std::unique_ptr<base::ByteSource>>()>;
  // Puts an object, whatever was there; the server compares it with its digest. Errors: invalid_argument (it is larger
  // than an object that is put at once may be, 5 GiB).
  virtual base::Status put(const std::string& object, const BlobDigest& digest, std::uint64_t size,
                           const OpenBytes& open, std::stop_token stop) = 0;
  // Lets the object be as old as one that was put now, without its bytes: buckets may delete what is old.
  virtual base::Status renew(const std::string& object, std::stop_token stop) = 0;

  enum class Replaced : std::uint8_t {
    yes,
    no,         // it is something else by now
    unguarded,  // yes, but the server knows no condition: somebody else's may have gone
  };
  // Lets the object be these bytes, if it is what `old_tag` says, or, with nullopt, if there is none.
  virtual base::Result<Replaced> replace(const std::string& object, const std::string& bytes,
                                         const std::optional<std::string>& old_tag, std::stop_token stop) = 0;
};

// Thread-safe.
class Buckets {
 public:
  virtual ~Buckets() = default;
  // Asks nobody yet. Buckets do not outlive this. Errors: invalid_argument (no bucket can be named so, no credentials).
  virtual base::Result<std::shared_ptr<Bucket>> open(const BucketAddress& address,
                                                     const BucketCredentials& credentials) = 0;
};

}  // namespace cairn::cache
