// SPDX-License-Identifier: Apache-2.0
// As much of WebDAV (RFC 4918) as sccache asks for. Collections are not kept: each path that ends in a slash is one.
#include "libcache/cache.h"
#include "libserve/doors/answers.h"
#include "libserve/doors/service.h"

namespace cairn::serve {

namespace {

// The characters of a key need no escapes in XML.
std::string multi_status(const std::string& href, const std::string& properties) {
  return "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:multistatus xmlns:D=\"DAV:\"><D:response><D:href>" + href +
         "</D:href><D:propstat><D:prop>" + properties +
         "</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response></D:multistatus>\n";
}

Reply found(const std::string& href, const std::string& properties) {
  return {.status = 207, .headers = {{"Content-Type", "application/xml; charset=utf-8"}}, .text = multi_status(href, properties)};
}

std::string http_time(base::WallTime time) {
  const std::time_t seconds = base::to_unix_ns(time) / 1'000'000'000;
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  std::array<char, 64> text{};
  return std::string(text.data(), std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &utc));
}

}  // namespace

Begun Service::webdav(const Request& request, const Route& route) {
  const std::string href = (route.instance.empty() ? "" : "/" + route.instance) + "/sccache/" + route.key;
  switch (request.method) {
    case Method::options:
      return answered({.status = 200, .headers = {{"DAV", "1"}, {"Allow", "GET, HEAD, PUT, DELETE, OPTIONS, PROPFIND, MKCOL"}}});
    case Method::propfind: {
      if (const auto depth = request.header("Depth"); !depth.empty() && depth != "0")
        return answered(text_reply(403, "only a Depth of 0 is answered"));
      if (route.is_collection)
        return answered(found(href + (route.key.empty() ? "" : "/"), "<D:resourcetype><D:collection/></D:resourcetype><D:getlastmodified>Thu, 01 Jan 1970 00:00:00 GMT</D:getlastmodified>"));
      const auto entry = entries_for(route).find(entry_of(route));
      if (!entry) return answered(error_reply(entry.error()));
      if (!*entry) return answered(text_reply(404, "not found"));
      return answered(found(href, fmt::format("<D:resourcetype/><D:getcontentlength>{}</D:getcontentlength><D:getetag>\"{}\"</D:getetag><D:getlastmodified>{}</D:getlastmodified>",
                                              (*entry)->value_bytes, (*entry)->value.hex(), http_time((*entry)->hold.info().created))));
    }
    case Method::mkcol: {
      if (route.is_collection) return answered({.status = 201});
      const auto there = entries_for(route).contains(entry_of(route));
      if (!there) return answered(error_reply(there.error()));
      return *there ? only("GET, HEAD, PUT, DELETE, PROPFIND") : answered({.status = 201});
    }
    default: break;
  }
  if (route.is_collection) return only("OPTIONS, PROPFIND, MKCOL");
  switch (request.method) {
    case Method::get:
    case Method::head: return get_entry(request, route);
    case Method::put: return put_entry(request, route, {.made = 201, .replaced = 204});
    case Method::remove: return {.answer = erase_entry(route)};
    default: return only("GET, HEAD, PUT, DELETE, OPTIONS, PROPFIND, MKCOL");
  }
}

}  // namespace cairn::serve
