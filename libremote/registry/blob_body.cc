// SPDX-License-Identifier: Apache-2.0
#include "libremote/registry/blob_body.h"

#include <algorithm>
#include <vector>

namespace cairn::remote {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;

namespace {

constexpr std::uint64_t getting_on = 1 << 20;

}  // namespace

base::Error BlobBody::broken(std::string_view why) const {
  return fail(ErrorCode::corrupt, "{}: {} {}", repository_.name(), path_, why).value();
}

Status BlobBody::open() {
  answer_ = {};
  cache::FetchRequest request{.url = {}, .headers = {}};
  if (done_ > 0) request.headers.emplace_back("Range", fmt::format("bytes={}-", done_));
  answer_ = TRY(repository_.get(std::move(request), path_, stop_));
  if (answer_.status == 206) {
    const std::string wanted = fmt::format("bytes {}-", done_);
    if (done_ > 0 && answer_.header("content-range").starts_with(wanted)) return {};
    return tl::unexpected(broken("comes with another range than was asked for"));
  }
  if (size_ && answer_.size && *answer_.size != *size_) {
    return tl::unexpected(broken(fmt::format("has {} bytes where {} are announced", *answer_.size, *size_)));
  }
  if (!size_) size_ = answer_.size;
  return skip(done_);
}

Status BlobBody::skip(std::uint64_t count) {
  std::vector<std::byte> buffer(64 << 10);
  while (count > 0) {
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(count, buffer.size()));
    const std::size_t got = TRY(answer_.body->read(std::span(buffer).first(wanted)));
    if (got == 0) return tl::unexpected(broken("ends too early"));
    count -= got;
  }
  return {};
}

Result<std::size_t> BlobBody::read_once(std::span<std::byte> out) {
  if (!answer_.body) TRY(open());
  const std::size_t count = TRY(answer_.body->read(out));
  if (count == 0 && size_ && done_ < *size_) {
    return tl::unexpected(broken(fmt::format("ends after {} of {} bytes", done_, *size_)));
  }
  return count;
}

Result<std::size_t> BlobBody::read(std::span<std::byte> out) {
  if (out.empty()) return std::size_t{0};
  while (true) {
    auto count = read_once(out);
    if (count) {
      done_ += *count;
      if (size_ && done_ > *size_) return tl::unexpected(broken(fmt::format("has more bytes than the {} announced", *size_)));
      return count;
    }
    const ErrorCode code = count.error().code;
    if (code != ErrorCode::io && code != ErrorCode::corrupt) return count;
    if (done_ - done_at_break_ >= getting_on) breaks_ = 0;
    done_at_break_ = done_;
    if (++breaks_ >= repository_.options().tries) return count;
    answer_ = {};
    TRY(repository_.pause(breaks_, std::nullopt, stop_));
  }
}

}  // namespace cairn::remote
