// SPDX-License-Identifier: Apache-2.0
// Commands for one server, over connections that are kept for later ones.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "libbase/sync.h"
#include "libremote/http/stream.h"
#include "libremote/redis/reply.h"
#include "libremote/redis_tier.h"

namespace cairn::remote {

// Thread-safe.
class RedisClient {
 public:
  explicit RedisClient(RedisOptions options);
  const std::string& name() const { return name_; }  // "redis://host:port/0"

  // So many commands, sent together, all of which can be done twice: a connection that was closed while nobody used it
  // costs another try. None of the replies is an error. Errors: those of libcache/remote_tier.h.
  base::Result<std::vector<RedisReply>> run(const std::string& commands, std::size_t count, std::size_t bulk_bytes_max,
                                            const cache::TierCall& call);

 private:
  using Replies = base::Result<std::vector<RedisReply>>;
  base::Result<std::unique_ptr<Stream>> connect(const cache::TierCall& call) const;
  static Replies run_on(Stream& stream, const std::string& commands, std::size_t count, std::size_t bulk_bytes_max,
                        const cache::TierCall& call);
  std::unique_ptr<Stream> take_idle();
  Replies finish(std::unique_ptr<Stream> stream, Replies replies);

  static constexpr std::size_t idle_max = 16;
  const RedisOptions options_;
  const std::string name_;
  base::Guarded<std::vector<std::unique_ptr<Stream>>> idle_;
};

}  // namespace cairn::remote
