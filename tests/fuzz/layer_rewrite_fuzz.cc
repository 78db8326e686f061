// SPDX-License-Identifier: Apache-2.0
// The times of a tar from anywhere, rewritten: no member is later than what was said, nothing else of the members is
// lost, and rewriting once more changes no byte.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "libsnapshot/layer.h"
#include "libsnapshot/tar/tar_reader.h"
#include "tests/support/string_source.h"

namespace {

using namespace cairn;
using namespace cairn::snapshot;

constexpr std::size_t rewritten_bytes_max = 4 << 20;
constexpr std::int64_t time_max = 1'000'000'000;

struct Rewritten {
  std::string bytes;
  std::uint64_t members = 0;
};

base::Result<Rewritten> rewrite(std::string_view tar, std::optional<std::int64_t> latest) {
  test::BytesSource source(tar);
  Rewritten rewritten;
  const auto sink = [&](std::string_view bytes) -> base::Status {
    rewritten.bytes += bytes;
    if (rewritten.bytes.size() > rewritten_bytes_max) return base::fail(base::ErrorCode::io, "enough");
    return {};
  };
  const Written written = TRY(rewrite_layer(
      source, sink,
      {.compression = base::Compression::none, .threads = 1, .time_max = latest, .progress = {}, .stop = {}}));
  CHECK(written.diff_bytes == rewritten.bytes.size() && written.blob_bytes == rewritten.bytes.size());
  rewritten.members = written.members;
  return rewritten;
}

// The members, without their times.
std::vector<std::string> members_of(std::string_view tar) {
  const auto reader = TarReader::open(
      [&]() -> base::Result<std::span<const char>> { return std::span<const char>(std::exchange(tar, {})); });
  CHECK(reader.has_value());
  std::vector<std::string> members;
  while (true) {
    const auto entry = (*reader)->next();
    CHECK(entry.has_value(), "{}", entry.error().message);
    if (!*entry) return members;
    CHECK((*entry)->mtime.tv_sec <= time_max);
    members.push_back(fmt::format("{} {} -> {} {:o} {}:{} {} {}", static_cast<int>((*entry)->type), (*entry)->name,
                                  (*entry)->link, (*entry)->mode, (*entry)->uid, (*entry)->gid, (*entry)->device,
                                  (*entry)->size));
    for (const auto& [key, value] : (*entry)->xattrs) members.back() += fmt::format(" {}={}", key, value);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto once = rewrite({reinterpret_cast<const char*>(data), size}, time_max);
  if (!once) return 0;
  CHECK(members_of(once->bytes).size() == once->members);
  for (const auto latest : {std::optional(time_max), std::optional<std::int64_t>()}) {
    const auto again = rewrite(once->bytes, latest);
    CHECK(again.has_value(), "{}", again ? "" : again.error().message);
    CHECK(again->bytes == once->bytes && again->members == once->members);
  }
  const auto kept = rewrite({reinterpret_cast<const char*>(data), size}, std::nullopt);
  CHECK(kept.has_value() && kept->members == once->members);
  return 0;
}
