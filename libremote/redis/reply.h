// SPDX-License-Identifier: Apache-2.0
// Redis' protocol (RESP 2) as a client speaks it: commands out, replies in. Of replies only those kinds that our
// commands have: no arrays.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "libbase/result.h"

namespace cairn::remote {

std::string redis_command(std::initializer_list<std::string_view> words);

struct RedisReply {
  enum class Kind { status, error, integer, bulk, nil };
  Kind kind = Kind::nil;
  std::string text = {};  // of status, error, bulk
  std::int64_t number = 0;
};

class RedisReplies {
 public:
  explicit RedisReplies(std::size_t bulk_bytes_max) : bulk_bytes_max_(bulk_bytes_max) {}
  void add(std::string_view bytes) { buffer_.append(bytes); }
  // nullopt: more bytes have to come. Errors: io (no reply, or one of another kind), corrupt (a bulk that is too
  // large).
  base::Result<std::optional<RedisReply>> next();
  bool is_empty() const { return at_ == buffer_.size(); }

 private:
  base::Result<std::optional<RedisReply>> read();
  base::Result<std::optional<RedisReply>> read_bulk(std::string_view size_text, std::size_t begin);

  const std::size_t bulk_bytes_max_;
  std::string buffer_;
  std::size_t at_ = 0;  // what is before it was taken
};

}  // namespace cairn::remote
