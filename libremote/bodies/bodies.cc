// SPDX-License-Identifier: Apache-2.0
#include "libremote/bodies/bodies.h"

#include <algorithm>
#include <vector>

#include "libbase/read_full.h"
namespace cairn::remote {

using base::ErrorCode;
using base::fail;
using base::Result;

namespace {
constexpr std::size_t said_bytes_max = 160;
}

std::string printable(std::string_view text) {
  std::string out(text.substr(0, said_bytes_max));
  std::replace_if(
      out.begin(), out.end(), [](unsigned char c) { return c < 0x20 || c >= 0x7f; }, '?');
  return out;
}

Result<std::string> read_whole(base::ByteSource& source, std::size_t size_max) {
  std::string bytes;
  std::vector<std::byte> buffer(64 << 10);
  while (const std::size_t count = TRY(source.read(buffer))) {
    bytes.append(reinterpret_cast<const char*>(buffer.data()), count);
    if (bytes.size() > size_max) return fail(ErrorCode::invalid_argument, "more than {} bytes", size_max);
  }
  return bytes;
}

Result<std::string> read_sized(base::ByteSource& source, std::size_t size) {
  std::string bytes(size, '\0');
  const std::size_t count = TRY(base::read_full(source, std::span<char>(bytes)));
  if (count < size) return fail(ErrorCode::corrupt, "it ended {} bytes too early", size - count);
  std::byte beyond{};
  if (TRY(source.read({&beyond, 1})) > 0) return fail(ErrorCode::corrupt, "it has more bytes than it should have");
  return bytes;
}

Result<std::size_t> StringBody::read(std::span<std::byte> out) {
  const std::size_t count = bytes_.copy(reinterpret_cast<char*>(out.data()), out.size(), at_);
  at_ += count;
  return count;
}

Result<std::size_t> SizedBody::read(std::span<std::byte> out) {
  if (failed_) return tl::unexpected(*failed_);
  if (out.empty()) return std::size_t{0};
  std::byte beyond{};
  if (left_ == 0) out = {&beyond, 1};
  auto count = source_->read(out);
  if (count && *count == 0 && left_ > 0) count = fail(ErrorCode::corrupt, "it ended {} bytes too early", left_);
  if (count && *count > left_) count = fail(ErrorCode::corrupt, "it has more bytes than it should have");
  if (count)
    left_ -= *count;
  else
    failed_ = base::add_context(std::move(count).error(), what_);
  if (failed_) return tl::unexpected(*failed_);
  return count;
}

}  // namespace cairn::remote
