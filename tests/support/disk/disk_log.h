// SPDX-License-Identifier: Apache-2.0
// What a recorded disk has been asked to do, in order: every write with its bytes, and every flush. The log lies in
// memory that the process of the disk and the test share, together with the switches that make the disk fail.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "libbase/fs/fd.h"

namespace cairn::test {

struct DiskRecord {
  enum class Kind : std::uint32_t { write = 1, flush = 2 };
  Kind kind = Kind::write;
  std::uint64_t offset = 0;               // of a write, on the disk
  std::span<const std::byte> bytes;       // of a write
};

// The first page of the shared memory. A failing request gets the errno that is set here; 0: it does not fail.
struct DiskSwitches {
  std::atomic<int> recording{1};
  std::atomic<int> read_errno{0}, write_errno{0}, flush_errno{0};
  std::atomic<std::uint64_t> records{0};  // complete ones in the log
  std::atomic<std::uint64_t> log_bytes{0};
  std::atomic<std::uint64_t> reads{0}, writes{0}, flushes{0};  // served, also when nothing is recorded
};

// One writer (the disk), and readers of what is complete. Aborts when it cannot have its memory, or is full.
class DiskLog {
 public:
  static DiskLog create();
  static DiskLog attach(base::Fd memory);
  DiskLog(DiskLog&& other) noexcept;
  ~DiskLog();

  int memory() const { return memory_.get(); }
  DiskSwitches& switches() const { return *reinterpret_cast<DiskSwitches*>(start_); }
  void add_write(std::uint64_t offset, std::span<const std::byte> bytes);
  void add_flush();
  // How many records there are. What is acknowledged now must survive a cut after that many.
  std::uint64_t position() const { return switches().records.load(); }
  std::vector<DiskRecord> records() const;  // good as long as the log

 private:
  explicit DiskLog(base::Fd memory);
  void add(DiskRecord::Kind kind, std::uint64_t offset, std::span<const std::byte> bytes);

  base::Fd memory_;
  std::byte* start_ = nullptr;
};

}  // namespace cairn::test
