// SPDX-License-Identifier: Apache-2.0
#include "libremote/registry/upload.h"

#include <algorithm>
#include <charconv>

#include "libbase/hash/sha256.h"
#include "libremote/bodies/bodies.h"

namespace cairn::remote {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;
using cache::FetchAnswer;
using cache::FetchRequest;

namespace {

constexpr std::uint64_t piece_bytes = 16 << 20;
constexpr const char* octets = "application/octet-stream";

}  // namespace

std::string resolve_location(const FetchAnswer& answer) {
  const std::string& location = answer.header("location");
  if (location.empty() || location.starts_with("http://") || location.starts_with("https://")) return location;
  const std::string origin = origin_of(answer.url);
  if (location.starts_with("//")) return origin.substr(0, origin.find("//")) + location;  // another host
  if (location.starts_with('/')) return origin + location;
  std::string path = answer.url.substr(0, answer.url.find_first_of("?#"));  // what is after it may have slashes, too
  if (path.size() <= origin.size()) path = origin + "/";
  if (location.starts_with('?')) return path + location;
  return path.substr(0, path.rfind('/') + 1) + location;
}

std::uint64_t bytes_taken(std::string_view range) {
  if (range.starts_with("bytes=")) range.remove_prefix(6);
  if (!range.starts_with("0-")) return 0;
  range.remove_prefix(2);
  std::uint64_t last = 0;
  const char* end = range.data() + range.size();
  const auto parsed = std::from_chars(range.data(), end, last);
  return parsed.ec == std::errc() && parsed.ptr == end && last > 0 ? last + 1 : 0;
}

// Each answer may name another place to go on.
Status Upload::follow(const FetchAnswer& answer) {
  if (std::string next = resolve_location(answer); !next.empty()) location_ = std::move(next);
  if (origin_of(repository_.base_url()).starts_with("https://") && !location_.starts_with("https://")) {
    return fail(ErrorCode::invalid_argument, "{}: an upload is to go on where it is not encrypted", repository_.name());
  }
  return {};
}

Status Upload::finish(base::ByteSource* body, std::uint64_t bytes) {
  const std::string address =
      location_ + (location_.find('?') == std::string::npos ? "?" : "&") + "digest=" + digest_.str();
  FetchRequest request{.url = {},
                       .method = FetchRequest::Method::put,
                       .headers = {{"Content-Type", octets}},
                       .body = body,
                       .body_bytes = bytes};
  TRY(repository_.ask(std::move(request), address, stop_));
  return {};
}

Status Upload::send_piece() {
  if (!source_) source_ = TRY(open_(done_));
  const std::uint64_t count = std::min(piece_bytes, size_ - done_);
  FetchRequest request{
      .url = {},
      .method = FetchRequest::Method::patch,
      .headers = {{"Content-Type", octets}, {"Content-Range", fmt::format("{}-{}", done_, done_ + count - 1)}},
      .body = source_.get(),
      .body_bytes = count};
  const FetchAnswer answer = TRY(repository_.ask(std::move(request), location_, stop_));
  done_ += count;
  return follow(answer);
}

Status Upload::ask_offset() {
  source_.reset();
  const FetchAnswer answer = TRY(repository_.ask({.url = {}, .headers = {}}, location_, stop_));
  done_ = bytes_taken(answer.header("range"));
  if (done_ > size_)
    return fail(ErrorCode::io, "{}: the registry has {} of {} bytes of an upload", repository_.name(), done_, size_);
  return follow(answer);
}

Status Upload::send() {
  if (size_ <= piece_bytes) {
    const auto source = TRY(open_(0));
    return finish(source.get(), size_);
  }
  int breaks = 0;  // without getting on
  while (done_ < size_) {
    const std::uint64_t before = done_;
    const Status sent = send_piece();
    if (sent) {
      if (done_ > before) breaks = 0;
      continue;
    }
    if (sent.error().code != ErrorCode::io || ++breaks >= repository_.options().tries) return sent;
    TRY(repository_.pause(breaks, std::nullopt, stop_));
    TRY(ask_offset());
  }
  return finish(nullptr, 0);
}

Result<std::string> HttpRepository::begin_upload(const std::string& more, const std::stop_token& stop) {
  FetchRequest request{.url = {}, .method = FetchRequest::Method::post, .headers = {}};
  const FetchAnswer answer = TRY(ask(std::move(request), "blobs/uploads/" + more, stop));
  if (answer.status == 201) return std::string();  // it is there
  const std::string location = resolve_location(answer);
  if (location.empty()) return fail(ErrorCode::io, "{}: the registry says not where to upload to", name_text_);
  if (base_url_.starts_with("https://") && !location.starts_with("https://")) {
    return fail(ErrorCode::invalid_argument, "{}: an upload is to go where it is not encrypted", name_text_);
  }
  return location;
}

Status HttpRepository::push_blob(const BlobDigest& digest, std::uint64_t size, const OpenBlob& open,
                                 std::stop_token stop) {
  for (int tries = 1;; ++tries) {
    const std::string location = TRY(begin_upload("", stop));
    const Status sent = Upload(*this, digest, size, open, location, stop).send();
    if (sent) return sent;
    const bool passes = sent.error().code == ErrorCode::io || sent.error().code == ErrorCode::not_found;
    if (!passes || tries >= options_.tries)
      return tl::unexpected(base::add_context(sent.error(), fmt::format("push blob {}", digest)));
    TRY(pause(tries, std::nullopt, stop));
  }
}

Result<bool> HttpRepository::mount_blob(const BlobDigest& digest, const cache::RepositoryName& from,
                                        std::stop_token stop) {
  // What it begins instead of a mount is forgotten by the registry in its own time.
  return TRY(begin_upload(fmt::format("?mount={}&from={}", digest, from.path), stop)).empty();
}

Result<std::optional<std::uint64_t>> HttpRepository::find_blob(const BlobDigest& digest, std::stop_token stop) {
  auto answer = ask({.url = {}, .method = FetchRequest::Method::head, .headers = {}}, "blobs/" + digest.str(), stop);
  if (!answer && answer.error().code == ErrorCode::not_found) return std::optional<std::uint64_t>();
  if (!answer) return tl::unexpected(std::move(answer).error());
  return answer->size;
}

Result<BlobDigest> HttpRepository::push_manifest(const std::string& tag, const std::string& media_type,
                                                 const std::string& bytes, std::stop_token stop) {
  for (int tries = 1;; ++tries) {
    StringBody body(bytes);
    FetchRequest request{.url = {},
                         .method = FetchRequest::Method::put,
                         .headers = {{"Content-Type", media_type}},
                         .body = &body,
                         .body_bytes = bytes.size()};
    const auto answer = ask(std::move(request), "manifests/" + tag, stop);
    if (answer) return base::digest_of<BlobDigest>(bytes);
    if (answer.error().code != ErrorCode::io || tries >= options_.tries)
      return tl::unexpected(base::add_context(answer.error(), "push manifest"));
    TRY(pause(tries, std::nullopt, stop));
  }
}

}  // namespace cairn::remote
