// SPDX-License-Identifier: Apache-2.0
#include "tests/support/tier_double.h"

#include <thread>

#include "tests/support/string_source.h"

namespace cairn::test {

using base::ErrorCode;
using base::Result;
using base::Status;

namespace {

Status hang(Shelf& shelf, const base::Clock& clock, const cache::TierCall& call) {
  ++shelf.hanging;
  while (!call.stop.stop_requested() && clock.steady_now() < call.deadline && shelf.sickness != Sickness::none)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  --shelf.hanging;
  if (call.stop.stop_requested()) return base::fail(ErrorCode::cancelled, "nobody waits any more");
  if (shelf.sickness == Sickness::none) return {};  // it has recovered
  return base::fail(ErrorCode::io, "no answer in time");
}

class DripSource final : public base::ByteSource {
 public:
  DripSource(std::shared_ptr<Shelf> shelf, const base::Clock& clock, cache::TierCall call)
      : shelf_(std::move(shelf)), clock_(clock), call_(std::move(call)) {}
  Result<std::size_t> read(std::span<std::byte> out) override {
    if (std::exchange(begun_, true)) TRY(hang(*shelf_, clock_, call_));
    out[0] = std::byte{'x'};
    return 1;
  }

 private:
  const std::shared_ptr<Shelf> shelf_;
  const base::Clock& clock_;
  const cache::TierCall call_;
  bool begun_ = false;
};

class EndlessSource final : public base::ByteSource {
 public:
  Result<std::size_t> read(std::span<std::byte> out) override { return out.size(); }
};

Result<std::string> all_of(base::ByteSource& source) {
  std::string all, piece(4096, '\0');
  while (const std::size_t count = TRY(source.read(std::as_writable_bytes(std::span(piece)))))
    all.append(piece, 0, count);
  return all;
}

}  // namespace

Status TierDouble::suffer(const cache::TierCall& call) {
  switch (shelf_->sickness.load()) {
    case Sickness::black_hole: return hang(*shelf_, clock_, call);
    case Sickness::io: return base::fail(ErrorCode::io, "{}: 500", name_);
    case Sickness::busy: return base::fail(ErrorCode::busy, "{}: 429", name_);
    case Sickness::unavailable: return base::fail(ErrorCode::unavailable, "{}: 403", name_);
    default: return {};
  }
}

Result<std::vector<bool>> TierDouble::has_blobs(std::span<const cache::SizedBlob> blobs, const cache::TierCall& call) {
  TRY(suffer(call));
  shelf_->asked_of_blobs += blobs.size();
  const std::lock_guard lock(shelf_->mutex);
  std::vector<bool> there;
  for (const auto& blob : blobs)
    there.push_back(shelf_->sickness == Sickness::forgets || shelf_->blobs.contains(blob.digest));
  return there;
}

Result<std::unique_ptr<base::ByteSource>> TierDouble::open_blob(const cache::SizedBlob& blob,
                                                                const cache::TierCall& call) {
  ++shelf_->opens;
  TRY(suffer(call));
  if (shelf_->sickness == Sickness::slow_blobs) TRY(hang(*shelf_, clock_, call));
  std::string bytes;
  {
    const std::lock_guard lock(shelf_->mutex);
    const auto found = shelf_->blobs.find(blob.digest);
    if (found == shelf_->blobs.end()) return nullptr;
    bytes = found->second;
  }
  switch (shelf_->sickness.load()) {
    case Sickness::slow_drip: return std::make_unique<DripSource>(shelf_, clock_, call);
    case Sickness::endless: return std::make_unique<EndlessSource>();
    case Sickness::wrong_bytes: bytes[0] = static_cast<char>(bytes[0] ^ 1); break;
    case Sickness::cut_off: bytes.resize(bytes.size() / 2); break;
    default: break;
  }
  return std::make_unique<StringSource>(std::move(bytes), 1000);
}

Status TierDouble::put_blob(const cache::SizedBlob& blob, base::ByteSource& bytes, const cache::TierCall& call) {
  TRY(suffer(call));
  std::string all = TRY(all_of(bytes));
  ++shelf_->blob_puts;
  const std::lock_guard lock(shelf_->mutex);
  shelf_->blobs[blob.digest] = std::move(all);
  return {};
}

Result<std::optional<cache::TierEntry>> TierDouble::find_entry(const cache::EntryName& name,
                                                               const cache::TierCall& call) {
  ++shelf_->lookups;
  const std::chrono::nanoseconds wait = call.deadline - clock_.steady_now();
  shelf_->longest_wait_ns = std::max<std::int64_t>(shelf_->longest_wait_ns, wait.count());
  TRY(suffer(call));
  auto found = shelf_->entry(name);
  if (found && found->closure && shelf_->sickness == Sickness::lies_of_size)
    for (auto& blob : *found->closure) ++blob.size;
  return found;
}

Status TierDouble::put_entry(const cache::EntryName& name, const cache::TierEntry& entry, const cache::TierCall& call) {
  TRY(suffer(call));
  ++shelf_->entry_puts;
  const std::lock_guard lock(shelf_->mutex);
  shelf_->entries[key_of(name)] = entry;
  return {};
}

Status TierDouble::flush(const cache::TierCall& call) {
  ++shelf_->flushes;
  if (shelf_->sickness == Sickness::refuses_packs) return base::fail(ErrorCode::invalid_argument, "{}: 413", name_);
  return suffer(call);
}

}  // namespace cairn::test
