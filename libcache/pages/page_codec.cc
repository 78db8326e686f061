// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "libbase/codec.h"
#include "libbase/hash/sha256.h"
#include "libcache/pages/page.h"
#include "libcache/records/row_keys.h"

namespace cairn::cache {

using base::ByteReader;
using base::ByteWriter;
using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;

namespace {

constexpr std::uint8_t page_version = 1;
// What follows the fixed part of an entry.
constexpr std::uint8_t has_stream = 1, has_xattrs = 2, has_group = 4, has_device = 8, has_other_contents = 16,
                       has_again = 32;
constexpr std::size_t again_max = 1 << 20;

void write_again(ByteWriter& writer, const std::vector<HashedAgain>& again) {
  writer.varint(again.size());
  for (const HashedAgain& one : again) writer.string(one.name).raw(one.digest.raw());
}

Result<std::vector<HashedAgain>> read_again(ByteReader& reader) {
  std::vector<HashedAgain> again;
  const std::uint64_t count = TRY(reader.varint());
  if (count > again_max) return fail(ErrorCode::corrupt, "{} names hashed again in a page", count);
  for (std::uint64_t i = 0; i < count; ++i) {
    std::string name(TRY(reader.string()));
    again.push_back({std::move(name), TRY(read_key_part<TreeDigest>(reader))});
  }
  return again;
}

std::uint8_t flags_of(const BothContents& contents) {
  std::uint8_t flags = 0;
  if (contents.scan.digest != contents.stream.digest) flags |= has_other_contents;
  if (!contents.scan.again.empty() || !contents.stream.again.empty()) flags |= has_again;
  return flags;
}

void write_contents(ByteWriter& writer, const BothContents& contents) {
  const std::uint8_t flags = flags_of(contents);
  writer.u8(flags).raw(contents.scan.digest.raw());
  if ((flags & has_other_contents) != 0) writer.raw(contents.stream.digest.raw());
  if ((flags & has_again) == 0) return;
  write_again(writer, contents.scan.again);
  write_again(writer, contents.stream.again);
}

Result<BothContents> read_contents(ByteReader& reader) {
  BothContents contents;
  const std::uint8_t flags = TRY(reader.u8());
  if ((flags & ~(has_other_contents | has_again)) != 0) return fail(ErrorCode::corrupt, "contents with flags {}", flags);
  contents.scan.digest = TRY(read_key_part<TreeDigest>(reader));
  contents.stream.digest = contents.scan.digest;
  if ((flags & has_other_contents) != 0) contents.stream.digest = TRY(read_key_part<TreeDigest>(reader));
  if ((flags & has_again) == 0) return contents;
  contents.scan.again = TRY(read_again(reader));
  contents.stream.again = TRY(read_again(reader));
  return contents;
}

enum class Part { header, name };

void write_entry(ByteWriter& writer, const PageEntry& entry, Part part) {
  std::uint8_t flags = 0;
  if (entry.digests.scan != entry.digests.stream) flags |= has_stream;
  if (!entry.xattrs.is_zero()) flags |= has_xattrs;
  if (entry.link_group != 0) flags |= has_group;
  if (entry.device_major != 0 || entry.device_minor != 0) flags |= has_device;
  if (part == Part::name) writer.string(entry.name);
  writer.u8(static_cast<std::uint8_t>(entry.type)).u8(flags).varint(entry.mode).varint(entry.uid).varint(entry.gid);
  writer.varint(entry.size).i64(entry.mtime_seconds).varint(entry.mtime_nanoseconds);
  if (entry.type == EntryType::symlink) writer.string(entry.link);
  if ((flags & has_device) != 0) writer.varint(entry.device_major).varint(entry.device_minor);
  if ((flags & has_xattrs) != 0) writer.raw(entry.xattrs.raw());
  if ((flags & has_group) != 0) writer.u64(entry.link_group);
  writer.raw(entry.digests.scan.raw());
  if ((flags & has_stream) != 0) writer.raw(entry.digests.stream.raw());
  if (part == Part::header || !entry.is_directory()) return;
  writer.raw(entry.page.raw());
  write_contents(writer, entry.contents);
}

Result<std::uint32_t> read_u32(ByteReader& reader) {
  const std::uint64_t value = TRY(reader.varint());
  if (value > 0xffff'ffff) return fail(ErrorCode::corrupt, "number {} in a page", value);
  return static_cast<std::uint32_t>(value);
}

Result<PageEntry> read_entry(ByteReader& reader, Part part) {
  PageEntry entry;
  if (part == Part::name) entry.name = std::string(TRY(reader.string()));
  const std::uint8_t type = TRY(reader.u8());
  if (type > static_cast<std::uint8_t>(EntryType::socket)) return fail(ErrorCode::corrupt, "entry of type {}", type);
  entry.type = static_cast<EntryType>(type);
  const std::uint8_t flags = TRY(reader.u8());
  if ((flags & ~(has_stream | has_xattrs | has_group | has_device)) != 0) {
    return fail(ErrorCode::corrupt, "entry with flags {}", flags);
  }
  entry.mode = TRY(read_u32(reader));
  entry.uid = TRY(read_u32(reader));
  entry.gid = TRY(read_u32(reader));
  entry.size = TRY(reader.varint());
  entry.mtime_seconds = TRY(reader.i64());
  entry.mtime_nanoseconds = TRY(read_u32(reader));
  if (entry.type == EntryType::symlink) entry.link = std::string(TRY(reader.string()));
  if ((flags & has_device) != 0) {
    entry.device_major = TRY(read_u32(reader));
    entry.device_minor = TRY(read_u32(reader));
  }
  if ((flags & has_xattrs) != 0) entry.xattrs = TRY(read_key_part<XattrsDigest>(reader));
  if ((flags & has_group) != 0) entry.link_group = TRY(reader.u64());
  entry.digests.scan = TRY(read_key_part<TreeDigest>(reader));
  entry.digests.stream = entry.digests.scan;
  if ((flags & has_stream) != 0) entry.digests.stream = TRY(read_key_part<TreeDigest>(reader));
  if (part == Part::header || !entry.is_directory()) return entry;
  entry.page = TRY(read_key_part<PageName>(reader));
  entry.contents = TRY(read_contents(reader));
  return entry;
}

}  // namespace

std::string encode(const RawPage& page) {
  ByteWriter writer;
  writer.u8(page_version).u8(static_cast<std::uint8_t>(page.kind)).u8(page.level);
  if (page.kind == RawPage::Kind::directory) {
    write_entry(writer, page.header, Part::header);
    write_contents(writer, page.contents);
  }
  writer.varint(page.level == 0 ? page.entries.size() : page.pieces.size());
  for (const PageEntry& entry : page.entries) write_entry(writer, entry, Part::name);
  for (const RawPage::Piece& piece : page.pieces) writer.string(piece.first_name).raw(piece.page.raw());
  return writer.take();
}

Result<RawPage> decode_page(std::string_view bytes) {
  ByteReader reader(bytes);
  RawPage page;
  const std::uint8_t version = TRY(reader.u8());
  if (version != page_version) return fail(ErrorCode::corrupt, "page of version {}", version);
  const std::uint8_t kind = TRY(reader.u8());
  if (kind > static_cast<std::uint8_t>(RawPage::Kind::leaf)) return fail(ErrorCode::corrupt, "page of kind {}", kind);
  page.kind = static_cast<RawPage::Kind>(kind);
  page.level = TRY(reader.u8());
  if (page.kind == RawPage::Kind::directory) {
    page.header = TRY(read_entry(reader, Part::header));
    if (!page.header.is_directory()) return fail(ErrorCode::corrupt, "page of a directory that is none");
    page.contents = TRY(read_contents(reader));
  }
  const std::uint64_t count = TRY(reader.varint());
  if (count > bytes.size()) return fail(ErrorCode::corrupt, "page of {} names in {} bytes", count, bytes.size());
  for (std::uint64_t i = 0; i < count; ++i) {
    if (page.level == 0) {
      page.entries.push_back(TRY(read_entry(reader, Part::name)));
    } else {
      std::string first_name(TRY(reader.string()));
      page.pieces.push_back({std::move(first_name), TRY(read_key_part<PageName>(reader))});
    }
  }
  TRY(reader.expect_end());
  return page;
}

std::vector<PageName> RawPage::children() const {
  std::vector<PageName> names;
  for (const PageEntry& entry : entries)
    if (entry.is_directory()) names.push_back(entry.page);
  for (const Piece& piece : pieces) names.push_back(piece.page);
  return names;
}

PageName name_of_page(std::string_view bytes) { return base::digest_of<PageName>(bytes); }

}  // namespace cairn::cache
