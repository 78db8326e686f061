// SPDX-License-Identifier: Apache-2.0
// Composite table keys: a tuple of fixed-size parts is their concatenation, so that a prefix of parts is a prefix of
// bytes. Every index row has the value Present: a version byte and nothing else.
#pragma once

#include <string>
#include <string_view>
#include <tuple>

#include "libbase/codec.h"

namespace cairn::cache {

template <class Part>
struct KeyPart;
template <class Meaning>
struct KeyPart<base::Id<Meaning>> {
  static constexpr std::size_t size = 8;
};
template <class Meaning>
struct KeyPart<base::Digest<Meaning>> {
  static constexpr std::size_t size = 32;
};

// The bytes of leading parts, for scans.
template <class... Parts>
std::string key_prefix(const Parts&... parts) {
  std::string out;
  out.reserve((KeyPart<Parts>::size + ...));
  (out.append(base::Codec<Parts>::encode(parts)), ...);
  return out;
}

template <class Part>
base::Result<Part> read_key_part(base::ByteReader& reader) {
  const std::string_view bytes = TRY(reader.raw(KeyPart<Part>::size));
  return base::Codec<Part>::decode(bytes);
}

struct Present {};

inline constexpr std::uint8_t row_version = 1;

// Takes the version byte of a value. Errors: corrupt for any version this build does not read.
inline base::Status expect_row_version(base::ByteReader& reader) {
  const std::uint8_t version = TRY(reader.u8());
  if (version != row_version) return base::fail(base::ErrorCode::corrupt, "row of version {}", version);
  return {};
}

}  // namespace cairn::cache

template <class First, class Second>
struct cairn::base::Codec<std::tuple<First, Second>> {
  static std::string encode(const std::tuple<First, Second>& key) {
    return cache::key_prefix(std::get<0>(key), std::get<1>(key));
  }
  static Result<std::tuple<First, Second>> decode(std::string_view bytes) {
    ByteReader reader(bytes);
    const auto first = TRY(cache::read_key_part<First>(reader));
    const auto second = TRY(cache::read_key_part<Second>(reader));
    TRY(reader.expect_end());
    return std::tuple<First, Second>(first, second);
  }
};

template <class First, class Second, class Third>
struct cairn::base::Codec<std::tuple<First, Second, Third>> {
  static std::string encode(const std::tuple<First, Second, Third>& key) {
    return cache::key_prefix(std::get<0>(key), std::get<1>(key), std::get<2>(key));
  }
  static Result<std::tuple<First, Second, Third>> decode(std::string_view bytes) {
    ByteReader reader(bytes);
    const auto first = TRY(cache::read_key_part<First>(reader));
    const auto second = TRY(cache::read_key_part<Second>(reader));
    const auto third = TRY(cache::read_key_part<Third>(reader));
    TRY(reader.expect_end());
    return std::tuple<First, Second, Third>(first, second, third);
  }
};

template <>
struct cairn::base::Codec<cairn::cache::Present> {
  static std::string encode(const cache::Present&) { return std::string(1, static_cast<char>(cache::row_version)); }
  static Result<cache::Present> decode(std::string_view bytes) {
    ByteReader reader(bytes);
    TRY(cache::expect_row_version(reader));
    TRY(reader.expect_end());
    return cache::Present{};
  }
};
