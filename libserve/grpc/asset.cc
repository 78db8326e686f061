// SPDX-License-Identifier: Apache-2.0
#include "libserve/grpc/asset.h"

#include <algorithm>

#include "libcache/cache.h"
#include "libserve/doors/receiver.h"
#include "libserve/grpc/assets.h"

namespace cairn::serve {

using base::ErrorCode;
using base::Result;
using base::Status;
using grpc::ServerUnaryReactor;

namespace {

constexpr int uris_max = 64;

std::chrono::nanoseconds as_ns(std::int64_t seconds, std::int32_t nanos) {
  return std::chrono::seconds(seconds) + std::chrono::nanoseconds(nanos);
}

template <class Request>
Result<std::vector<AssetName>> names_of(const Request& request, AssetName::Kind kind) {
  TRY(expect_names(request));
  if (request.uris_size() == 0 || request.uris_size() > uris_max)
    return base::fail(ErrorCode::invalid_argument, "{} URIs: one to {} are wanted", request.uris_size(), uris_max);
  std::vector<AssetName> names;
  for (const std::string& uri : request.uris()) {
    AssetName& name = names.emplace_back(AssetName{.kind = kind, .instance = request.instance_name(), .uri = uri});
    for (const asset::Qualifier& qualifier : request.qualifiers())
      name.qualifiers.emplace_back(qualifier.name(), qualifier.value());
  }
  return names;
}

template <class Response>
void answer(Response& response, const AssetName& name, const Asset& found, reapi::Digest* into) {
  response.set_uri(name.uri);
  for (const auto& [key, value] : name.qualifiers) {
    auto* const qualifier = response.add_qualifiers();
    qualifier->set_name(key);
    qualifier->set_value(value);
  }
  if (found.expires) response.mutable_expires_at()->set_seconds(base::to_unix_ns(*found.expires) / 1'000'000'000);
  response.set_digest_function(reapi::DigestFunction::SHA256);
  into->set_hash(found.content.digest.hex());
  into->set_size_bytes(static_cast<std::int64_t>(found.content.size));
}

template <class Request>
base::WallTime oldest_of(const Request& request) {
  return base::WallTime(as_ns(request.oldest_content_accepted().seconds(), request.oldest_content_accepted().nanos()));
}

// What a server's answer means to who asked us.
grpc::StatusCode code_of(int http_status) {
  if (http_status == 401 || http_status == 403) return grpc::StatusCode::PERMISSION_DENIED;
  return http_status == 404 || http_status == 410 ? grpc::StatusCode::NOT_FOUND : grpc::StatusCode::UNAVAILABLE;
}

struct Fetched {
  std::optional<Asset> asset{};
  base::lmdb::SequenceNumber number = 0;
  grpc::Status why{};  // without an asset
};

// Errors are those of our own disk.
Result<Fetched> fetch(const Admitted& store, cache::Fetcher& fetcher, const AssetName& name,
                      const std::optional<BlobDigest>& checksum, std::stop_token stop) {
  auto got = fetcher.fetch({.url = name.uri}, stop);
  if (!got && got.error().code == ErrorCode::cancelled)
    return Fetched{.why = {grpc::StatusCode::DEADLINE_EXCEEDED, got.error().message}};
  if (!got) return Fetched{.why = {grpc::StatusCode::UNAVAILABLE, got.error().message}};
  if (got->status != 200)
    return Fetched{
        .why = {code_of(got->status), fmt::format("{}: HTTP {}", cache::url_without_secrets(name.uri), got->status)}};
  if (got->size) TRY(expect_room(store.intake, *got->size));
  const auto receiver = TRY(make_receiver(store.intake, store.viewer.space, base::Compression::none, std::nullopt, checksum));
  std::string piece(256 * 1024, '\0');
  std::uint64_t size = 0;
  for (;;) {
    const auto count = got->body->read(std::as_writable_bytes(std::span(piece)));
    if (!count) return Fetched{.why = {grpc::StatusCode::UNAVAILABLE, count.error().message}};
    if (*count == 0) break;
    size += *count;
    if (size > store.intake.body_max)
      return Fetched{
          .why = {grpc::StatusCode::RESOURCE_EXHAUSTED, fmt::format("more than {} bytes", store.intake.body_max)}};
    TRY(receiver->write(std::string_view(piece).substr(0, *count)));
  }
  const auto put = receiver->finish();
  if (!put && put.error().code == ErrorCode::corrupt)
    return Fetched{.why = {grpc::StatusCode::ABORTED, put.error().message}};
  if (!put) return tl::unexpected(put.error());
  Fetched fetched{.asset = Asset{.content = {put->info.digest, size}, .kept = base::SystemClock().now()}};
  fetched.number = std::max(put->sequence, TRY(keep_asset(store, name, *fetched.asset, {})));
  return fetched;
}

// Which qualifiers a fetch over HTTP heeds; another could change what is meant.
Status expect_known(const AssetName& name) {
  for (const auto& [key, value] : name.qualifiers)
    if (key != "checksum.sri" && key != "bazel.canonical_id")
      return base::fail(ErrorCode::invalid_argument,
                        "qualifier {}: it is not known here, and nothing was pushed under it", key);
  return {};
}

Result<base::lmdb::SequenceNumber> fetch_blob(const Admitted& store, cache::Fetcher* fetcher,
                                              const asset::FetchBlobRequest& request,
                                              asset::FetchBlobResponse& response, std::stop_token stop) {
  const std::vector<AssetName> names = TRY(names_of(request, AssetName::Kind::blob));
  const auto checksum = TRY(checksum_of(names.front().qualifiers));
  for (const AssetName& name : names) {
    const auto found = TRY(find_asset(store, name, oldest_of(request)));
    if (!found) continue;
    answer(response, name, *found, response.mutable_blob_digest());
    return 0;
  }
  // Whoever knows the checksum may have it, wherever it came from.
  if (const auto known = checksum ? TRY(store.blobs.find(*checksum)) : std::nullopt) {
    answer(response, names.front(), Asset{.content = {*checksum, known->size}}, response.mutable_blob_digest());
    return 0;
  }
  TRY(expect_known(names.front()));
  grpc::Status why(grpc::StatusCode::NOT_FOUND, "nothing was pushed there, and this server fetches nothing for you");
  for (const AssetName& name : names) {
    if (fetcher == nullptr || !store.may_write) break;  // it would be kept
    const Fetched fetched = TRY(fetch(store, *fetcher, name, checksum, stop));
    if (fetched.asset) {
      answer(response, name, *fetched.asset, response.mutable_blob_digest());
      return fetched.number;
    }
    why = fetched.why;
  }
  response.mutable_status()->set_code(why.error_code());
  response.mutable_status()->set_message(why.error_message());
  return 0;
}

Result<base::lmdb::SequenceNumber> fetch_directory(const Admitted& store, const asset::FetchDirectoryRequest& request,
                                                   asset::FetchDirectoryResponse& response) {
  for (const AssetName& name : TRY(names_of(request, AssetName::Kind::directory))) {
    const auto found = TRY(find_asset(store, name, oldest_of(request)));
    if (!found) continue;
    answer(response, name, *found, response.mutable_root_directory_digest());
    return 0;
  }
  response.mutable_status()->set_code(grpc::StatusCode::NOT_FOUND);
  response.mutable_status()->set_message("no directory was pushed there");
  return 0;
}

template <class Request>
Result<base::lmdb::SequenceNumber> push(const Admitted& store, const Request& request, AssetName::Kind kind,
                                        const reapi::Digest& content) {
  const std::vector<AssetName> names = TRY(names_of(request, kind));
  cache::BlobStore& blobs = store.blobs;
  Asset pushed{.content = TRY(from_message(content)), .kept = base::SystemClock().now()};
  if (request.has_expire_at())
    pushed.expires = base::WallTime(as_ns(request.expire_at().seconds(), request.expire_at().nanos()));
  std::vector<BlobDigest> closure;
  const auto add = [&](const std::vector<BlobDigest>& more) {
    closure.insert(closure.end(), more.begin(), more.end());
  };
  if (kind == AssetName::Kind::directory) {
    if (!is_there(blobs, pushed.content))
      return base::fail(ErrorCode::not_found, "directory {} is not there", pushed.content.digest);
    add(TRY(closure_of_directory(blobs, pushed.content)));
  }
  for (const reapi::Digest& digest : request.references_blobs()) {
    const SizedDigest blob = TRY(from_message(digest));
    if (!is_there(blobs, blob)) return base::fail(ErrorCode::not_found, "blob {} is not there", blob.digest);
    if (blob.size > 0) closure.push_back(blob.digest);
  }
  for (const reapi::Digest& digest : request.references_directories()) {
    const SizedDigest root = TRY(from_message(digest));
    if (!is_there(blobs, root)) return base::fail(ErrorCode::not_found, "directory {} is not there", root.digest);
    if (root.size > 0) closure.push_back(root.digest);
    add(TRY(closure_of_directory(blobs, root)));
  }
  base::lmdb::SequenceNumber last = 0;
  for (const AssetName& name : names) last = std::max(last, TRY(keep_asset(store, name, pushed, closure)));
  return last;
}

}  // namespace

ServerUnaryReactor* FetchService::FetchBlob(Call* call, const asset::FetchBlobRequest* request,
                                            asset::FetchBlobResponse* response) {
  return on_a_worker(context_, call, Rpc::fetch_blob, request->instance_name(),
                     [this, request, response](const Admitted& store, std::stop_token stop) {
                       return fetch_blob(store, fetcher_, *request, *response, std::move(stop));
                     });
}

ServerUnaryReactor* FetchService::FetchDirectory(Call* call, const asset::FetchDirectoryRequest* request,
                                                 asset::FetchDirectoryResponse* response) {
  return on_a_worker(context_, call, Rpc::fetch_directory, request->instance_name(),
                     [request, response](const Admitted& store, std::stop_token) {
                       return fetch_directory(store, *request, *response);
                     });
}

ServerUnaryReactor* PushService::PushBlob(Call* call, const asset::PushBlobRequest* request, asset::PushBlobResponse*) {
  return on_a_worker(context_, call, Rpc::push_blob, request->instance_name(),
                     [request](const Admitted& store, std::stop_token) {
                       return push(store, *request, AssetName::Kind::blob, request->blob_digest());
                     });
}

ServerUnaryReactor* PushService::PushDirectory(Call* call, const asset::PushDirectoryRequest* request,
                                               asset::PushDirectoryResponse*) {
  return on_a_worker(context_, call, Rpc::push_directory, request->instance_name(),
                     [request](const Admitted& store, std::stop_token) {
                       return push(store, *request, AssetName::Kind::directory, request->root_directory_digest());
                     });
}

}  // namespace cairn::serve
