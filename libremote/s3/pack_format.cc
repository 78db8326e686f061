// SPDX-License-Identifier: Apache-2.0
#include "libremote/s3/pack_format.h"

#include <fmt/format.h>

#include <charconv>

#include "libbase/codec.h"

namespace cairn::remote {

using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

constexpr std::string_view magic = "cairn-pack";
constexpr std::uint8_t version = 1;
constexpr std::size_t digest_bytes = sizeof(base::Sha256Bytes);
constexpr std::size_t item_bytes_min = 1 + digest_bytes + 1;
constexpr std::size_t name_bytes = 8 + 4 + digest_bytes;

std::string_view raw_of(const base::Sha256Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Result<base::Sha256Bytes> read_digest(base::ByteReader& reader) {
  return TRY(BlobDigest::from_raw(TRY(reader.raw(digest_bytes)))).bytes();
}

// Of exactly so many digits, all of them lower case.
template <class Number>
bool read_hex(std::string_view text, Number& into) {
  if (text.find_first_not_of("0123456789abcdef") != std::string_view::npos) return false;
  return std::from_chars(text.data(), text.data() + text.size(), into, 16).ec == std::errc();
}

Result<PackName> read_name(base::ByteReader& reader) {
  PackName name;
  name.time_ms = TRY(reader.u64());
  name.index_bytes = TRY(reader.u32());
  name.index_sha256 = TRY(read_digest(reader));
  return name;
}

}  // namespace

std::string PackName::str() const {
  return fmt::format("{:016x}-{:08x}-{}", time_ms, index_bytes, base::to_hex(index_sha256));
}

std::optional<PackName> PackName::parse(std::string_view text) {
  PackName name;
  if (text.size() != text_bytes || text[16] != '-' || text[25] != '-') return std::nullopt;
  if (!read_hex(text.substr(0, 16), name.time_ms) || !read_hex(text.substr(17, 8), name.index_bytes))
    return std::nullopt;
  const auto digest = base::parse_sha256("sha256:" + std::string(text.substr(26)));
  if (!digest) return std::nullopt;
  name.index_sha256 = *digest;
  return name;
}

std::string before_packs_of(std::uint64_t time_ms) { return fmt::format("{:016x}", time_ms); }

std::string encode_pack_index(std::span<const PackItem> items) {
  base::ByteWriter writer;
  writer.raw(magic).u8(version).varint(items.size());
  for (const PackItem& item : items)
    writer.u8(static_cast<std::uint8_t>(item.kind)).raw(raw_of(item.digest)).varint(item.size);
  return writer.take();
}

Result<std::vector<PackItem>> decode_pack_index(std::string_view bytes) {
  base::ByteReader reader(bytes);
  if (TRY(reader.raw(magic.size())) != magic) return fail(ErrorCode::corrupt, "it begins as something else");
  if (const auto found = TRY(reader.u8()); found != version) return fail(ErrorCode::corrupt, "version {}", found);
  const std::uint64_t count = TRY(reader.varint());
  // Before anything is reserved for it.
  if (count > reader.rest().size() / item_bytes_min) return fail(ErrorCode::corrupt, "{} items", count);
  std::vector<PackItem> items(static_cast<std::size_t>(count));
  std::uint64_t end = bytes.size();
  for (PackItem& item : items) {
    const std::uint8_t kind = TRY(reader.u8());
    if (kind > static_cast<std::uint8_t>(PackItem::Kind::loose)) return fail(ErrorCode::corrupt, "kind {}", kind);
    item.kind = static_cast<PackItem::Kind>(kind);
    item.digest = TRY(read_digest(reader));
    item.size = TRY(reader.varint());
    if (item.kind == PackItem::Kind::loose) continue;
    if (item.size > pack_bytes_max - std::min(end, pack_bytes_max)) return fail(ErrorCode::corrupt, "it is too long");
    end += item.size;
  }
  TRY(reader.expect_end());
  return items;
}

std::string encode_placed_entry(const PlacedEntry& entry) {
  base::ByteWriter writer;
  writer.varint(entry.packs.size());
  for (const PackName& name : entry.packs)
    writer.u64(name.time_ms).u32(name.index_bytes).raw(raw_of(name.index_sha256));
  writer.varint(entry.places.size());
  for (const PlacedEntry::Place& place : entry.places) {
    writer.varint(place.pack);
    if (place.pack > 0) writer.varint(place.offset);
  }
  return writer.raw(entry.entry).take();
}

Result<PlacedEntry> decode_placed_entry(std::string_view bytes) {
  base::ByteReader reader(bytes);
  PlacedEntry entry;
  const std::uint64_t packs = TRY(reader.varint());
  if (packs > reader.rest().size() / name_bytes) return fail(ErrorCode::corrupt, "{} packs", packs);
  for (std::uint64_t i = 0; i < packs; ++i) entry.packs.push_back(TRY(read_name(reader)));
  const std::uint64_t places = TRY(reader.varint());
  if (places > reader.rest().size()) return fail(ErrorCode::corrupt, "{} places", places);
  entry.places.resize(static_cast<std::size_t>(places));
  for (PlacedEntry::Place& place : entry.places) {
    const std::uint64_t pack = TRY(reader.varint());
    if (pack >= packs + 2) return fail(ErrorCode::corrupt, "a place in pack {} of {}", pack, packs);
    place.pack = static_cast<std::size_t>(pack);
    if (pack > 0) place.offset = TRY(reader.varint());
    if (place.offset > pack_bytes_max) return fail(ErrorCode::corrupt, "a place at {}", place.offset);
  }
  entry.entry = reader.rest();
  return entry;
}

}  // namespace cairn::remote
