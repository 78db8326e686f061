// SPDX-License-Identifier: Apache-2.0
// What a remote side has said of a source that has no fixed content: the validators of a URL, the commit of a branch, the
// digest of a tag. A later solve begins from it: it asks whether that is still so, or believes it, or has to.
#pragma once

#include <chrono>
#include <string>

namespace cairn::cache {

struct ResolvedSource {
  std::string name;   // for people: what was asked
  std::string facts;  // bytes of whoever asked
  std::chrono::nanoseconds age{0};
};

inline constexpr std::size_t resolved_bytes_max = 64 << 10;  // of name and facts
inline constexpr std::uint64_t resolved_sources_max = 10'000;

}  // namespace cairn::cache
