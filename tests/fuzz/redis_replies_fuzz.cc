// SPDX-License-Identifier: Apache-2.0
// Any bytes as replies of Redis: they are the same whether they come at once or one by one.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "libremote/redis/reply.h"

namespace {

using cairn::remote::RedisReplies;
using cairn::remote::RedisReply;

constexpr std::size_t bulk_bytes_max = 512;

// Until the first error, which is said as a reply.
std::vector<std::string> read_all(std::string_view bytes, std::size_t at_once) {
  RedisReplies replies(bulk_bytes_max);
  std::vector<std::string> out;
  for (std::size_t at = 0; at < bytes.size(); at += at_once) {
    replies.add(bytes.substr(at, at_once));
    while (true) {
      const auto reply = replies.next();
      if (!reply) return out.push_back("error"), out;
      if (!*reply) break;
      CHECK((*reply)->kind != RedisReply::Kind::bulk || (*reply)->text.size() <= bulk_bytes_max);
      out.push_back(fmt::format("{} {} {}", static_cast<int>((*reply)->kind), (*reply)->number, (*reply)->text));
    }
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  CHECK(read_all(bytes, 1) == read_all(bytes, bytes.size() + 1), "how they are cut matters");
  return 0;
}
