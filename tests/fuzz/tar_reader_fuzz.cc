// SPDX-License-Identifier: Apache-2.0
// A tar from anywhere: reading ends, and says the same however the bytes are cut into pieces. The first byte of the input is
// the size of the pieces. What is read can be written again and is then read as the same.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "libsnapshot/tar/encoder.h"
#include "libsnapshot/tar/tar_reader.h"

namespace {

using namespace cairn;
using namespace cairn::snapshot;

constexpr std::size_t members_max = 300;

std::string text_of(const TarEntry& entry) {
  std::string text = fmt::format("{} {} -> {} {:o} {}:{} {} {} {}.{}", static_cast<int>(entry.type), entry.name,
                                 entry.link, entry.mode, entry.uid, entry.gid, entry.device, entry.size,
                                 entry.mtime.tv_sec, entry.mtime.tv_nsec);
  for (const auto& [key, value] : entry.xattrs) text += fmt::format(" {}={}", key, value);
  return text;
}

// Everything that the reader says, and how it ended. Where a piece of data ends is not part of it.
std::string transcript(std::string_view bytes, std::size_t piece) {
  const auto reader = TarReader::open([&]() -> base::Result<std::span<const char>> {
    const auto block = bytes.substr(0, piece);
    bytes.remove_prefix(block.size());
    return std::span<const char>(block);
  });
  if (!reader) return "no archive";
  std::string text;
  for (std::size_t members = 0; members < members_max; ++members) {
    const auto entry = (*reader)->next();
    if (!entry) return text + "error";
    if (!*entry) return text + "end";
    text += text_of(**entry) + "\n";
    std::uint64_t end = 0;
    std::string data;
    while (true) {
      const auto block = (*reader)->read_block();
      if (!block) return text + data + "error in data";
      if (!*block) break;
      if ((*block)->offset != end) data += fmt::format("[hole to {}]", (*block)->offset);
      data.append((*block)->bytes.data(), (*block)->bytes.size());
      end = (*block)->offset + (*block)->bytes.size();
    }
    text += data + "\n";
  }
  return text;
}

// A member that was read, written by our encoder, is read as itself.
void check_again(std::string_view bytes) {
  const auto reader = TarReader::open([&]() -> base::Result<std::span<const char>> {
    return std::span<const char>(std::exchange(bytes, {}));
  });
  if (!reader) return;
  for (std::size_t members = 0; members < members_max; ++members) {
    const auto entry = (*reader)->next();
    if (!entry || !*entry) return;
    TarEntry copy = **entry;
    copy.size = 0;
    copy.mtime.tv_nsec = 0;
    std::string tar;
    if (!append_header(copy, tar)) continue;
    tar.append(trailer_bytes, '\0');
    std::string_view rest = tar;
    const auto again = TarReader::open([&] { return std::span<const char>(std::exchange(rest, {})); });
    CHECK(again.has_value());
    const auto second = (*again)->next();
    CHECK(second.has_value() && second->has_value(), "{}: {}", text_of(copy), second ? "nothing" : second.error().message);
    CHECK((*second)->name == copy.name && (*second)->link == copy.link, "{} became {}", text_of(copy), text_of(**second));
    CHECK((*second)->uid == copy.uid && (*second)->mtime.tv_sec == copy.mtime.tv_sec, "{} became {}", text_of(copy),
          text_of(**second));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t piece = (std::size_t{data[0]} + 1) * 7;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string whole = transcript(bytes, size);
  const std::string pieces = transcript(bytes, piece);
  CHECK(whole == pieces, "whole: {}\npieces: {}", whole, pieces);
  check_again(bytes);
  return 0;
}
