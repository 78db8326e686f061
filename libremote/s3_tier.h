// SPDX-License-Identifier: Apache-2.0
// A bucket of S3, or of a server that speaks its protocol, as a tier. Small blobs and entries lie in packs,
// PREFIX/packs/NAME (docs/formats/tier-pack.md), which are sent when they are full, and by flush(). A large blob is an
// object PREFIX/blobs/sha256/xx/HEX; so are all blobs, and entries PREFIX/entries/sha256/xx/HEX, of who does not pack
// (docs/formats/tier-entry.md), and those are read, too. What is in the bucket is known by the indexes of its packs, so
// that most of what is not there costs no request (decision 35). Requests are signed (Signature Version 4) and are
// never sent on to where a server redirects. A blob is put with its SHA-256, which the server checks, and with
// If-None-Match: *, where the server knows that; the object PREFIX/cairn is made to find out. Whoever has credentials
// needs GetObject, PutObject, and ListBucket, without which S3 says "forbidden" of what is not there.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "libbase/clock.h"
#include "libcache/fetcher.h"
#include "libcache/remote_tier.h"

namespace cairn::remote {

struct S3Options {
  // https://HOST/BUCKET/NAME or https://BUCKET.HOST/NAME.
  enum class Addressing { path, virtual_host };
  std::string bucket;
  std::string prefix = {};    // of the names of all objects: segments of letters, digits, '-', '_', '.'
  std::string endpoint = {};  // "https://HOST[:PORT]", or http; "": Amazon's of the region
  std::string region = {};    // "": us-east-1
  Addressing addressing = Addressing::path;
  std::string access_key_id = {}, secret_access_key = {};
  std::string session_token = {};
  std::size_t lookups_at_once = 8;  // of one has_blobs()

  std::uint64_t pack_below = 128 << 10;         // bytes; larger blobs are objects of their own. 0: nothing is packed
  std::size_t pack_bytes = 8 << 20;             // of a pack; one is longer if an entry is
  std::size_t known_objects_max = 500'000;      // about 80 bytes of memory each
  std::chrono::milliseconds refresh_time{5'000};  // what others have put is seen after this
  std::chrono::milliseconds relist_time{3'600'000};  // what is gone is noticed after this, or when it is asked for
  // What is in an older pack is put again: a bucket may delete what is old.
  std::chrono::hours renew_time{7 * 24};
};

// The options with what is empty in them taken from the environment, as other programs take it: AWS_ENDPOINT_URL_S3 or
// AWS_ENDPOINT_URL, AWS_REGION or AWS_DEFAULT_REGION; and, if no key is given, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY
// and AWS_SESSION_TOKEN.
S3Options with_environment(S3Options options);

// Asks nobody. Fetcher and clock outlive it. Errors: invalid_argument (no bucket, no credentials, a prefix or an
// endpoint that cannot be one).
base::Result<std::unique_ptr<cache::RemoteTier>> make_s3_tier(cache::Fetcher& fetcher, const base::Clock& clock,
                                                              S3Options options);

}  // namespace cairn::remote
