// SPDX-License-Identifier: Apache-2.0
// The doors that speak HTTP: which method of which route does what, and with which codes it answers. It keeps no state.
#pragma once

#include "libserve/doors/values.h"
#include "libserve/http/message.h"
#include "libserve/routes/route.h"

namespace cairn::serve {

// What a request to a route needs; of a door that nobody has put into a class: refused.
Need need_of(const Route& route, Method method);

class Service {
 public:
  // Texts of /metrics that are not the store's: those of the server. Called on any thread.
  using ServerMetrics = std::function<std::string()>;
  Service(Intake intake, const Access& access, ServerMetrics metrics)
      : intake_(std::move(intake)), access_(access), metrics_(std::move(metrics)) {}
  Begun begin(const Request& request);

 private:
  Begun admit(const Request& request, Route route, const Identity& who);
  // As whoever asks may see it.
  cache::BlobView view(const Route& route) { return {intake_.cache, route.viewer.space}; }
  cache::EntryStore entries_for(const Route& route) { return cache::EntryStore(intake_.cache, route.viewer.space); }
  Begun dispatch(const Request& request, const Route& route);
  Begun simple(const Request& request, const Route& route);
  Begun cas(const Request& request, const Route& route);
  Begun entries(const Request& request, const Route& route);
  Begun webdav(const Request& request, const Route& route);
  Begun turborepo(const Request& request, const Route& route);
  Begun turborepo_query(const Request& request, const Route& route);
  Begun nx(const Request& request, const Route& route);

  Begun get_entry(const Request& request, const Route& route);
  Reply entry_here(const Request& request, const Route& route);
  // made, replaced: the codes of an answer without a body.
  struct Codes {
    unsigned made = 200, replaced = 200;
  };
  Begun put_entry(const Request& request, const Route& route, Codes codes, std::string attributes = {},
                  std::chrono::nanoseconds build_time = {});
  Answer keep(const Request& request, const Route& route, const cache::BlobStore::Put& put, Codes codes,
              cache::NewEntry entry);
  Answer erase_entry(const Route& route);
  Reply status_reply();
  Reply metrics_reply();

  Intake intake_;
  const Access& access_;
  ServerMetrics metrics_;
};

}  // namespace cairn::serve
