// SPDX-License-Identifier: Apache-2.0
// One request and its answer, as the doors see them; connection.h moves them over sockets. A door never waits for the
// network: it is given the pieces of a body as they come, and gives out a source from which pieces are read as they go.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "libbase/compress/decoder.h"
#include "libbase/lmdb/group_writer.h"
#include "libbase/result.h"
#include "libcache/ref.h"
#include "libserve/access.h"
#include "libserve/sockets/peer.h"

namespace cairn::serve {

enum class Method : std::uint8_t { get, head, put, post, remove, options, propfind, mkcol, other };

struct Header {
  std::string name, value;
};
using Headers = std::vector<Header>;
// The first of this name, whatever its case; "" if there is none.
std::string_view find_header(const Headers& headers, std::string_view name);

struct Request {
  Method method = Method::other;
  std::string target;
  Headers headers;
  std::optional<std::uint64_t> content_length;
  bool chunked = false;
  const Peer* peer = nullptr;    // the connection's
  bool may_be_chunked = true;  // the answer, if its size is not known: HTTP/1.0 cannot say where it ends
  std::string_view header(std::string_view name) const { return find_header(headers, name); }
  Caller caller() const { return {.authorization = header("Authorization"), .uid = peer->uid, .certificate = peer->certificate}; }
};

struct Reply {
  unsigned status = 200;
  Headers headers{};
  std::string text{};  // the body, unless there is a source
  std::unique_ptr<base::ByteSource> source{};
  std::optional<std::uint64_t>
      size{};  // of the source, or of what a HEAD leaves out; nullopt: the source ends where it ends
  std::optional<cache::ImmutableRef> hold{};             // on what the source reads
  base::Compression encoding = base::Compression::none;  // the source is sent like this, then of unknown size
};
Reply text_reply(unsigned status, std::string text);
// What went wrong, in the words of HTTP: not_found is 404, no_space 507 and so on.
Reply error_reply(const base::Error& error);

struct Answer {
  Reply reply;
  base::lmdb::SequenceNumber durable = 0;  // the reply is true when this is durable
};

// Where the body of a request goes. Dropped before finish(), nothing has happened.
class BodySink {
 public:
  virtual ~BodySink() = default;
  virtual base::Status write(std::string_view piece) = 0;
  virtual Answer finish() = 0;  // once, when all is there; may wait for disks
};

struct Begun {
  std::function<void(std::function<void()> done)> wait{};  // what comes before `later`, and calls `done` when it is over
  std::function<Begun()> later{};  // what has begun, but for something that waits: for a worker
  Answer answer{};                 // unless there is a sink
  std::unique_ptr<BodySink> sink{};
  std::uint64_t body_max = 0;  // bytes that the sink takes
  std::string_view door{};     // for the metrics; a literal
};
using Handler = std::function<Begun(const Request&)>;

}  // namespace cairn::serve
