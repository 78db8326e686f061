// SPDX-License-Identifier: Apache-2.0
// AWS Signature Version 4 in headers, as S3 and servers like it ask for it. Pure: the time and the credentials are
// given.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cairn::remote {

struct SigV4Credentials {
  std::string access_key_id, secret_access_key;
  std::string session_token = {};  // "": none
};

// What a signature is good for.
struct SigV4Scope {
  std::string region, service;
  std::chrono::sys_seconds time;
};

// `once`: each byte of the path is encoded once and no segment is left out, which is what S3 asks for, where
// "a//b/../c" is the name of an object. `normalised`: the rule of the other services: "." and ".." and empty segments
// go first.
enum class PathRule { once, normalised };
enum class ContentHash { unsent, sent };  // as x-amz-content-sha256, which S3 wants

inline constexpr std::string_view unsigned_payload = "UNSIGNED-PAYLOAD";

struct SigV4Request {
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  std::string method;
  std::string path = "/";    // not encoded
  Pairs query = {};          // not encoded
  Pairs headers = {};        // all are signed; Host has to be among them
  std::string payload_hash;  // lower-case hex of the body's SHA-256, or unsigned_payload
  PathRule path_rule = PathRule::once;
  ContentHash content_hash = ContentHash::sent;
};

struct SigV4Signature {
  std::string canonical_request, string_to_sign;  // for tests and for the message of a refusal; no secret is in them
  std::string signature;
  // To be sent besides those of the request, Authorization last. The session token and the authorization are secrets.
  SigV4Request::Pairs headers;
};

SigV4Signature sign_v4(const SigV4Request& request, const SigV4Credentials& credentials, const SigV4Scope& scope);

// "/a b" -> "/a%20b": a path as it is sent and signed. Slashes stay.
std::string encode_path(std::string_view path);
// As it is sent and signed: in the order of the names.
std::string encode_query(const SigV4Request::Pairs& query);

}  // namespace cairn::remote
