// SPDX-License-Identifier: Apache-2.0
#include "libsolver/sources/http_facts.h"

#include "libbase/codec.h"
#include "libsolver/sources/http_names.h"

namespace cairn::solver {

using base::Result;

namespace {

constexpr std::uint8_t facts_version = 3;  // 2: the name of one source's file instead of what the server says of names
// A Last-Modified this much older than the answer tells versions apart (RFC 9110, 8.8.2.2).
constexpr std::int64_t strong_after_seconds = 60;

}  // namespace

HttpFacts http_facts_of(const cache::FetchAnswer& answer) {
  HttpFacts facts;
  facts.etag = answer.header("etag");
  facts.last_modified = answer.header("last-modified");
  facts.disposition = answer.header("content-disposition");
  const auto modified = parse_http_time(facts.last_modified);
  const auto answered = parse_http_time(answer.header("date"));
  facts.is_strong = modified && answered && *answered - *modified >= strong_after_seconds;
  return facts;
}

HttpContent content_of(const HttpSpec& spec, const HttpFacts& facts) {
  return {.filename = http_file_name(spec.url, spec.filename, facts.disposition),
          .checksum = facts.checksum,
          .last_modified = parse_http_time(facts.last_modified)};
}

std::string encode(const HttpFacts& facts) {
  return base::ByteWriter().u8(facts_version).string(facts.etag).string(facts.last_modified).string(facts.disposition)
      .u8(facts.is_strong ? 1 : 0).string(facts.checksum).take();
}

Result<HttpFacts> decode_http_facts(std::string_view bytes) {
  base::ByteReader reader(bytes);
  if (TRY(reader.u8()) != facts_version) return base::fail(base::ErrorCode::corrupt, "facts of an HTTP source: unknown version");
  HttpFacts facts;
  facts.etag = TRY(reader.string());
  facts.last_modified = TRY(reader.string());
  facts.disposition = TRY(reader.string());
  facts.is_strong = TRY(reader.u8()) != 0;
  facts.checksum = TRY(reader.string());
  TRY(reader.expect_end());
  return facts;
}

}  // namespace cairn::solver
