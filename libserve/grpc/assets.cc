// SPDX-License-Identifier: Apache-2.0
#include "libserve/grpc/assets.h"

#include <algorithm>
#include <deque>
#include <set>

#include "libbase/base64.h"
#include "libbase/codec.h"
#include "libbase/hash/sha256.h"
#include "libcache/cache.h"

namespace cairn::serve {

using base::ErrorCode;
using base::Result;

namespace {

constexpr std::size_t directory_bytes_max = static_cast<std::size_t>(batch_bytes_max);
constexpr std::size_t directories_max = 1'000'000;

// i64 kept, i64 expires (0: never), both in unix ns.
std::string attributes_of(const Asset& asset) {
  const std::int64_t expires = asset.expires ? base::to_unix_ns(*asset.expires) : 0;
  return base::ByteWriter().i64(base::to_unix_ns(asset.kept)).i64(expires).take();
}

Result<Asset> asset_of(const cache::Entry& entry) {
  base::ByteReader reader(entry.attributes);
  Asset asset{.content = {entry.value, entry.value_bytes}, .kept = base::from_unix_ns(TRY(reader.i64()))};
  if (const std::int64_t expires = TRY(reader.i64()); expires != 0) asset.expires = base::from_unix_ns(expires);
  TRY(reader.expect_end());
  return asset;
}

}  // namespace

cache::EntryName entry_of(const AssetName& name, cache::Trust trust) {
  auto qualifiers = name.qualifiers;
  std::sort(qualifiers.begin(), qualifiers.end());
  base::ByteWriter writer;
  writer.u8(static_cast<std::uint8_t>(name.kind)).string(name.uri);
  for (const auto& [key, value] : qualifiers) writer.string(key).string(value);
  return {.door = "asset", .instance = name.instance, .trust = trust, .key = base::digest_of<BlobDigest>(writer.take()).hex()};
}

Result<std::optional<Asset>> find_asset(const Admitted& store, const AssetName& name, base::WallTime oldest) {
  const auto entry = TRY(store.entries.find(entry_of(name, store.viewer.trust)));
  if (!entry) return std::optional<Asset>();
  store.entries.promise(*entry);
  const Asset asset = TRY(asset_of(*entry));
  const bool is_over = asset.expires && *asset.expires <= base::SystemClock().now();
  return is_over || asset.kept < oldest ? std::optional<Asset>() : std::optional(asset);
}

Result<base::lmdb::SequenceNumber> keep_asset(const Admitted& store, const AssetName& name, const Asset& asset,
                                              std::vector<BlobDigest> closure) {
  if (!is_there(store.blobs, asset.content))
    return base::fail(ErrorCode::not_found, "blob {} of {} bytes is not there", asset.content.digest,
                      asset.content.size);
  base::lmdb::SequenceNumber last = 0;
  // The empty blob is there for everybody, and so need not be in the store; as a value it has to.
  if (asset.content.size == 0) last = TRY(store.blobs.put(std::string_view())).sequence;
  cache::NewEntry entry{.name = entry_of(name, store.viewer.trust),
                        .value = asset.content.digest,
                        .closure = std::move(closure),
                        .attributes = attributes_of(asset)};
  return std::max(last, TRY(store.entries.put(std::move(entry))).sequence);
}

Result<std::vector<BlobDigest>> closure_of_directory(cache::BlobStore& blobs, const SizedDigest& root) {
  std::vector<BlobDigest> closure;
  std::set<BlobDigest> seen = {root.digest};
  std::deque<SizedDigest> open = {root};
  const auto add = [&](const reapi::Digest& message, bool is_directory) -> base::Status {
    const SizedDigest found = TRY(from_message(message));
    if (!is_there(blobs, found))
      return base::fail(ErrorCode::not_found, "blob {} of {} bytes is not there", found.digest, found.size);
    if (found.size == 0 || !seen.insert(found.digest).second) return {};
    closure.push_back(found.digest);
    if (is_directory) open.push_back(found);
    return {};
  };
  for (; !open.empty(); open.pop_front()) {
    if (open.front().size == 0) continue;
    if (seen.size() > directories_max)
      return base::fail(ErrorCode::invalid_argument, "a tree of more than {} names", directories_max);
    reapi::Directory directory;
    if (!directory.ParseFromString(TRY(blobs.read(open.front().digest, directory_bytes_max))))
      return base::fail(ErrorCode::invalid_argument, "blob {} is no Directory", open.front().digest);
    for (const reapi::FileNode& file : directory.files()) TRY(add(file.digest(), false));
    for (const reapi::DirectoryNode& child : directory.directories()) TRY(add(child.digest(), true));
  }
  return closure;
}

Result<std::optional<BlobDigest>> checksum_of(const std::vector<std::pair<std::string, std::string>>& qualifiers) {
  const auto is_checksum = [](const auto& qualifier) { return qualifier.first == "checksum.sri"; };
  const auto found = std::find_if(qualifiers.begin(), qualifiers.end(), is_checksum);
  if (found == qualifiers.end()) return std::optional<BlobDigest>();
  const std::string& text = found->second;
  const std::string prefix = "sha256-";
  const auto bytes =
      text.starts_with(prefix) ? base::from_base64(std::string_view(text).substr(prefix.size())) : std::nullopt;
  const auto digest = bytes ? BlobDigest::from_raw(*bytes) : BlobDigest::from_raw("");
  if (!digest)
    return base::fail(ErrorCode::invalid_argument, "checksum.sri {}: it is not sha256- and 32 bytes in base 64",
                      text.substr(0, 80));
  return std::optional(*digest);
}

}  // namespace cairn::serve
