// SPDX-License-Identifier: Apache-2.0
#include "libserve/routes/route.h"

#include <algorithm>
#include <span>
#include <vector>

namespace cairn::serve {

using base::ErrorCode;
using base::Result;
using base::Status;

namespace {

constexpr std::size_t segment_bytes_max = 255;
constexpr std::size_t segments_max = 32;
using Segments = std::span<const std::string>;

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}
bool is_hex(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return hex_value(c) >= 0; });
}
bool is_digest(std::string_view text) { return text.size() == 64 && is_hex(text); }
bool is_word(std::string_view text) {
  const auto allowed = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("._-+=~@,").find(c) != std::string_view::npos;
  };
  return !text.empty() && std::all_of(text.begin(), text.end(), allowed);
}

tl::unexpected<base::Error> bad(std::string_view what) {
  return base::fail(ErrorCode::invalid_argument, "{} cannot be in a path", what);
}

Result<std::string> unescape(std::string_view segment) {
  std::string out;
  for (std::size_t i = 0; i < segment.size(); ++i) {
    if (segment[i] != '%') {
      out += segment[i];
      continue;
    }
    const auto digit = [&](std::size_t at) {
      return at < segment.size() ? hex_value(static_cast<char>(segment[at] | 0x20)) : -1;
    };
    const int high = digit(i + 1), low = digit(i + 2);
    if (high < 0 || low < 0) return bad("a % without two digits");
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

// The segments between slashes; a last slash is taken off before. A client that is told an address with a slash at its end,
// and adds a path (sccache), begins with two.
Result<std::vector<std::string>> segments_of(std::string_view path) {
  std::vector<std::string> segments;
  if (path.starts_with("//")) path.remove_prefix(1);
  while (!path.empty()) {
    path.remove_prefix(1);  // the slash
    const std::size_t end = std::min(path.find('/'), path.size());
    std::string segment = TRY(unescape(path.substr(0, end)));
    if (segment.empty()) return bad("an empty segment");
    if (segment == "." || segment == "..") return bad("\"" + segment + "\"");
    if (segment.size() > segment_bytes_max) return bad("a segment of " + std::to_string(segment.size()) + " bytes");
    if (!is_word(segment)) return bad("such a character");
    segments.push_back(std::move(segment));
    if (segments.size() > segments_max) return bad("so many segments");
    path.remove_prefix(end);
  }
  return segments;
}

std::string joined(Segments segments) {
  std::string text;
  for (const std::string& segment : segments) text += (text.empty() ? "" : "/") + segment;
  return text;
}

// The value of a field of a query; "" if it is not there.
std::string_view query_field(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::string_view field = query.substr(0, query.find('&'));
    if (field.size() > name.size() && field.starts_with(name) && field[name.size()] == '=')
      return field.substr(name.size() + 1);
    query.remove_prefix(std::min(field.size() + 1, query.size()));
  }
  return {};
}

Result<std::string> only_key(Segments rest, bool (*fits)(std::string_view), std::string_view what) {
  if (rest.size() != 1) return base::fail(ErrorCode::not_found, "{} is one segment", what);
  if (!fits(rest[0])) return base::fail(ErrorCode::invalid_argument, "\"{}\" is not {}", rest[0], what);
  return rest[0];
}

// ac/ and 64 digits (layout "bazel"), two characters and the rest ("subdirs"), or all of it ("flat"). All three say the
// same key, but that the first adds digits of it to make 64.
Result<std::string> ccache_key(Segments rest) {
  const auto fits = [](std::string_view key) {
    return key.size() >= 8 && key.size() <= 128 &&
           std::all_of(key.begin(), key.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z'); });
  };
  std::string key;
  // A key may begin with "ac", too; none of them has 64 digits more.
  if (rest.size() == 2 && rest[0] == "ac" && is_digest(rest[1])) return "ac/" + rest[1];
  if (rest.size() == 2 && rest[0].size() == 2) key = rest[0] + rest[1];
  if (rest.size() == 1) key = rest[0];
  if (key.empty())
    return base::fail(ErrorCode::not_found, "no layout of ccache has {} segments like these", rest.size());
  if (!fits(key)) return base::fail(ErrorCode::invalid_argument, "\"{}\" is no key of ccache", key);
  return key;
}

bool is_gradle_key(std::string_view text) { return text.size() >= 16 && text.size() <= 128 && is_hex(text); }
bool is_plain_hash(std::string_view text) { return text.size() <= 128; }  // its characters are those of any segment

struct Split {
  std::string_view path, query;
};

// Proxies' clients say the whole URL; the authority is nobody's business here.
Result<Split> split_target(std::string_view target) {
  if (const std::size_t scheme = target.find("://"); !target.starts_with('/') && scheme != std::string_view::npos) {
    const std::size_t slash = target.find('/', scheme + 3);
    target = slash == std::string_view::npos ? "/" : target.substr(slash);
  }
  if (!target.starts_with('/')) return bad("what does not begin with /");
  const std::size_t question = target.find('?');
  if (question == std::string_view::npos) return Split{target, {}};
  return Split{target.substr(0, question), target.substr(question + 1)};
}

Status parse_turborepo(Route& route, Segments rest, std::string_view query) {
  if (rest.empty() || rest[0] != "artifacts")
    return base::fail(ErrorCode::not_found, "below v8 there are only artifacts");
  std::string_view team = query_field(query, "teamId");
  if (team.empty()) team = query_field(query, "slug");
  if (!team.empty()) {
    route.team = TRY(unescape(team));
    if (!is_word(route.team) || route.team.size() > segment_bytes_max) return bad("such a name of a team");
  }
  rest = rest.subspan(1);
  route.door = Door::turborepo_query;
  if (rest.empty()) return {};
  route.door = rest[0] == "status"   ? Door::turborepo_status
               : rest[0] == "events" ? Door::turborepo_events
                                     : Door::turborepo;
  route.key = TRY(only_key(rest, is_plain_hash, "a hash"));
  return {};
}

Status parse_behind(Route& route, std::string_view marker, Segments rest, std::string_view query) {
  if (marker == "ac" || marker == "cas") {
    route.door = marker == "ac" ? Door::bazel_ac : Door::bazel_cas;
    route.key = TRY(only_key(rest, is_digest, "64 hex digits"));
    if (route.door == Door::bazel_cas) route.digest = TRY(BlobDigest::parse("sha256:" + route.key));
  } else if (marker == "ccache") {
    route.door = Door::ccache;
    route.key = TRY(ccache_key(rest));
  } else if (marker == "sccache") {
    route.door = Door::sccache;
    route.key = joined(rest);
    route.is_collection |= rest.empty();
  } else if (marker == "gradle") {
    route.door = Door::gradle;
    route.key = TRY(only_key(rest, is_gradle_key, "a key of Gradle"));
  } else if (marker == "v8") {
    TRY(parse_turborepo(route, rest, query));
  } else {
    if (rest.empty() || rest[0] != "cache") return base::fail(ErrorCode::not_found, "below v1 there is only the cache");
    route.door = Door::nx;
    route.key = TRY(only_key(rest.subspan(1), is_plain_hash, "a hash"));
  }
  return {};
}

constexpr std::string_view markers[] = {"ac", "cas", "ccache", "sccache", "gradle", "v8", "v1"};
// Words that mean something else in other protocols with instances; nobody should come to depend on them.
constexpr std::string_view reserved[] = {"blobs",        "uploads",          "actions", "actionResults", "operations",
                                         "capabilities", "compressed-blobs", "health",  "status",        "metrics"};

bool is_one_of(std::string_view word, std::span<const std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

}  // namespace

std::string_view to_string(Door door) {
  switch (door) {
    case Door::health: return "health";
    case Door::status: return "status";
    case Door::metrics: return "metrics";
    case Door::server: return "server";
    case Door::bazel_ac:
    case Door::bazel_cas: return "bazel";
    case Door::ccache: return "ccache";
    case Door::sccache: return "sccache";
    case Door::gradle: return "gradle";
    case Door::turborepo_status:
    case Door::turborepo_events:
    case Door::turborepo_query:
    case Door::turborepo: return "turborepo";
    case Door::nx: return "nx";
  }
  return "unknown";
}

Result<Route> parse_route(std::string_view target) {
  if (target == "*") return Route{};
  auto [path, query] = TRY(split_target(target));
  Route route;
  route.is_collection = path.ends_with('/');
  if (route.is_collection) path.remove_suffix(1);
  const std::vector<std::string> all = TRY(segments_of(path));
  const auto marker =
      std::find_if(all.begin(), all.end(), [](const std::string& word) { return is_one_of(word, markers); });
  if (marker == all.end()) {
    if (all.size() == 1 && !route.is_collection)
      for (const Door door : {Door::health, Door::status, Door::metrics})
        if (all[0] == to_string(door)) return Route{.door = door};
    return base::fail(ErrorCode::not_found, "no door is there");
  }
  const Segments instance(all.data(), static_cast<std::size_t>(marker - all.begin()));
  for (const std::string& word : instance)
    if (is_one_of(word, reserved))
      return base::fail(ErrorCode::invalid_argument, "\"{}\" is not for names of instances", word);
  route.instance = joined(instance);
  if (route.instance.size() > instance_bytes_max) return bad("an instance of so many bytes");
  TRY(parse_behind(route, *marker, Segments(all).subspan(instance.size() + 1), query));
  const bool may_end_in_slash = route.door == Door::sccache || route.door == Door::turborepo_query;
  if (route.is_collection && !may_end_in_slash) return base::fail(ErrorCode::not_found, "no collection is there");
  return route;
}

cache::EntryName entry_of(const Route& route) {
  return {.door = std::string(to_string(route.door)),
          .instance = route.instance,
          .trust = route.viewer.trust,
          .key = route.team.empty() ? route.key : route.team + "/" + route.key};
}

}  // namespace cairn::serve
