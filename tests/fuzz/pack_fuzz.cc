// SPDX-License-Identifier: Apache-2.0
// A pack with anything in it. The scan ends, visits entries inside the file only, in order, and each payload that its
// checksum accepts is what the checksum says. The first 8 bytes are the salt.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "libbase/compress/crc32c.h"
#include "libbase/fs/fd.h"
#include "libcache/blobs/pack_format.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn;
  if (size < 8) return 0;
  std::uint64_t salt = 0;
  std::memcpy(&salt, data, sizeof salt);
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 8, size - 8);
  (void)cache::decode_pack_header(bytes);
  const base::Fd file(::memfd_create("pack", MFD_CLOEXEC));
  CHECK(file && base::write_full(file.get(), bytes).has_value());
  std::uint64_t last_end = cache::pack_header_size;
  const auto visit = [&](std::uint64_t offset, const cache::EntryHeader& header) -> base::Result<base::lmdb::Scan> {
    CHECK(offset >= last_end && offset % 8 == 0 && offset + cache::entry_header_size + header.size <= bytes.size());
    CHECK(cache::encode_entry_header(header, salt, offset) == bytes.substr(offset, cache::entry_header_size));
    last_end = offset + cache::entry_bytes(header.size);
    const auto payload = cache::read_payload(file.get(), offset, header);
    if (payload) CHECK(base::crc32c(*payload) == header.checksum);
    return base::lmdb::Scan::next;
  };
  CHECK(cache::scan_pack(file.get(), salt, 0, visit).has_value());
  return 0;
}
