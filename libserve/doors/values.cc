// SPDX-License-Identifier: Apache-2.0
#include "libserve/doors/values.h"

#include <fcntl.h>
#include <unistd.h>

#include "libbase/fs/file_source.h"
#include "libbase/read_full.h"
#include "libcache/cache.h"
#include "libserve/doors/receiver.h"
#include "libserve/http/words.h"
#include "libserve/reapi/closure.h"

namespace cairn::serve {

using base::ErrorCode;
using base::Result;
using base::Status;

namespace {

constexpr std::size_t text_bytes_max = 64 * 1024;  // a body of at most this is read at once
constexpr std::size_t compressed_bytes_min = 1024;
const std::string octets = "application/octet-stream";

std::string tag_of(const BlobDigest& digest) { return "\"" + digest.hex() + "\""; }

class ReceiverSink final : public BodySink {
 public:
  ReceiverSink(std::unique_ptr<Receiver> receiver, Then then)
      : receiver_(std::move(receiver)), then_(std::move(then)) {}
  Status write(std::string_view piece) override { return receiver_->write(piece); }
  Answer finish() override {
    const auto put = receiver_->finish();
    return put ? then_(*put) : Answer{error_reply(put.error())};
  }

 private:
  const std::unique_ptr<Receiver> receiver_;
  const Then then_;
};

Begun refused(unsigned status, std::string why) { return {.answer = {text_reply(status, std::move(why))}}; }

Reply failed_read(const base::Error& error) {
  // What is damaged is a miss: the store knows it by now, and the client makes it anew.
  return error.code == ErrorCode::not_found || error.code == ErrorCode::corrupt ? text_reply(404, "not found")
                                                                                : error_reply(error);
}

Status add_body(cache::BlobStore& blobs, Reply& reply, const BlobDigest& digest, cache::ByteRange range) {
  if (range.length <= text_bytes_max) {
    auto source = TRY(blobs.open_range(digest, range));
    reply.text.resize(static_cast<std::size_t>(range.length));
    if (TRY(base::read_full(*source, std::span<char>(reply.text))) < range.length)
      return base::fail(ErrorCode::corrupt, "blob {} ends early", digest);
    return {};
  }
  reply.source = TRY(blobs.open_range(digest, range));
  reply.size = range.length;
  return {};
}

// Most requests are for all of something small: one look and one read.
std::optional<Reply> small_reply(cache::BlobStore& blobs, const Request& request, const BlobDigest& digest) {
  if (request.method != Method::get || accepts_encoding(request.header("Accept-Encoding"), "zstd")) return std::nullopt;
  for (const char* name : {"Range", "If-Match", "If-None-Match"})
    if (!request.header(name).empty()) return std::nullopt;
  auto bytes = blobs.read(digest, text_bytes_max);
  if (!bytes) return std::nullopt;  // the long way says why
  return Reply{.status = 200,
               .headers = {{"ETag", tag_of(digest)},
                           {"Accept-Ranges", "bytes"},
                           {"Vary", "Accept-Encoding"},
                           {"Content-Type", octets}},
               .text = std::move(*bytes)};
}

bool asks_for_part(const Request& request, const std::string& tag) {
  const std::string_view condition = request.header("If-Range");
  return request.method == Method::get && !request.header("Range").empty() && (condition.empty() || condition == tag);
}

}  // namespace

Status expect_room(Intake& intake, std::uint64_t bytes) {
  return cache::expect_room(intake.cache, intake.live_bytes_max, bytes);
}

Result<cache::EntryStore::Put> keep_entry(Intake& intake, const Viewer& viewer, cache::NewEntry entry,
                                          cache::EntryStore::Existing existing) {
  using Outcome = cache::EntryStore::Outcome;
  cache::EntryStore entries(intake.cache, viewer.space);
  if (intake.tiers == nullptr) return entries.put(std::move(entry), existing);
  const auto put = TRY(entries.put(entry, existing));
  if (put.outcome == Outcome::made || put.outcome == Outcome::replaced) intake.tiers->send(entry);
  return put;
}

void fetch_entry(Intake& intake, const cache::EntryName& name, cache::Tiers::Answered then) {
  cache::Tiers::ReadClosure closure;
  if (name.door == "bazel")
    closure = [&blobs = intake.cache.blobs()](std::string_view value, const cache::Tiers::BringBlobs& bring) {
      auto needed = needed_by(value, blobs, bring);
      // Others put values of their own below ac/, and need nothing.
      if (!needed && !blobs_of_action_result(value)) needed = std::vector<SizedDigest>();
      return needed;
    };
  cache::EntryName trusted = name;
  trusted.trust = cache::Trust::trusted;
  intake.tiers->fetch_entry(trusted, std::move(closure), std::move(then));
}

Reply blob_reply(cache::BlobView blobs, const Request& request, const BlobDigest& digest,
                 std::optional<cache::ImmutableRef> hold) {
  if (auto small = small_reply(blobs, request, digest)) return std::move(*small);
  const auto found = blobs.find(digest);
  if (!found) return error_reply(found.error());
  if (!*found) return text_reply(404, "not found");
  const std::uint64_t size = (*found)->size;
  const std::string tag = tag_of(digest);
  Reply reply{.status = 200, .headers = {{"ETag", tag}, {"Accept-Ranges", "bytes"}, {"Vary", "Accept-Encoding"}}};
  if (const auto match = request.header("If-Match"); !match.empty() && !names_tag(match, tag))
    return text_reply(412, "it is another");
  if (names_tag(request.header("If-None-Match"), tag)) {
    reply.status = 304;
    return reply;
  }
  reply.headers.push_back({"Content-Type", octets});
  if (request.method == Method::head) {
    reply.size = size;
    return reply;
  }
  cache::ByteRange range{0, size};
  const bool part = asks_for_part(request, tag);
  if (part) {
    const RangeAsked asked = parse_range(request.header("Range"), size);
    if (asked.fit == RangeFit::beyond) {
      Reply beyond = text_reply(416, "there are not so many bytes");
      beyond.headers.push_back({"Content-Range", fmt::format("bytes */{}", size)});
      return beyond;
    }
    if (asked.fit == RangeFit::part) {
      range = {asked.bytes.offset, asked.bytes.length};
      reply.status = 206;
      reply.headers.push_back(
          {"Content-Range", fmt::format("bytes {}-{}/{}", range.offset, range.offset + range.length - 1, size)});
    }
  }
  if (const Status added = add_body(blobs, reply, digest, range); !added) return failed_read(added.error());
  reply.hold = std::move(hold);
  if (!part && request.may_be_chunked && size >= compressed_bytes_min &&
      accepts_encoding(request.header("Accept-Encoding"), "zstd"))
    reply.encoding = base::Compression::zstd;
  return reply;
}

Begun take_blob(Intake& intake, const Viewer& viewer, const Request& request, std::optional<BlobDigest> expected,
                Then then) {
  if (!request.content_length && !request.chunked)
    return refused(411, "a body needs a Content-Length, or to come in chunks");
  const std::uint64_t announced = request.content_length.value_or(0);
  if (announced > intake.body_max) return refused(413, fmt::format("{} bytes are the most", intake.body_max));
  if (const Status room = expect_room(intake, announced); !room) return {.answer = {error_reply(room.error())}};
  const std::string_view coding = request.header("Content-Encoding");
  const bool is_packed = !coding.empty() && !same_word(coding, "identity");
  if (is_packed && (!same_word(coding, "zstd") || !intake.spool))
    return refused(415, "of content codings only zstd is known");
  auto receiver = make_receiver(intake, viewer.space, is_packed ? base::Compression::zstd : base::Compression::none,
                                parse_number(request.header("X-Digest-SizeBytes")), expected);
  if (!receiver) return {.answer = {error_reply(receiver.error())}};
  Begun begun;
  begun.body_max = intake.body_max;
  begun.sink = std::make_unique<ReceiverSink>(std::move(*receiver), std::move(then));
  return begun;
}

}  // namespace cairn::serve
