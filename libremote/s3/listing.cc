// SPDX-License-Identifier: Apache-2.0
#include "libremote/s3/listing.h"

#include <optional>

namespace cairn::remote {

namespace {

// The text of the next element of this name that has no attributes and no elements in it; `rest` goes on after it.
std::optional<std::string_view> next_text(std::string_view& rest, std::string_view open, std::string_view close) {
  const std::size_t begin = rest.find(open);
  if (begin == std::string_view::npos) return std::nullopt;
  rest.remove_prefix(begin + open.size());
  const std::size_t end = rest.find('<');
  if (end == std::string_view::npos || !rest.substr(end).starts_with(close)) return std::nullopt;
  const std::string_view text = rest.substr(0, end);
  rest.remove_prefix(end + close.size());
  return text;
}

}  // namespace

base::Result<Listing> parse_listing(std::string_view document) {
  Listing listing;
  std::string_view rest = document;
  const auto goes_on = next_text(rest, "<IsTruncated>", "</IsTruncated>");
  if (document.find("<ListBucketResult") == std::string_view::npos || (goes_on != "true" && goes_on != "false"))
    return base::fail(base::ErrorCode::corrupt, "no listing of a bucket");
  listing.goes_on = goes_on == "true";
  rest = document;
  while (const auto key = next_text(rest, "<Key>", "</Key>"))
    if (key->find('&') == std::string_view::npos) listing.keys.emplace_back(*key);
  if (listing.goes_on && listing.keys.empty())
    return base::fail(base::ErrorCode::corrupt, "a listing of nothing that goes on");
  return listing;
}

}  // namespace cairn::remote
