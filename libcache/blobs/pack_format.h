// SPDX-License-Identifier: Apache-2.0
// The bytes of a pack (docs/formats/packs.md): its header, the headers of entries, and a walk over what is there that
// damage does not stop.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "libbase/lmdb/env.h"
#include "libsnapshot/digests.h"

namespace cairn::cache {

inline constexpr std::size_t pack_header_size = 40;
inline constexpr std::size_t entry_header_size = 64;
inline constexpr std::uint64_t entry_payload_max = 64u << 20;

enum class EntryKind : std::uint8_t {
  blob = 1,
  checksums = 2,
  changes = 3,
  rows = 4,
  checkpoint_end = 5,
};

struct EntryHeader {
  EntryKind kind = EntryKind::blob;
  std::uint64_t size = 0;    // of the payload
  std::uint64_t number = 0;  // of the journal; else 0
  BlobDigest digest;
  std::uint32_t checksum = 0;  // of the payload

  bool operator==(const EntryHeader&) const = default;
};

// Header, payload and padding.
constexpr std::uint64_t entry_bytes(std::uint64_t payload_size) {
  return (entry_header_size + payload_size + 7) / 8 * 8;
}

// A pack says in its header who it is, and a number by chance that is part of the checksum of every entry header, as the
// entry's place is: what lies elsewhere, or inside a blob, is never taken for an entry.
struct PackIdentity {
  std::uint64_t id = 0;
  std::uint64_t salt = 0;
};

std::string encode_pack_header(const PackIdentity& identity);
std::string encode_entry_header(const EntryHeader& header, std::uint64_t salt, std::uint64_t offset);
// Errors: corrupt.
base::Result<PackIdentity> decode_pack_header(std::string_view bytes);
base::Result<EntryHeader> decode_entry_header(std::string_view bytes, std::uint64_t salt, std::uint64_t offset);

std::string pack_name(std::uint64_t id);
std::optional<std::uint64_t> parse_pack_name(std::string_view name);  // nullopt: not the name of a pack

// Visits every entry of the file whose header is right, in order, from `from` on (0: the first). Where none is right it
// goes on at the next place at which one is; holes are skipped. The payload is not read. Errors: io, those of visit.
using EntryVisitor = std::function<base::Result<base::lmdb::Scan>(std::uint64_t offset, const EntryHeader&)>;
base::Status scan_pack(int file, std::uint64_t salt, std::uint64_t from, const EntryVisitor& visit);

// The payload of the entry, compared with its checksum. Errors: corrupt, io.
base::Result<std::string> read_payload(int file, std::uint64_t offset, const EntryHeader& header);

}  // namespace cairn::cache
