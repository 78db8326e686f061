// SPDX-License-Identifier: Apache-2.0
// Blobs in the order of their names, then trees in that of their records; no faster than it may, and from where the last
// scrub stopped.
#include "libcache/blobs/scrub.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "libcache/blobs/quarantine.h"
#include "libcache/records/scan.h"
#include "libcache/records/store.h"
#include "libcache/trees/scrub_trees.h"

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

// True: it has come to the end.
Result<bool> scrub_blobs(Store& store, ScrubOptions::From from, ScrubPace& pace, ScrubReport& report) {
  const auto row = store.env.view([](ReadTxn& txn) { return txn.get(table::scrub, scrub_key); });
  BlobDigest next = row && *row && from == ScrubOptions::From::last_stop ? (*row)->next : BlobDigest();
  for (;;) {
    const std::vector<BlobDigest> blobs = TRY(next_blobs(store, next));
    for (const BlobDigest& digest : blobs) {
      const auto size = store.blobs.verify(digest);
      ++report.blobs;
      if (size) report.bytes += *size;
      if (!size && size.error().code == ErrorCode::corrupt) ++report.damaged;
      if (!size && size.error().code != ErrorCode::corrupt && size.error().code != ErrorCode::not_found)
        return tl::unexpected(size.error());
      next = behind(digest);
      pace.read(size.value_or(0));
      if (!pace.is_stopped()) continue;
      TRY(save_position(store, next));
      return false;
    }
    if (blobs.empty() || next == BlobDigest()) break;
    TRY(save_position(store, next));
  }
  TRY(save_position(store, BlobDigest()));
  return true;
}

// The last scrub stopped in the trees: it had been through the blobs.
bool stopped_in_trees(Store& store) {
  const auto row = store.env.view([](ReadTxn& txn) { return txn.get(table::tree_scrub, tree_scrub_key); });
  return row && *row && (*row)->next;
}

}  // namespace

void ScrubPace::read(std::uint64_t bytes) {
  bytes_ += bytes;
  if (per_second_ == 0) return;
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_until(lock, stop_, since_ + std::chrono::microseconds(bytes_ * 1'000'000 / per_second_), [] { return false; });
}

Result<ScrubReport> scrub(Store& store, const ScrubOptions& options, std::stop_token stop) {
  const IdleDisk idle;
  ScrubReport report;
  ScrubPace pace(options.bytes_per_second, std::move(stop));
  const bool in_trees = stopped_in_trees(store);
  if (in_trees && options.from == ScrubOptions::From::beginning) TRY(save_tree_position(store, RecordId()), "scrub");
  const bool blobs_are_done = in_trees && options.from == ScrubOptions::From::last_stop;
  if (!blobs_are_done && !TRY(scrub_blobs(store, options.from, pace, report), "scrub")) return report;
  report.reached_end = TRY(scrub_trees(store, options.from, pace, report), "scrub");
  return report;
}

}  // namespace cairn::cache
