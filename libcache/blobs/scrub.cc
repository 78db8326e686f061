// SPDX-License-Identifier: Apache-2.0
// Reads blobs back in the order of their names, no faster than it may, and goes on where the last scrub stopped.
#include "libcache/blobs/scrub.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "libcache/blobs/quarantine.h"
#include "libcache/records/scan.h"
#include "libcache/records/store.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;
using base::lmdb::WriteTxn;

namespace {

const std::string scrub_key = "blobs";
constexpr std::uint64_t step_bytes = 16u << 20;
constexpr std::size_t step_blobs = 4096;
constexpr int who_thread = 1, class_shift = 13, class_idle = 3;

// The disk serves this thread when it has nothing else to do. Where the kernel has no such class, the budget is all there is.
class IdleDisk {
 public:
  IdleDisk() : before_(::syscall(SYS_ioprio_get, who_thread, 0)) {
    ::syscall(SYS_ioprio_set, who_thread, 0, class_idle << class_shift);
  }
  ~IdleDisk() {
    if (before_ >= 0) ::syscall(SYS_ioprio_set, who_thread, 0, before_);
  }
  IdleDisk(const IdleDisk&) = delete;
  IdleDisk& operator=(const IdleDisk&) = delete;

 private:
  long before_;
};

// The next blobs from `from` on, as many as make a step. The position moves behind them; none: it is the end.
Result<std::vector<BlobDigest>> next_blobs(Store& store, const BlobDigest& from) {
  std::vector<BlobDigest> blobs;
  std::uint64_t bytes = 0;
  TRY(store.env.view([&](ReadTxn& txn) {
    const auto visit = [&](std::string_view key, std::string_view value) -> Result<Scan> {
      blobs.push_back(TRY(BlobDigest::from_raw(key)));
      bytes += TRY(base::Codec<BlobRow>::decode(value)).size;
      return bytes >= step_bytes || blobs.size() == step_blobs ? Scan::stop : Scan::next;
    };
    // A row whose value is damaged is for fsck.
    return txn.scan_all(table::blobs, from.raw(), visit, [](std::string_view) {});
  }));
  return blobs;
}

BlobDigest behind(const BlobDigest& digest) {
  base::Sha256Bytes bytes = digest.bytes();
  for (std::size_t i = bytes.size(); i-- > 0;)
    if (++bytes[i] != 0) break;
  return BlobDigest(bytes);
}

// Zero bytes: the next scrub begins at the first blob.
Status save_position(Store& store, const BlobDigest& next) {
  base::lmdb::GroupWriter::Entry entry;
  entry.change = [next](WriteTxn& txn) { return txn.put(table::scrub, scrub_key, ScrubRow{next}); };
  TRY(enqueue(store, std::move(entry)));
  return {};
}

// Waits until as much time has gone as so many bytes may take. False: it is to stop.
bool keep_pace(std::chrono::steady_clock::time_point since, std::uint64_t bytes, std::uint64_t per_second,
               std::stop_token stop) {
  if (per_second == 0) return !stop.stop_requested();
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  const auto until = since + std::chrono::microseconds(bytes * 1'000'000 / per_second);
  never.wait_until(lock, stop, until, [] { return false; });
  return !stop.stop_requested();
}

}  // namespace

Result<ScrubReport> scrub_blobs(Store& store, const ScrubOptions& options, std::stop_token stop) {
  const IdleDisk idle;
  ScrubReport report;
  const auto row = store.env.view([](ReadTxn& txn) { return txn.get(table::scrub, scrub_key); });
  BlobDigest next = row && *row && options.from == ScrubOptions::From::last_stop ? (*row)->next : BlobDigest();
  const auto since = std::chrono::steady_clock::now();
  for (;;) {
    const std::vector<BlobDigest> blobs = TRY(next_blobs(store, next), "scrub");
    for (const BlobDigest& digest : blobs) {
      const auto size = store.blobs.verify(digest);
      ++report.blobs;
      if (size) report.bytes += *size;
      if (!size && size.error().code == ErrorCode::corrupt) ++report.damaged;
      if (!size && size.error().code != ErrorCode::corrupt && size.error().code != ErrorCode::not_found)
        return tl::unexpected(size.error());
      next = behind(digest);
      if (!keep_pace(since, report.bytes, options.bytes_per_second, stop)) {
        TRY(save_position(store, next), "scrub");
        return report;
      }
    }
    if (blobs.empty() || next == BlobDigest()) break;
    TRY(save_position(store, next), "scrub");
  }
  TRY(save_position(store, BlobDigest()), "scrub");
  report.reached_end = true;
  return report;
}

}  // namespace cairn::cache
