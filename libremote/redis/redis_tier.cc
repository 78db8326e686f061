// SPDX-License-Identifier: Apache-2.0
#include "libremote/redis_tier.h"

#include <algorithm>

#include "libremote/bodies/answers.h"
#include "libremote/bodies/bodies.h"
#include "libremote/entries/tier_entry.h"
#include "libremote/redis/redis_client.h"

namespace cairn::remote {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;
using cache::EntryName;
using cache::SizedBlob;
using cache::TierCall;
using cache::TierEntry;
using Kind = RedisReply::Kind;

namespace {

class RedisTier final : public cache::RemoteTier {
 public:
  explicit RedisTier(const RedisOptions& options)
      : client_(options), prefix_(options.prefix), time_to_live_(std::to_string(options.time_to_live.count())) {
    abilities_.blob_bytes_max = options.blob_bytes_max;
  }

  const std::string& name() const override { return client_.name(); }
  const cache::TierAbilities& abilities() const override { return abilities_; }

  // What is not there has no bytes, so the empty blob is asked for by another command.
  Result<std::vector<bool>> has_blobs(std::span<const SizedBlob> blobs, const TierCall& call) override {
    if (blobs.empty()) return std::vector<bool>();
    std::string commands;
    for (const SizedBlob& blob : blobs)
      commands += redis_command({blob.size == 0 ? "EXISTS" : "STRLEN", key_of_blob(blob)});
    const auto replies = TRY(client_.run(commands, blobs.size(), 0, call));
    std::vector<bool> there;
    for (std::size_t i = 0; i < blobs.size(); ++i) {
      if (replies[i].kind != Kind::integer) return strange("a length");
      there.push_back(static_cast<std::uint64_t>(replies[i].number) == std::max<std::uint64_t>(blobs[i].size, 1));
    }
    return there;
  }

  Result<std::unique_ptr<base::ByteSource>> open_blob(const SizedBlob& blob, const TierCall& call) override {
    if (blob.size > abilities_.blob_bytes_max) return nullptr;
    auto bytes = TRY(get(key_of_blob(blob), blob.size, call));
    if (!bytes) return nullptr;
    if (bytes->size() != blob.size) {
      return fail(ErrorCode::corrupt, "{}: it has {} bytes of {} instead of {}", name(), bytes->size(), blob.digest,
                  blob.size);
    }
    return std::make_unique<StringBody>(std::move(*bytes));
  }

  Status put_blob(const SizedBlob& blob, base::ByteSource& bytes, const TierCall& call) override {
    TRY(check_fits(*this, blob));
    return set(key_of_blob(blob),
               TRY(read_sized(bytes, static_cast<std::size_t>(blob.size)), "{}: put {}", name(), blob.digest), call);
  }

  Result<std::optional<TierEntry>> find_entry(const EntryName& entry_name, const TierCall& call) override {
    const KeyDigest key = key_of(entry_name);
    const auto bytes = TRY(get(key_of_entry(key), tier_entry_bytes_max, call));
    if (!bytes) return std::nullopt;
    return TRY(decode_tier_entry(key, *bytes), "{}", name());
  }

  Status put_entry(const EntryName& entry_name, const TierEntry& entry, const TierCall& call) override {
    TRY(check_fits(*this, entry));
    const KeyDigest key = key_of(entry_name);
    return set(key_of_entry(key), TRY(encode_tier_entry(key, entry), "{}", name()), call);
  }

 private:
  std::string key_of_blob(const SizedBlob& blob) const { return prefix_ + ":blob:" + blob.digest.hex(); }
  std::string key_of_entry(const KeyDigest& key) const { return prefix_ + ":entry:" + key.hex(); }
  tl::unexpected<base::Error> strange(std::string_view what) const {
    return fail(ErrorCode::io, "{}: it answers with something else than {}", name(), what);
  }

  Result<std::optional<std::string>> get(const std::string& key, std::size_t bytes_max, const TierCall& call) {
    auto replies = TRY(client_.run(redis_command({"GET", key}), 1, bytes_max, call));
    if (replies[0].kind == Kind::nil) return std::nullopt;
    if (replies[0].kind != Kind::bulk) return strange("a value");
    return std::move(replies[0].text);
  }

  // Over what is there: equal bytes, or damaged ones that nobody can use, and its time begins anew.
  Status set(const std::string& key, const std::string& value, const TierCall& call) {
    const std::string command = time_to_live_ == "0" ? redis_command({"SET", key, value})
                                                     : redis_command({"SET", key, value, "EX", time_to_live_});
    const auto replies = TRY(client_.run(command, 1, 0, call));
    if (replies[0].kind != Kind::status) return strange("OK");
    return {};
  }

  RedisClient client_;
  const std::string prefix_, time_to_live_;
  cache::TierAbilities abilities_;
};

bool is_plain(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) { return c > 0x20 && c < 0x7f; });
}

}  // namespace

Result<std::unique_ptr<cache::RemoteTier>> make_redis_tier(RedisOptions options) {
  const auto bad = [](std::string_view what) { return fail(ErrorCode::invalid_argument, "a tier on Redis: {}", what); };
  if (options.unix_socket.empty()) {
    if (options.host.empty() || !is_plain(options.host) || options.host.find_first_of("/?#@\\") != std::string::npos)
      return bad("no host");
    if (options.port == 0) return bad("no port");
  }
  if (options.prefix.empty() || options.prefix.size() > 256 || !is_plain(options.prefix))
    return bad("no prefix of keys");
  if (options.time_to_live.count() < 0) return bad("a time to live before now");
  if (options.blob_bytes_max > 512u << 20) return bad("values of more than 512 MiB");
  return std::make_unique<RedisTier>(options);
}

}  // namespace cairn::remote
