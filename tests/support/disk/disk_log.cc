// SPDX-License-Identifier: Apache-2.0
// A record is a header, the bytes of a write, and padding to the next header.
#include "tests/support/disk/disk_log.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <new>

namespace cairn::test {
namespace {

constexpr std::size_t switches_bytes = 4096;
constexpr std::size_t memory_bytes = std::size_t{4} << 30;  // address space; memory is taken as it is written to

struct Header {
  DiskRecord::Kind kind;
  std::uint32_t size;
  std::uint64_t offset;
};
static_assert(sizeof(DiskSwitches) <= switches_bytes);

std::size_t padded(std::size_t size) { return (size + 7) / 8 * 8; }

}  // namespace

DiskLog DiskLog::create() {
  base::Fd memory(::memfd_create("cairn-disk-log", 0));  // inherited by the process of the disk
  CHECK(memory, "memory for the log of a disk: {}", ::strerror(errno));
  CHECK(::ftruncate(memory.get(), memory_bytes) == 0, "size of the log of a disk: {}", ::strerror(errno));
  DiskLog log(std::move(memory));
  new (log.start_) DiskSwitches;
  return log;
}

DiskLog DiskLog::attach(base::Fd memory) { return DiskLog(std::move(memory)); }

DiskLog::DiskLog(base::Fd memory) : memory_(std::move(memory)) {
  void* start = ::mmap(nullptr, memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, memory_.get(), 0);
  CHECK(start != MAP_FAILED, "map the log of a disk: {}", ::strerror(errno));
  start_ = static_cast<std::byte*>(start);
}

DiskLog::DiskLog(DiskLog&& other) noexcept
    : memory_(std::move(other.memory_)), start_(std::exchange(other.start_, nullptr)) {}

DiskLog::~DiskLog() {
  if (start_ != nullptr) ::munmap(start_, memory_bytes);
}

void DiskLog::add_write(std::uint64_t offset, std::span<const std::byte> bytes) {
  add(DiskRecord::Kind::write, offset, bytes);
}

void DiskLog::add_flush() { add(DiskRecord::Kind::flush, 0, {}); }

void DiskLog::add(DiskRecord::Kind kind, std::uint64_t offset, std::span<const std::byte> bytes) {
  DiskSwitches& state = switches();
  const std::uint64_t used = state.log_bytes.load();
  CHECK(switches_bytes + used + sizeof(Header) + padded(bytes.size()) <= memory_bytes, "the log of a disk is full");
  std::byte* const to = start_ + switches_bytes + used;
  const Header header{kind, static_cast<std::uint32_t>(bytes.size()), offset};
  std::memcpy(to, &header, sizeof header);
  if (!bytes.empty()) std::memcpy(to + sizeof header, bytes.data(), bytes.size());
  state.log_bytes.store(used + sizeof header + padded(bytes.size()));
  state.records.fetch_add(1);
}

std::vector<DiskRecord> DiskLog::records() const {
  std::vector<DiskRecord> records(position());
  const std::byte* from = start_ + switches_bytes;
  for (DiskRecord& record : records) {
    Header header;
    std::memcpy(&header, from, sizeof header);
    from += sizeof header;
    record = {header.kind, header.offset, {from, header.size}};
    from += padded(header.size);
  }
  return records;
}

}  // namespace cairn::test
