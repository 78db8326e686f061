// SPDX-License-Identifier: Apache-2.0
#include "libcache/blobs/pack_format.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "libbase/codec.h"
#include "libbase/compress/crc32c.h"
#include "libbase/fs/fd.h"
#include "libcache/blobs/positioned.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Result;
using base::Status;
using base::lmdb::Scan;

namespace {

constexpr std::string_view pack_magic{"cairn pack 1\n\0\0\0", 16};
constexpr std::uint32_t entry_magic = 0x314b5043;
constexpr std::size_t window_bytes = 256 * 1024;

std::uint32_t seed_of(std::uint64_t salt, std::uint64_t offset) {
  std::array<std::uint64_t, 2> place = {salt, offset};
  return base::crc32c({reinterpret_cast<const char*>(place.data()), sizeof place});
}

bool is_kind(std::uint8_t value) {
  return value >= static_cast<std::uint8_t>(EntryKind::blob) && value <= static_cast<std::uint8_t>(EntryKind::checkpoint_end);
}

// A piece of the file that moves forward with the scan.
class Window {
 public:
  explicit Window(int file) : file_(file) {}

  // The header's bytes at `offset`; fewer at the end of the file.
  Result<std::string_view> header_at(std::uint64_t offset) {
    if (offset < begin_ || offset + entry_header_size > begin_ + bytes_.size()) {
      begin_ = offset;
      bytes_.resize(window_bytes);
      bytes_.resize(TRY(read_at(file_, offset, bytes_.data(), bytes_.size())));
    }
    return std::string_view(bytes_).substr(static_cast<std::size_t>(offset - begin_), entry_header_size);
  }

 private:
  int file_;
  std::uint64_t begin_ = 0;
  std::string bytes_;
};

// Where data goes on behind `offset`, which is where nothing is right.
std::uint64_t next_place(int file, std::uint64_t offset) {
  const std::uint64_t next = offset + 8;
  const off_t data = ::lseek(file, static_cast<off_t>(next), SEEK_DATA);
  if (data < 0) return errno == ENXIO ? ~std::uint64_t{0} : next;
  return std::max(next, static_cast<std::uint64_t>(data) / 8 * 8);
}

}  // namespace

std::string encode_pack_header(const PackIdentity& identity) {
  std::string bytes = base::ByteWriter().raw(pack_magic).u64(identity.id).u64(identity.salt).take();
  return base::ByteWriter().raw(bytes).u32(base::crc32c(bytes)).u32(0).take();
}

Result<PackIdentity> decode_pack_header(std::string_view bytes) {
  PackIdentity identity;
  if (bytes.size() < pack_header_size) return base::fail(ErrorCode::corrupt, "pack header: cut short");
  base::ByteReader reader(bytes.substr(pack_magic.size()));
  identity.id = TRY(reader.u64());
  identity.salt = TRY(reader.u64());
  if (bytes.substr(0, pack_header_size) != encode_pack_header(identity))
    return base::fail(ErrorCode::corrupt, "pack header: not one, or damaged");
  return identity;
}

std::string encode_entry_header(const EntryHeader& header, std::uint64_t salt, std::uint64_t offset) {
  std::string bytes = base::ByteWriter()
                          .u32(entry_magic)
                          .u32(static_cast<std::uint32_t>(header.kind))
                          .u64(header.size)
                          .u64(header.number)
                          .raw(header.digest.raw())
                          .u32(header.checksum)
                          .take();
  return base::ByteWriter().raw(bytes).u32(base::crc32c(bytes, seed_of(salt, offset))).take();
}

Result<EntryHeader> decode_entry_header(std::string_view bytes, std::uint64_t salt, std::uint64_t offset) {
  const auto broken = [](std::string_view what) { return base::fail(ErrorCode::corrupt, "entry header: {}", what); };
  if (bytes.size() < entry_header_size) return broken("cut short");
  base::ByteReader reader(bytes.substr(0, entry_header_size));
  if (TRY(reader.u32()) != entry_magic) return broken("no magic");
  const std::uint32_t kind = TRY(reader.u32());
  EntryHeader header;
  header.size = TRY(reader.u64());
  header.number = TRY(reader.u64());
  header.digest = TRY(BlobDigest::from_raw(TRY(reader.raw(32))));
  header.checksum = TRY(reader.u32());
  const std::uint32_t own = TRY(reader.u32());
  if (own != base::crc32c(bytes.substr(0, entry_header_size - 4), seed_of(salt, offset))) return broken("checksum");
  if (kind > 255 || !is_kind(static_cast<std::uint8_t>(kind))) return broken("kind");
  if (header.size > entry_payload_max) return broken("size");
  header.kind = static_cast<EntryKind>(kind);
  return header;
}

std::string pack_name(std::uint64_t id) { return fmt::format("{:016x}", id); }

std::optional<std::uint64_t> parse_pack_name(std::string_view name) {
  if (name.size() != 16) return std::nullopt;
  std::uint64_t id = 0;
  for (const char c : name) {
    if (c >= '0' && c <= '9')
      id = id * 16 + static_cast<std::uint64_t>(c - '0');
    else if (c >= 'a' && c <= 'f')
      id = id * 16 + static_cast<std::uint64_t>(c - 'a' + 10);
    else
      return std::nullopt;
  }
  if (id == 0) return std::nullopt;
  return id;
}

Status scan_pack(int file, std::uint64_t salt, std::uint64_t from, const EntryVisitor& visit) {
  const std::uint64_t end = static_cast<std::uint64_t>(TRY(base::stat_fd(file)).st_size);
  Window window(file);
  std::uint64_t offset = std::max<std::uint64_t>(from, pack_header_size);
  while (offset < end && offset + entry_header_size <= end) {
    const auto header = decode_entry_header(TRY(window.header_at(offset)), salt, offset);
    if (!header || offset + entry_header_size + header->size > end) {
      const std::string_view here = TRY(window.header_at(offset));
      const bool empty = here.find_first_not_of('\0') == std::string_view::npos;
      offset = empty ? next_place(file, offset) : offset + 8;
      continue;
    }
    const Scan go = TRY(visit(offset, *header));
    if (go == Scan::stop) return {};
    offset += entry_bytes(header->size);
  }
  return {};
}

Result<std::string> read_payload(int file, std::uint64_t offset, const EntryHeader& header) {
  std::string payload(static_cast<std::size_t>(header.size), '\0');
  const std::size_t count = TRY(read_at(file, offset + entry_header_size, payload.data(), payload.size()));
  if (count != payload.size() || base::crc32c(payload) != header.checksum)
    return base::fail(ErrorCode::corrupt, "entry at {}: its checksum is another", offset);
  return payload;
}

}  // namespace cairn::cache
