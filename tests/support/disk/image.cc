// SPDX-License-Identifier: Apache-2.0
#include "tests/support/disk/image.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>

#include "tests/support/block_device.h"

namespace cairn::test {
namespace {

constexpr std::size_t block_bytes = 4096;

// Data only: an image is mostly hole.
void copy_sparse(int from, int to) {
  std::vector<std::byte> buffer(1u << 20);
  off_t at = 0;
  while (true) {
    at = ::lseek(from, at, SEEK_DATA);
    if (at < 0) {
      CHECK(errno == ENXIO, "find the data of an image: {}", ::strerror(errno));
      return;
    }
    const off_t end = ::lseek(from, at, SEEK_HOLE);
    while (at < end) {
      const std::size_t size = std::min<std::size_t>(buffer.size(), static_cast<std::size_t>(end - at));
      const ssize_t count = ::pread(from, buffer.data(), size, at);
      CHECK(count > 0 && ::pwrite(to, buffer.data(), static_cast<std::size_t>(count), at) == count, "copy an image: {}",
            ::strerror(errno));
      at += count;
    }
  }
}

void apply(int image, std::uint64_t offset, std::span<const std::byte> bytes) {
  CHECK(::pwrite(image, bytes.data(), bytes.size(), static_cast<off_t>(offset)) == static_cast<ssize_t>(bytes.size()),
        "write to an image: {}", ::strerror(errno));
}

void apply_half(int image, const DiskRecord& record, std::mt19937_64& random, std::size_t step) {
  for (std::size_t at = 0; at < record.bytes.size(); at += step) {
    if (random() % 2 == 0) continue;
    apply(image, record.offset + at, record.bytes.subspan(at, std::min(step, record.bytes.size() - at)));
  }
}

}  // namespace

std::string Cut::str() const {
  if (end == durable) return fmt::format("after {} requests", end);
  return fmt::format("after {} requests, half of those behind {} lost (seed {})", end, durable, seed);
}

Cut prefix_cut(std::size_t end) { return {end, end, 0}; }

Cut lossy_cut(std::span<const DiskRecord> records, std::size_t end, std::uint64_t seed) {
  std::size_t durable = end;
  while (durable > 0 && records[durable - 1].kind != DiskRecord::Kind::flush) --durable;
  return {end, durable, seed};
}

std::vector<std::size_t> flush_boundaries(std::span<const DiskRecord> records) {
  std::vector<std::size_t> boundaries;
  for (std::size_t i = 0; i < records.size(); ++i) {
    if (records[i].kind == DiskRecord::Kind::flush) boundaries.push_back(i + 1);
  }
  return boundaries;
}

base::Fd image_after(int base, std::span<const DiskRecord> records, const Cut& cut) {
  struct ::stat stat {};
  CHECK(::fstat(base, &stat) == 0);
  base::Fd image = memory_image(static_cast<std::uint64_t>(stat.st_size));
  copy_sparse(base, image.get());
  std::mt19937_64 random(cut.seed);
  const std::size_t step = cut.seed % 2 == 0 ? SIZE_MAX / 2 : block_bytes;
  for (std::size_t i = 0; i < cut.end; ++i) {
    if (records[i].kind != DiskRecord::Kind::write) continue;
    if (i < cut.durable) {
      apply(image.get(), records[i].offset, records[i].bytes);
    } else {
      apply_half(image.get(), records[i], random, step);
    }
  }
  return image;
}

}  // namespace cairn::test
