// SPDX-License-Identifier: Apache-2.0
#include "libremote/bodies/answers.h"

#include <algorithm>

#include "libbase/do_each.h"
#include "libremote/bodies/bodies.h"

namespace cairn::remote {

using base::ErrorCode;
using base::fail;
using base::Result;
using cache::FetchAnswer;
using cache::SizedBlob;

namespace {

constexpr std::size_t small_body_bytes_max = 64 << 10;

ErrorCode code_of(int status) {
  switch (status) {
    case 429:
    case 503:
    case 507: return ErrorCode::busy;
    case 401:
    case 403:
    case 405:
    case 407:
    case 413: return ErrorCode::unavailable;
    // The place of the tier is wrong: nothing that waiting makes better.
    default: return status >= 300 && status < 400 ? ErrorCode::unavailable : ErrorCode::io;
  }
}

}  // namespace

Result<FetchAnswer> ask(cache::Fetcher& fetcher, cache::FetchRequest request, const cache::TierCall& call,
                        std::string_view tier) {
  request.redirects = cache::FetchRequest::Redirects::answer;
  request.deadline = call.deadline;
  auto answer = fetcher.fetch(request, call.stop);
  if (answer) return answer;
  base::Error error = base::add_context(std::move(answer).error(), tier);
  // Whoever called cannot have made an answer that is beyond the fetcher's limits.
  if (error.code == ErrorCode::invalid_argument) error.code = ErrorCode::io;
  return tl::unexpected(std::move(error));
}

std::string read_small(FetchAnswer& answer) { return read_whole(*answer.body, small_body_bytes_max).value_or(""); }

base::Error status_error(const FetchAnswer& answer, std::string_view tier, std::string_view request,
                         std::string_view said) {
  return fail(code_of(answer.status), "{}: {}: status {}{}{}", tier, request, answer.status, said.empty() ? "" : ", ",
              said)
      .value();
}

Result<std::unique_ptr<base::ByteSource>> blob_body(FetchAnswer answer, const SizedBlob& blob, std::string_view tier) {
  if (answer.size && *answer.size != blob.size) {
    return fail(ErrorCode::corrupt, "{}: it has {} bytes of {} instead of {}", tier, *answer.size, blob.digest,
                blob.size);
  }
  return std::make_unique<SizedBody>(std::move(answer.body), blob.size, fmt::format("{}: blob {}", tier, blob.digest));
}

Result<std::string> bounded_body(FetchAnswer& answer, std::size_t bytes_max, std::string_view tier) {
  auto bytes = read_whole(*answer.body, bytes_max);
  if (bytes) return bytes;
  base::Error error = base::add_context(std::move(bytes).error(), tier);
  if (error.code == ErrorCode::invalid_argument) error.code = ErrorCode::corrupt;  // nobody puts so many
  return tl::unexpected(std::move(error));
}

base::Status check_fits(const cache::RemoteTier& tier, const SizedBlob& blob) {
  if (blob.size <= tier.abilities().blob_bytes_max) return {};
  return fail(ErrorCode::invalid_argument, "{}: a blob of {} bytes is too large", tier.name(), blob.size);
}

base::Status check_fits(const cache::RemoteTier& tier, const cache::TierEntry& entry) {
  if (entry.value.size() <= tier.abilities().value_bytes_max) return {};
  return fail(ErrorCode::invalid_argument, "{}: a value of {} bytes is too large", tier.name(), entry.value.size());
}

Result<std::vector<bool>> ask_of_each(std::span<const SizedBlob> blobs, std::size_t at_once,
                                      const std::function<Result<bool>(const SizedBlob&)>& has) {
  std::vector<char> there(blobs.size());  // not of bool: each thread writes its own
  TRY(base::do_each(blobs.size(), at_once, [&](std::size_t at) -> base::Status {
    there[at] = TRY(has(blobs[at])) ? 1 : 0;
    return {};
  }));
  return std::vector<bool>(there.begin(), there.end());
}

}  // namespace cairn::remote
