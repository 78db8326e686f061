// SPDX-License-Identifier: Apache-2.0
// A text as a stream of bytes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include "libbase/compress/decoder.h"

namespace cairn::solver {

class TextSource final : public base::ByteSource {
 public:
  explicit TextSource(std::string text) : text_(std::move(text)) {}
  base::Result<std::size_t> read(std::span<std::byte> out) override {
    const std::size_t count = std::min(out.size(), text_.size() - done_);
    std::memcpy(out.data(), text_.data() + done_, count);
    done_ += count;
    return count;
  }

 private:
  const std::string text_;
  std::size_t done_ = 0;
};

// Gives the text from an offset on. Borrows it.
inline auto open_text(const std::string& text) {
  return [&text](std::uint64_t offset) -> base::Result<std::unique_ptr<base::ByteSource>> {
    return std::make_unique<TextSource>(text.substr(static_cast<std::size_t>(offset)));
  };
}

}  // namespace cairn::solver
