// SPDX-License-Identifier: Apache-2.0
// A parser of a stream that comes in pieces: what it makes of it does not depend on where it was cut.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "libbase/result.h"

namespace cairn::fuzz {

enum class Goes : std::uint8_t { on, wants_more, broken };

// Gives `step` the stream in pieces of at most piece_bytes, and each piece until it wants more; then it has taken all of it.
// False: it is broken there.
template <class Step>  // Goes(std::string_view& piece)
bool feed(std::string_view stream, std::size_t piece_bytes, Step&& step) {
  while (!stream.empty()) {
    std::string_view piece = stream.substr(0, piece_bytes);
    stream.remove_prefix(piece.size());
    for (Goes goes = Goes::on; goes != Goes::wants_more;) {
      goes = step(piece);
      if (goes == Goes::broken) return false;
    }
    CHECK(piece.empty());
  }
  return true;
}

template <class Parsed>  // std::string(std::string_view stream, std::size_t piece_bytes)
int expect_same_however_cut(const std::uint8_t* data, std::size_t size, Parsed&& parsed) {
  const std::string_view stream(reinterpret_cast<const char*>(data), size);
  const std::string whole = parsed(stream, stream.size() + 1);
  for (const std::size_t bytes : {1, 2, 7}) CHECK(parsed(stream, bytes) == whole);
  return 0;
}

}  // namespace cairn::fuzz
