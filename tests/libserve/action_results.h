// SPDX-License-Identifier: Apache-2.0
// ActionResults, Trees and Directories as clients encode them, for tests: built here byte by byte from the field numbers.
#pragma once

#include <string>

#include "libbase/hash/sha256.h"
#include "libsnapshot/digests.h"

namespace cairn::serve::proto {

inline std::string varint(std::uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}
inline std::string field(int number, const std::string& bytes) { return varint(static_cast<std::uint64_t>(number) << 3 | 2) + varint(bytes.size()) + bytes; }
inline std::string field(int number, std::uint64_t value) { return varint(static_cast<std::uint64_t>(number) << 3) + varint(value); }

inline std::string digest(const std::string& bytes, std::optional<std::uint64_t> size = {}) {
  return field(1, base::digest_of<BlobDigest>(bytes).hex()) + field(2, size.value_or(bytes.size()));
}
inline std::string output_file(const std::string& path, const std::string& bytes) { return field(2, field(1, path) + field(2, digest(bytes))); }
inline std::string output_directory(const std::string& path, const std::string& tree) { return field(3, field(1, path) + field(3, digest(tree))); }
inline std::string directory_with(const std::string& name, const std::string& bytes) { return field(1, field(1, name) + field(2, digest(bytes))); }

}  // namespace cairn::serve::proto
