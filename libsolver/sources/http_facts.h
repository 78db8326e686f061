// SPDX-License-Identifier: Apache-2.0
// What a server has said of a URL, as it is remembered.
#pragma once

#include <string>
#include <string_view>

#include "libbase/result.h"
#include "libcache/fetcher.h"
#include "libsolver/ops/http_spec.h"

namespace cairn::solver {

struct HttpFacts {
  std::string etag;
  std::string last_modified;  // this and `disposition` as they came
  std::string disposition;
  bool is_strong = false;  // last_modified tells versions apart
  std::string checksum;    // of the bytes, once they are here
};

HttpFacts http_facts_of(const cache::FetchAnswer& answer);
// What a source is if this is so.
HttpContent content_of(const HttpSpec& spec, const HttpFacts& facts);

std::string encode(const HttpFacts& facts);
// Errors: corrupt (bytes that are none, or another version's).
base::Result<HttpFacts> decode_http_facts(std::string_view bytes);

}  // namespace cairn::solver
