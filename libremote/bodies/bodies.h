// SPDX-License-Identifier: Apache-2.0
// Bodies of requests and answers as sources of bytes, and back.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "libbase/compress/decoder.h"

namespace cairn::remote {

// What a server says, for a terminal: the beginning of it, if it is long.
std::string printable(std::string_view text);

// All that is left. Errors: invalid_argument (more than size_max bytes), and those of the source.
base::Result<std::string> read_whole(base::ByteSource& source, std::size_t size_max);
// All of it, if it is so many bytes. Errors: corrupt (more or fewer), and those of the source.
base::Result<std::string> read_sized(base::ByteSource& source, std::size_t size);

// Of its own bytes.
class StringBody final : public base::ByteSource {
 public:
  explicit StringBody(std::string bytes) : bytes_(std::move(bytes)) {}
  base::Result<std::size_t> read(std::span<std::byte> out) override;

 private:
  const std::string bytes_;
  std::size_t at_ = 0;
};

// A source that has to have so many bytes: with more or fewer it is corrupt. Its end is read, too, so that a connection
// can be used again. `what` it is begins the messages.
class SizedBody final : public base::ByteSource {
 public:
  SizedBody(std::unique_ptr<base::ByteSource> source, std::uint64_t size, std::string what)
      : source_(std::move(source)), left_(size), what_(std::move(what)) {}
  base::Result<std::size_t> read(std::span<std::byte> out) override;

 private:
  std::unique_ptr<base::ByteSource> source_;
  std::uint64_t left_;
  const std::string what_;
  std::optional<base::Error> failed_;
};

}  // namespace cairn::remote
