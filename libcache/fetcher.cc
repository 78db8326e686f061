// SPDX-License-Identifier: Apache-2.0
#include "libcache/fetcher.h"

#include <algorithm>

namespace cairn::cache {

const std::string& FetchAnswer::header(const std::string& name_in_lower_case) const {
  static const std::string none;
  const auto found = headers.find(name_in_lower_case);
  return found == headers.end() ? none : found->second;
}

std::string url_without_secrets(std::string_view url) {
  const std::size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) return std::string(url);
  const std::size_t begin = scheme + 3;
  const std::size_t end = std::min(url.find_first_of("/?#", begin), url.size());
  const std::size_t at = url.substr(begin, end - begin).rfind('@');
  if (at == std::string_view::npos) return std::string(url);
  return std::string(url.substr(0, begin)) + std::string(url.substr(begin + at + 1));
}

}  // namespace cairn::cache
