// SPDX-License-Identifier: Apache-2.0
// Bytes in memory as a source.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "libbase/compress/decoder.h"

namespace cairn::test {

// Of bytes that somebody else keeps. It gives no more than so many at once.
class BytesSource final : public base::ByteSource {
 public:
  explicit BytesSource(std::string_view bytes, std::size_t at_once = std::string_view::npos)
      : rest_(bytes), at_once_(at_once) {}
  base::Result<std::size_t> read(std::span<std::byte> out) override {
    const std::size_t count = std::min({out.size(), rest_.size(), at_once_});
    std::memcpy(out.data(), rest_.data(), count);
    rest_.remove_prefix(count);
    return count;
  }

 private:
  std::string_view rest_;
  std::size_t at_once_;
};

// Of its own bytes.
class StringSource final : public base::ByteSource {
 public:
  explicit StringSource(std::string bytes, std::size_t at_once = std::string_view::npos)
      : bytes_(std::move(bytes)), source_(bytes_, at_once) {}
  StringSource(const StringSource&) = delete;
  StringSource& operator=(const StringSource&) = delete;
  base::Result<std::size_t> read(std::span<std::byte> out) override { return source_.read(out); }

 private:
  std::string bytes_;
  BytesSource source_;
};

}  // namespace cairn::test
