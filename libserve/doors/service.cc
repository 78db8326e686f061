// SPDX-License-Identifier: Apache-2.0
#include "libserve/doors/service.h"

#include "libcache/cache.h"
#include "libserve/doors/answers.h"
#include "libserve/http/words.h"
#include "libserve/reapi/closure.h"

namespace cairn::serve {

using base::ErrorCode;
using base::Result;
using cache::EntryStore;

namespace {

constexpr std::size_t action_result_bytes_max = 32u << 20;

Need need_of(Method method) {
  switch (method) {
    case Method::options: return Need::nothing;  // a browser shows no credentials with it
    case Method::get:
    case Method::head:
    case Method::propfind: return Need::read;
    case Method::put:
    case Method::post:
    case Method::remove:
    case Method::mkcol:
    case Method::other: return Need::write;
  }
  return Need::refused;
}

}  // namespace

Need need_of(const Route& route, Method method) {
  switch (route.door) {
    case Door::health:
    case Door::server: return Need::nothing;
    case Door::status:
    case Door::metrics: return Need::everything;
    case Door::bazel_ac:
    case Door::bazel_cas:
    case Door::ccache:
    case Door::sccache:
    case Door::gradle:
    case Door::nx:
    case Door::turborepo: return need_of(method);
    case Door::turborepo_status:
    case Door::turborepo_events:  // what is sent there is not kept
    case Door::turborepo_query: return method == Method::post ? Need::read : need_of(method);
  }
  return Need::refused;
}

Reply refusal(Verdict verdict) {
  switch (verdict) {
    case Verdict::granted: break;
    case Verdict::who_are_you: {
      Reply reply = text_reply(401, "show a token or a password that is right");
      reply.headers.push_back({"WWW-Authenticate", "Bearer realm=\"cairn\""});
      reply.headers.push_back({"WWW-Authenticate", "Basic realm=\"cairn\", charset=\"UTF-8\""});
      return reply;
    }
    case Verdict::too_many_guesses: {
      Reply reply = text_reply(429, "too many wrong ones came from your address; wait");
      reply.headers.push_back({"Retry-After", "6"});
      return reply;
    }
    case Verdict::not_allowed: break;
  }
  return text_reply(403, "that is not for you");
}

Begun only(std::string methods) {
  Reply reply = text_reply(405, "this is not for that method");
  reply.headers.push_back({"Allow", std::move(methods)});
  return answered(std::move(reply));
}

Begun Service::begin(const Request& request) {
  const auto route = parse_route(request.target);
  if (!route) {
    Begun begun = answered(error_reply(route.error()));
    begun.door = "none";
    return begun;
  }
  const Identity who = access_.asks() ? access_.recall(request.caller()) : access_.anonymous();
  if (who.state != Identity::State::unproven) return admit(request, *route, who);
  Begun begun;
  begun.later = [this, &request, route = *route] {
    return admit(request, route, access_.verify(request.caller(), request.peer->address));
  };
  return begun;
}

Begun Service::admit(const Request& request, Route route, const Identity& who) {
  const Verdict verdict = access_.judge(who, need_of(route, request.method), route.instance);
  route.viewer = viewer_of(access_, who, route.instance);
  Begun begun = verdict == Verdict::granted ? dispatch(request, route) : answered(refusal(verdict));
  begun.door = to_string(route.door);
  return begun;
}

Begun Service::dispatch(const Request& request, const Route& route) {
  switch (route.door) {
    case Door::server:
    case Door::health:
    case Door::status:
    case Door::metrics: return simple(request, route);
    case Door::bazel_cas: return cas(request, route);
    case Door::bazel_ac:
    case Door::ccache:
    case Door::gradle: return entries(request, route);
    case Door::sccache: return webdav(request, route);
    case Door::turborepo_status:
    case Door::turborepo_events:
    case Door::turborepo_query:
    case Door::turborepo: return turborepo(request, route);
    case Door::nx: return nx(request, route);
  }
  return answered(text_reply(404, "not found"));
}

Begun Service::simple(const Request& request, const Route& route) {
  if (request.method == Method::options)
    return answered({.status = 204, .headers = {{"Allow", "GET, HEAD, OPTIONS, PUT"}}});
  if (request.method != Method::get && request.method != Method::head) return only("GET, HEAD, OPTIONS");
  if (route.door == Door::health) return answered(text_reply(200, "ok"));
  if (route.door == Door::status) return answered(status_reply());
  if (route.door == Door::metrics) return answered(metrics_reply());
  return answered(text_reply(404, "not found"));
}

// Its name is what its bytes say: other bytes are the client's mistake, and are never stored.
Begun Service::cas(const Request& request, const Route& route) {
  const bool is_empty = route.key == empty_hash;
  switch (request.method) {
    case Method::get:
    case Method::head:
      if (is_empty)
        return answered({.headers = {{"Content-Type", "application/octet-stream"},
                                     {"ETag", "\"" + std::string(empty_hash) + "\""}}});
      return answered(blob_reply(view(route), request, *route.digest, std::nullopt));
    case Method::put:
      return take_blob(intake_, route.viewer, request, route.digest, [this](const cache::BlobStore::Put& put) {
        EntryStore(intake_.cache).uploaded(put.info.digest);
        return Answer{.reply = {.status = 200}, .durable = put.sequence};
      });
    default: return only("GET, HEAD, PUT");
  }
}

// What is not here is looked for in the tiers, once.
Begun Service::get_entry(const Request& request, const Route& route) {
  Begun begun = answered(entry_here(request, route));
  if (begun.answer.reply.status != 404 || intake_.tiers == nullptr) return begun;
  const auto answer = std::make_shared<cache::TierAnswer>();
  begun.wait = [this, name = entry_of(route), answer](std::function<void()> done) {
    fetch_entry(intake_, name, [answer, done = std::move(done)](cache::TierAnswer said) {
      *answer = said;
      done();
    });
  };
  begun.later = [this, &request, route, answer] {
    return answered(*answer == cache::TierAnswer::found ? entry_here(request, route) : text_reply(404, "not found"));
  };
  return begun;
}

Reply Service::entry_here(const Request& request, const Route& route) {
  EntryStore entries = entries_for(route);
  auto entry = entries.find(entry_of(route));
  if (!entry) return error_reply(entry.error());
  if (!*entry) return text_reply(404, "not found");
  if (route.door == Door::bazel_ac) entries.promise(**entry);  // what it names is asked for next
  Reply reply = blob_reply(view(route), request, (*entry)->value, std::move((*entry)->hold));
  add_attributes(reply, (*entry)->attributes);
  return reply;
}

// Of an action result the closure is what it names. Others put values of their own below ac/ (ccache does), and need
// nothing.
Answer Service::keep(const Request& request, const Route& route, const cache::BlobStore::Put& put, Codes codes,
                     cache::NewEntry entry) {
  entry.value = put.info.digest;
  if (route.door == Door::bazel_ac && put.info.size <= action_result_bytes_max) {
    const auto bytes = view(route).read(entry.value, action_result_bytes_max);
    if (!bytes) return {error_reply(bytes.error())};
    cache::BlobView blobs = view(route);
    auto closure = closure_of(*bytes, blobs);
    if (closure)
      entry.closure = std::move(*closure);
    else if (closure.error().code != ErrorCode::corrupt)
      return {closure.error().code == ErrorCode::not_found ? text_reply(422, closure.error().message)
                                                           : error_reply(closure.error())};
  }
  const bool must_be_new = request.header("If-None-Match") == "*";
  const auto kept = keep_entry(intake_, route.viewer, std::move(entry),
                               must_be_new ? EntryStore::Existing::keep : EntryStore::Existing::replace);
  if (!kept && kept.error().code == ErrorCode::not_found) return {text_reply(422, kept.error().message)};
  if (!kept) return {error_reply(kept.error())};
  if (must_be_new && kept->outcome != EntryStore::Outcome::made)
    return {text_reply(412, "there is one"), kept->sequence};
  const bool made = kept->outcome == EntryStore::Outcome::made;
  Reply reply{.status = made ? codes.made : codes.replaced};
  if (route.door == Door::turborepo) {
    reply.headers = {{"Content-Type", "application/json"}};
    reply.text = "{\"urls\":[\"/v8/artifacts/" + route.key + "\"]}\n";  // the characters of a key need no escapes
  }
  return {std::move(reply), std::max(kept->sequence, put.sequence)};
}

Begun Service::put_entry(const Request& request, const Route& route, Codes codes, std::string attributes,
                         std::chrono::nanoseconds build_time) {
  cache::NewEntry entry{
      .name = entry_of(route), .value = {}, .attributes = std::move(attributes), .build_time = build_time};
  return take_blob(intake_, route.viewer, request, std::nullopt,
                   [this, request, route, codes, entry = std::move(entry)](const cache::BlobStore::Put& put) {
                     return keep(request, route, put, codes, entry);
                   });
}

Answer Service::erase_entry(const Route& route) {
  const auto erased = entries_for(route).erase(entry_of(route));
  if (!erased) return {error_reply(erased.error())};
  return {*erased ? Reply{.status = 204} : text_reply(404, "not found")};
}

Begun Service::entries(const Request& request, const Route& route) {
  const bool erasable = route.door == Door::ccache;
  switch (request.method) {
    case Method::get:
    case Method::head: return get_entry(request, route);
    case Method::put: return put_entry(request, route, {});
    case Method::remove:
      if (erasable) return {.answer = erase_entry(route)};
      break;
    default: break;
  }
  return only(erasable ? "GET, HEAD, PUT, DELETE" : "GET, HEAD, PUT");
}

// What is there is never changed: two builds that make one hash of different outputs would poison each other.
Begun Service::nx(const Request& request, const Route& route) {
  if (request.method == Method::get || request.method == Method::head) return get_entry(request, route);
  if (request.method != Method::put) return only("GET, HEAD, PUT");
  const auto there = entries_for(route).contains(entry_of(route));
  if (!there) return answered(error_reply(there.error()));
  if (*there) return answered(text_reply(409, "Cannot override an existing record"));
  cache::NewEntry entry{.name = entry_of(route), .value = {}};
  return take_blob(intake_, route.viewer, request, std::nullopt,
                   [this, viewer = route.viewer, entry = std::move(entry)](const cache::BlobStore::Put& put) mutable -> Answer {
                     entry.value = put.info.digest;
                     const auto kept = keep_entry(intake_, viewer, std::move(entry), EntryStore::Existing::keep);
                     if (!kept) return {error_reply(kept.error())};
                     if (kept->outcome != EntryStore::Outcome::made)
                       return {text_reply(409, "Cannot override an existing record")};
                     return {{.status = 200}, std::max(kept->sequence, put.sequence)};
                   });
}

}  // namespace cairn::serve
