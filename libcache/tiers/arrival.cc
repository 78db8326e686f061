// SPDX-License-Identifier: Apache-2.0
#include "libcache/tiers/arrival.h"

#include <algorithm>

namespace cairn::cache {

using base::ErrorCode;
using base::Result;
using base::Status;

namespace {
constexpr std::size_t first_bytes_max = 64 << 10;
}  // namespace

tl::unexpected<base::Error> Arrival::fail_with(base::Error error) {
  to_blame_ = true;
  return tl::unexpected<base::Error>(std::move(error));
}

Result<std::size_t> Arrival::read_on(std::span<std::byte> out) {
  auto got = source_->read(out);
  if (!got) return fail_with(std::move(got.error()));
  count_ += *got;
  arrived_ += *got;
  const bool ends_early = *got == 0 && !out.empty() && arrived_ < blob.size;
  if (arrived_ > blob.size || ends_early)
    return fail_with({ErrorCode::corrupt,
                      fmt::format("blob {} of {} bytes came with {}", blob.digest, blob.size,
                                  ends_early ? fmt::format("{}", arrived_) : "more"),
                      {}});
  return got;
}

Status Arrival::begin() {
  // One byte more than there should be: of a small one the end comes with its bytes.
  first_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(blob.size + 1, first_bytes_max)));
  first_.resize(TRY(read_on(std::as_writable_bytes(std::span(first_)))));
  return {};
}

Result<std::size_t> Arrival::read(std::span<std::byte> out) {
  if (first_at_ == first_.size()) return read_on(out);
  const std::size_t count = first_.copy(reinterpret_cast<char*>(out.data()), out.size(), first_at_);
  first_at_ += count;
  return count;
}

}  // namespace cairn::cache
