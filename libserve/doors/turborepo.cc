// SPDX-License-Identifier: Apache-2.0
// Turborepo's artifacts, version 8: what a client says of one is said again when it is given out.
#include <nlohmann/json.hpp>

#include "libcache/cache.h"
#include "libserve/doors/answers.h"
#include "libserve/doors/service.h"
#include "libserve/http/words.h"

namespace cairn::serve {

using cache::EntryStore;
using nlohmann::json;

namespace {

constexpr std::string_view kept_headers[] = {"x-artifact-tag", "x-artifact-duration", "x-artifact-sha", "x-artifact-dirty-hash"};
constexpr std::size_t kept_header_bytes_max = 600;
constexpr std::size_t document_bytes_max = 1 << 20;

Begun json_answer(unsigned status, const json& document) {
  return answered({.status = status, .headers = {{"Content-Type", "application/json"}}, .text = document.dump() + "\n"});
}

// A small body that is read whole.
class DocumentSink final : public BodySink {
 public:
  explicit DocumentSink(std::function<Answer(std::string)> then) : then_(std::move(then)) {}
  base::Status write(std::string_view piece) override {
    text_ += piece;
    return {};
  }
  Answer finish() override { return then_(std::move(text_)); }

 private:
  const std::function<Answer(std::string)> then_;
  std::string text_;
};

Begun take_document(std::function<Answer(std::string)> then) {
  Begun begun;
  begun.sink = std::make_unique<DocumentSink>(std::move(then));
  begun.body_max = document_bytes_max;
  return begun;
}

json described(const cache::Entry& entry) {
  const Headers kept = read_attributes(entry.attributes);
  json document = {{"size", entry.value_bytes}};
  if (const auto took = parse_number(find_header(kept, "x-artifact-duration"))) document["taskDurationMs"] = *took;
  if (const auto tag = find_header(kept, "x-artifact-tag"); !tag.empty()) document["tag"] = tag;
  return document;
}

bool is_printable(std::string_view text) {
  for (const char c : text)
    if (c < 0x20 || c > 0x7e) return false;
  return true;
}

}  // namespace

void add_attributes(Reply& reply, std::string_view attributes) {
  for (Header& header : read_attributes(attributes)) reply.headers.push_back(std::move(header));
}

Headers read_attributes(std::string_view attributes) {
  Headers headers;
  while (!attributes.empty()) {
    const std::string_view line = attributes.substr(0, attributes.find('\n'));
    const std::size_t colon = line.find(": ");
    if (colon != std::string_view::npos) headers.push_back({std::string(line.substr(0, colon)), std::string(line.substr(colon + 2))});
    attributes.remove_prefix(std::min(line.size() + 1, attributes.size()));
  }
  return headers;
}

Begun Service::turborepo(const Request& request, const Route& route) {
  if (request.method == Method::options)
    return answered({.status = 200,
                     .headers = {{"Access-Control-Allow-Origin", "*"},
                                 {"Access-Control-Allow-Methods", "GET, HEAD, PUT, POST, OPTIONS"},
                                 {"Access-Control-Allow-Headers", "Authorization, User-Agent, Content-Type, x-artifact-duration, x-artifact-tag, "
                                                                  "x-artifact-client-ci, x-artifact-client-interactive, x-artifact-sha, x-artifact-dirty-hash"}}});
  switch (route.door) {
    case Door::turborepo_status: return request.method == Method::get ? json_answer(200, {{"status", "enabled"}}) : only("GET, OPTIONS");
    case Door::turborepo_events:
      if (request.method != Method::post) return only("POST, OPTIONS");
      return take_document([](const std::string& text) -> Answer {  // they are what the client counts; the cache counts itself
        return {json::accept(text) ? Reply{.status = 200} : text_reply(400, "that is no JSON")};
      });
    case Door::turborepo_query: return turborepo_query(request, route);
    default: break;
  }
  if (request.method == Method::get || request.method == Method::head) return get_entry(request, route);
  if (request.method != Method::put) return only("GET, HEAD, PUT, OPTIONS");
  std::string attributes;
  for (const std::string_view name : kept_headers) {
    const std::string_view value = request.header(name);
    if (value.empty()) continue;
    if (value.size() > kept_header_bytes_max || !is_printable(value)) return answered(text_reply(400, fmt::format("{} is too long, or not text", name)));
    attributes += fmt::format("{}: {}\n", name, value);
  }
  const auto took = parse_number(request.header("x-artifact-duration"));
  if (!request.header("x-artifact-duration").empty() && (!took || *took > 1'000'000'000'000))
    return answered(text_reply(400, "x-artifact-duration is a number of milliseconds"));
  return put_entry(request, route, {.made = 202, .replaced = 202}, std::move(attributes), std::chrono::milliseconds(took.value_or(0)));
}

Begun Service::turborepo_query(const Request& request, const Route& route) {
  if (request.method != Method::post) return only("POST, OPTIONS");
  return take_document([this, route](const std::string& text) -> Answer {
    const json document = json::parse(text, nullptr, false);
    if (!document.is_object() || !document.contains("hashes") || !document["hashes"].is_array())
      return {text_reply(400, "that is no list of hashes")};
    json found = json::object();
    for (const json& hash : document["hashes"]) {
      if (!hash.is_string()) return {text_reply(400, "a hash is a string")};
      Route one = route;
      one.door = Door::turborepo;
      one.key = hash.get<std::string>();
      const auto entry = entries_for(route).find(entry_of(one));
      if (!entry) return {error_reply(entry.error())};
      found[one.key] = *entry ? described(**entry) : json{{"error", {{"message", "Artifact not found"}}}};
    }
    return json_answer(200, found).answer;
  });
}

}  // namespace cairn::serve
