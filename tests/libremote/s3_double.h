// SPDX-License-Identifier: Apache-2.0
// tests/support/s3_double.py as a server of tiers, and what it says of the requests that it got.
#pragma once

#include <stdlib.h>

#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "libremote/bodies/answers.h"
#include "libremote/http_fetcher.h"
#include "libremote/s3_tier.h"
#include "tests/conformance/remote_tier_calls.h"
#include "tests/libremote/started_server.h"

namespace cairn::remote {

inline const base::SystemClock system_clock;

inline S3Options options_for(const std::string& port) {
  return {.bucket = "cache",
          .prefix = "team/one",
          .endpoint = "http://127.0.0.1:" + port,
          .access_key_id = "AKIDEXAMPLE",
          .secret_access_key = "secret/+key"};
}

class Double final : public cache::TierUnderTest {
 public:
  explicit Double(std::vector<std::string> more = {})
      : server_(argv(std::move(more)), "port "), options(options_for(server_.said())) {
    ::setenv("no_proxy", "*", 1);
  }
  std::unique_ptr<cache::RemoteTier> open() override { return open_with(options); }
  std::unique_ptr<cache::RemoteTier> open_with(const S3Options& with, const base::Clock& clock = system_clock) {
    auto tier = make_s3_tier(*fetcher_, clock, with);
    CHECK(tier.has_value(), "{}", tier.error().message);
    return std::move(*tier);
  }
  void sick(const nlohmann::json& how) { control("sick", how); }
  void objects(const nlohmann::json& what) { control("objects", what); }
  // All that is there was put so much earlier.
  void age(std::chrono::seconds by) { control("age", {{"seconds", by.count()}}); }
  nlohmann::json log() { return ask("/-/log"); }
  // The names of those with this in them.
  std::vector<std::string> names(const std::string& part) {
    std::vector<std::string> found;
    const nlohmann::json objects = ask("/-/objects");
    for (const auto& [name, bytes] : objects.items())
      if (name.find(part) != std::string::npos) found.push_back(name);
    return found;
  }
  // How many requests of this method for a name with this in it.
  int count(const std::string& method, const std::string& part) {
    int n = 0;
    for (const nlohmann::json& entry : log())
      n += entry["method"] == method && std::string(entry["path"]).find(part) != std::string::npos;
    return n;
  }

 private:
  static std::vector<std::string> argv(std::vector<std::string> more) {
    std::vector<std::string> all = {"python3",      CAIRN_SOURCE_DIR "/tests/support/s3_double.py",
                                    "--access-key", "AKIDEXAMPLE",
                                    "--secret",     "secret/+key"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  nlohmann::json ask(const std::string& path) {
    auto answer = fetcher_->fetch({.url = url(path)}, {});
    return nlohmann::json::parse(bounded_body(*answer, std::size_t{1} << 30, "the double").value());
  }
  std::string url(const std::string& path) const { return "http://127.0.0.1:" + server_.said() + path; }
  void control(const std::string& what, const nlohmann::json& document) {
    const std::string text = document.dump();
    test::StringSource body(text);
    const auto answer = fetcher_->fetch({.url = url("/-/" + what),
                                         .method = cache::FetchRequest::Method::put,
                                         .body = &body,
                                         .body_bytes = text.size()},
                                        {});
    CHECK(answer && answer->status == 200, "the double does not obey");
  }

  test::StartedServer server_;
  std::unique_ptr<cache::Fetcher> fetcher_ = make_http_fetcher();

 public:
  S3Options options;
};

}  // namespace cairn::remote
