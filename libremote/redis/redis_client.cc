// SPDX-License-Identifier: Apache-2.0
#include "libremote/redis/redis_client.h"

#include <algorithm>

#include "libremote/bodies/bodies.h"

namespace cairn::remote {

using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

ErrorCode code_of(std::string_view text, std::string_view word) {
  if (text.starts_with("ERR max number of clients")) return ErrorCode::busy;
  for (const char* each : {"OOM", "LOADING", "BUSY", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "NOREPLICAS"}) {
    if (word == each) return ErrorCode::busy;
  }
  for (const char* each : {"NOAUTH", "WRONGPASS", "NOPERM", "READONLY", "MOVED", "ASK", "DENIED"}) {
    if (word == each) return ErrorCode::unavailable;
  }
  return ErrorCode::io;
}

base::Error error_of(const RedisReply& reply) {
  const std::string_view word = std::string_view(reply.text).substr(0, reply.text.find(' '));
  auto error = fail(code_of(reply.text, word), "it says \"{}\"", printable(reply.text)).value();
  if (word == "MOVED" || word == "ASK") error.hint = "a tier is one server of Redis, not a cluster";
  return error;
}

std::string name_of(const RedisOptions& options) {
  const std::string place =
      options.unix_socket.empty() ? fmt::format("{}:{}", options.host, options.port) : options.unix_socket;
  return fmt::format("redis://{}/{}", place, options.database);
}

}  // namespace

RedisClient::RedisClient(RedisOptions options) : options_(std::move(options)), name_(name_of(options_)) {}

RedisClient::Replies RedisClient::run(const std::string& commands, std::size_t count, std::size_t bulk_bytes_max,
                                      const cache::TierCall& call) {
  if (auto idle = take_idle()) {
    auto replies = run_on(*idle, commands, count, bulk_bytes_max, call);
    const bool may_be_stale =
        !replies && replies.error().code == ErrorCode::io && std::chrono::steady_clock::now() < call.deadline;
    if (!may_be_stale) return finish(std::move(idle), std::move(replies));
  }
  auto stream = connect(call);
  if (!stream) return tl::unexpected(base::add_context(std::move(stream).error(), name_));
  auto replies = run_on(**stream, commands, count, bulk_bytes_max, call);
  return finish(std::move(*stream), std::move(replies));
}

Result<std::unique_ptr<Stream>> RedisClient::connect(const cache::TierCall& call) const {
  auto stream = TRY(Stream::open({.host = options_.host,
                                  .port = options_.port,
                                  .unix_socket = options_.unix_socket,
                                  .has_tls = options_.security == RedisOptions::Security::tls,
                                  .ca_file = options_.ca_file},
                                 call.deadline, call.stop));
  const std::string database = std::to_string(options_.database);
  std::string commands;
  std::size_t count = 0;
  if (!options_.password.empty()) {
    commands += options_.user.empty() ? redis_command({"AUTH", options_.password})
                                      : redis_command({"AUTH", options_.user, options_.password});
    ++count;
  }
  if (options_.database != 0) {
    commands += redis_command({"SELECT", database});
    ++count;
  }
  if (count == 0) return stream;
  for (const RedisReply& reply : TRY(run_on(*stream, commands, count, 0, call))) {
    if (reply.kind == RedisReply::Kind::status) continue;
    if (reply.kind != RedisReply::Kind::error) return fail(ErrorCode::io, "it greets with something else");
    base::Error error = error_of(reply);
    // A server may repeat what it does not like, which is the password here.
    error.message = fmt::format("it refuses who we are, or the database {}", options_.database);
    if (error.code == ErrorCode::io) error.code = ErrorCode::unavailable;
    return tl::unexpected(std::move(error));
  }
  return stream;
}

RedisClient::Replies RedisClient::run_on(Stream& stream, const std::string& commands, std::size_t count,
                                         std::size_t bulk_bytes_max, const cache::TierCall& call) {
  std::vector<RedisReply> replies;
  RedisReplies reader(bulk_bytes_max);
  const auto take = [&](std::string_view bytes) -> Result<bool> {
    reader.add(bytes);
    while (replies.size() < count) {
      auto reply = TRY(reader.next());
      if (!reply) return false;
      replies.push_back(std::move(*reply));
    }
    if (!reader.is_empty()) return fail(ErrorCode::io, "more replies than commands");
    return true;
  };
  TRY(stream.exchange(commands, take, call.deadline, call.stop));
  return replies;
}

std::unique_ptr<Stream> RedisClient::take_idle() {
  auto idle = idle_.lock();
  if (idle->empty()) return nullptr;
  auto stream = std::move(idle->back());
  idle->pop_back();
  return stream;
}

RedisClient::Replies RedisClient::finish(std::unique_ptr<Stream> stream, Replies replies) {
  if (!replies) return tl::unexpected(base::add_context(std::move(replies).error(), name_));
  if (auto idle = idle_.lock(); idle->size() < idle_max) idle->push_back(std::move(stream));
  const auto refused = std::find_if(replies->begin(), replies->end(),
                                    [](const RedisReply& r) { return r.kind == RedisReply::Kind::error; });
  if (refused != replies->end()) return tl::unexpected(base::add_context(error_of(*refused), name_));
  return replies;
}

}  // namespace cairn::remote
