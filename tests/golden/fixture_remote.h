// SPDX-License-Identifier: Apache-2.0
// The remote side of the llb family: fixtures.json says what BuildKit was answered by registries and HTTP servers, and what
// every OCI layout held. Sources are asked here as a solve would ask them, over a real store.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "libremote/registries.h"
#include "libsolver/op.h"
#include "libsolver/ops/cache_mounts.h"
#include "libsolver/sources/blob_origins.h"
#include "tests/libcache/store_fixture.h"
#include "tests/support/oci_layout_builder.h"
#include "tests/support/string_source.h"

namespace cairn::solver {

class OwnBytes final : public base::ByteSource {
 public:
  explicit OwnBytes(std::string bytes) : bytes_(std::move(bytes)) {}
  base::Result<std::size_t> read(std::span<std::byte> out) override { return source_.read(out); }

 private:
  std::string bytes_;
  test::BytesSource source_{bytes_};
};

class FixtureFetcher final : public cache::Fetcher {
 public:
  explicit FixtureFetcher(const nlohmann::json& fixtures) : fixtures_(fixtures) {}

  base::Result<cache::FetchAnswer> fetch(const cache::FetchRequest& request, std::stop_token) override {
    cache::FetchAnswer answer;
    answer.status = 404;
    answer.url = request.url;
    std::string body;
    if (const auto file = fixtures_.at("http").find(request.url); file != fixtures_.at("http").end()) {
      answer.status = 200;
      body = file->at("body").get<std::string>();
      if (file->at("response_headers").is_object()) {
        for (const auto& [name, value] : file->at("response_headers").items()) answer.headers[lower(name)] = value.get<std::string>();
      }
    } else if (const std::size_t v2 = request.url.find("/v2/"); v2 != std::string::npos) {
      find_in_registry(request.url.substr(request.url.find("://") + 3, v2 - request.url.find("://") - 3), request.url.substr(v2 + 4), answer, body);
    }
    answer.body = std::make_unique<OwnBytes>(std::move(body));
    return answer;
  }

 private:
  static std::string lower(std::string text) {
    for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return text;
  }
  // target: library/busybox/manifests/latest
  void find_in_registry(const std::string& host, const std::string& target, cache::FetchAnswer& answer, std::string& body) const {
    const std::size_t last = target.rfind('/');
    std::string name = target.substr(last + 1);
    const std::string repository = target.substr(0, target.rfind('/', last - 1));
    const auto& tags = fixtures_.at("registry_tags");
    if (const auto tag = tags.find(host + "/" + repository + ":" + name); tag != tags.end()) name = tag->get<std::string>();
    const auto blob = fixtures_.at("registry_blobs").find(name);
    if (blob == fixtures_.at("registry_blobs").end()) return;
    answer.status = 200;
    answer.headers["docker-content-digest"] = name;
    body = blob->at("content").get<std::string>();
  }

  const nlohmann::json& fixtures_;
};

class FixtureRemote {
 public:
  explicit FixtureRemote(const nlohmann::json& fixtures) : fetcher_(fixtures) {
    test::begin_layout(layout_.path());
    for (const auto& [digest, blob] : fixtures.at("registry_blobs").items()) {
      test::put_blob(layout_.path(), blob.at("content").get<std::string>());
    }
    for (const std::string name : fixtures.at("oci_layout_store_ids_serving_all_registry_blobs")) {
      request_.oci_layouts.emplace(name, layout_.path());
    }
  }

  // What a source says that it is, map by map.
  base::Result<std::vector<CacheMap>> identify(const Vertex& vertex) {
    const auto op = TRY(make_op(std::make_shared<const Vertex>(vertex), request_));
    const OpContext context{.cache = *store_.cache,
                            .executor = {},
                            .output = [](Stream, std::string_view) {},
                            .bytes = [](std::uint64_t, std::uint64_t) {},
                            .stop = {},
                            .fetcher = &fetcher_,
                            .solve = {},
                            .cache_mounts = turns_,
                            .origins = &origins_};
    std::vector<CacheMap> maps;
    for (bool last = false; !last;) {
      OpIdentity identity = TRY(op->identify(static_cast<std::uint32_t>(maps.size()), context));
      last = identity.last;
      maps.push_back(std::move(identity.map));
    }
    return maps;
  }

 private:
  FixtureFetcher fetcher_;
  std::unique_ptr<cache::Registries> registries_ = remote::make_registries(fetcher_);
  test::TempDir layout_;
  cache::OpenStore store_;
  CacheMountQueues turns_;
  BlobOrigins origins_{*store_.cache, registries_.get()};
  SolveRequest request_;
};

}  // namespace cairn::solver
