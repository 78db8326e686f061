// SPDX-License-Identifier: Apache-2.0
#include "tools/cachectl/go_session.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "libbase/base64.h"
#include "libcache/cache.h"
#include "tools/cachectl/command.h"
#include "tools/cachectl/json.h"

namespace cairn::cachectl {

using base::ErrorCode;
using base::Result;
using base::Status;
using gocacheprog::Command;
using gocacheprog::Parser;
using nlohmann::ordered_json;

namespace {

// What Go wants to know again of an action.
struct Facts {
  std::string output;
  base::WallTime time;
};

std::string encode_facts(const Facts& facts) {
  return json_text({{"OutputID", base::base64(facts.output)}, {"Time", base::to_unix_ns(facts.time)}});
}

std::optional<Facts> decode_facts(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("OutputID") || !json.contains("Time")) return std::nullopt;
  if (!json["OutputID"].is_string() || !json["Time"].is_number_integer()) return std::nullopt;
  const auto output = base::from_base64(json["OutputID"].get_ref<const std::string&>());
  if (!output || output->size() != gocacheprog::id_bytes) return std::nullopt;
  return Facts{*output, base::from_unix_ns(json["Time"].get<std::int64_t>())};
}

cache::EntryName name_of(const gocacheprog::Request& request) {
  return {.door = "go", .key = base::base64(request.action)};
}

}  // namespace

GoSession::GoSession(cache::Cache& cache, base::HostPath folder, const base::Clock& clock)
    : cache_(cache), entries_(cache), folder_(std::move(folder)), clock_(clock) {}

GoSession::File::~File() {
  if (fd) ::unlink(path.c_str());
}

std::string GoSession::greeting() { return json_line({{"ID", 0}, {"KnownCommands", {"get", "put", "close"}}}); }

Result<bool> GoSession::take(std::string_view bytes, std::string& answers) {
  for (;;) {
    switch (parser_.next(bytes)) {
      case Parser::Step::more: return true;
      case Parser::Step::request:
        if (parser_.request().command == Command::put && parser_.fault().empty()) begin_put();
        break;
      case Parser::Step::piece: write_put(parser_.piece()); break;
      case Parser::Step::end:
        answers += answer();
        if (closed_) return false;
        break;
      case Parser::Step::broken: return base::fail(ErrorCode::invalid_argument, "{}", parser_.error());
    }
  }
}

std::string GoSession::answer() {
  const gocacheprog::Request& request = parser_.request();
  Result<std::string> done = base::fail(ErrorCode::invalid_argument, "{}", parser_.fault());
  if (parser_.fault().empty())
    done = request.command == Command::get ? get() : request.command == Command::put ? put() : close();
  writer_.reset();
  file_.reset();
  if (done) return std::move(*done);
  ++counts_.errors;
  return json_line({{"ID", request.id}, {"Err", done.error().message}});
}

Result<std::string> GoSession::get() {
  const std::int64_t id = parser_.request().id;
  const auto missed = [&] {
    ++counts_.misses;
    return json_line({{"ID", id}, {"Miss", true}});
  };
  const auto accepts = [](const cache::Entry& entry) { return decode_facts(entry.attributes).has_value(); };
  const auto entry = TRY(entries_.find(name_of(parser_.request()), accepts));
  if (!entry) return missed();
  const auto path = file_of(*entry);
  if (!path && (path.error().code == ErrorCode::not_found || path.error().code == ErrorCode::corrupt)) return missed();
  TRY(path);
  const Facts facts = *decode_facts(entry->attributes);
  ++counts_.hits;
  counts_.read_bytes += entry->value_bytes;
  return json_line({{"ID", id},
                    {"OutputID", base::base64(facts.output)},
                    {"Size", entry->value_bytes},
                    {"Time", rfc3339(facts.time)},
                    {"DiskPath", *path}});
}

void GoSession::begin_put() {
  received_ = make_file();
  if (received_) writer_.emplace(cache_);
}

void GoSession::write_put(std::string_view piece) {
  if (!writer_) return;
  received_ = writer_->write(piece);
  if (received_) received_ = base::write_full(file_->fd.get(), piece);
  if (!received_) writer_.reset();
}

Result<std::string> GoSession::put() {
  TRY(received_);
  const auto value = TRY(writer_->finish({}));
  const gocacheprog::Request& request = parser_.request();
  cache::NewEntry entry{.name = name_of(request), .value = value.info.digest};
  entry.attributes = encode_facts({request.output, clock_.now()});
  const auto kept = TRY(entries_.put(std::move(entry)));
  durable_ = std::max({durable_, value.sequence, kept.sequence});
  ++counts_.puts;
  counts_.written_bytes += value.info.size;
  return json_line({{"ID", request.id}, {"DiskPath", keep_file(value.info.digest)}});
}

Result<std::string> GoSession::close() {
  closed_ = true;
  TRY(settle());
  return json_line({{"ID", parser_.request().id}});
}

Status GoSession::settle() {
  if (durable_ == 0) return {};
  return cache_.writer().wait_durable(std::exchange(durable_, 0));
}

Status GoSession::make_file() {
  const base::HostPath path = folder_ / std::to_string(++next_file_);
  auto fd = TRY(base::open_host(path, O_WRONLY | O_CREAT | O_EXCL, 0600), "make a file for Go");
  file_.emplace(path, std::move(fd));
  return {};
}

// Go is told of one file for each value, however often it asks.
std::string GoSession::keep_file(const BlobDigest& value) {
  const auto [known, is_new] = files_.try_emplace(value, file_->path.str());
  if (is_new) file_->fd.reset();
  return known->second;
}

Result<std::string> GoSession::file_of(const cache::Entry& entry) {
  if (const auto known = files_.find(entry.value); known != files_.end()) return known->second;
  const auto source = TRY(cache_.blobs().open(entry.value));
  TRY(make_file());
  std::vector<std::byte> piece(256 * 1024);
  for (;;) {
    const std::size_t count = TRY(source->read(piece));
    if (count == 0) return keep_file(entry.value);
    TRY(base::write_full(file_->fd.get(), std::span(piece).first(count)));
  }
}

}  // namespace cairn::cachectl
