// SPDX-License-Identifier: Apache-2.0
// The document of a cache is foreign: what cannot be read in one way only is an error that says why.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libbase/hash/sha256.h"
#include "libsolver/cache_key.h"
#include "libsolver/remote_cache.h"
#include "libsolver/remote_cache/imported_keys.h"
#include "libsolver/wire/go_time.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using testing::HasSubstr;

std::string digest(const std::string& of) { return "sha256:" + base::to_hex(base::sha256(of)); }
std::string layer(const std::string& of, int parent) {
  return fmt::format(R"({{"blob":"{}","parent":{}}})", digest(of), parent);
}
std::string record(const std::string& of, const std::string& more = "") {
  return fmt::format(R"({{"digest":"{}"{}}})", digest(of), more);
}
std::string document(const std::string& layers, const std::string& records) {
  return fmt::format(R"({{"layers":[{}],"records":[{}]}})", layers, records);
}

void expect_error(const std::string& json, ErrorCode code, const std::string& part) {
  const auto parsed = parse_cache_config(json);
  ASSERT_FALSE(parsed) << json.substr(0, 500);
  EXPECT_EQ(parsed.error().code, code) << parsed.error().message;
  EXPECT_THAT(parsed.error().message, HasSubstr(part));
}

TEST(CacheDocument, IsReadAndWrittenAlike) {
  const std::string json =
      R"({"layers":[{"blob":")" + digest("a") + R"(","parent":-1},{"blob":")" + digest("b") +
      R"("}],"records":[{"layers":[{"layer":0,"createdAt":"2026-11-23T20:14:26.753196907Z"}],"digest":")" +
      digest("r") + R"(","inputs":[[{"selector":")" + digest("s") + R"(","link":1}]]},{"digest":")" + digest("q") +
      R"("}]})";
  const auto config = parse_cache_config(json);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->layers.at(1).parent, 0) << "what is left out";
  EXPECT_EQ(config->json(), json);
}

TEST(CacheDocument, AnEmptyOneIsACache) {
  for (const char* json : {"{}", R"({"layers":null,"records":[]})", R"({"more":{"records":[1]}})"}) {
    const auto config = parse_cache_config(json);
    ASSERT_TRUE(config) << json;
    EXPECT_TRUE(config->records.empty());
  }
}

TEST(CacheDocument, OfSeveralResultsTheNewestIsKept) {
  const std::string results =
      R"(,"layers":[{"layer":0,"createdAt":"2026-01-01T00:00:00Z"},{"layer":1,"createdAt":"2026-01-01T03:00:00+01:00"},{"layer":0,"createdAt":"2026-01-01T01:59:59Z"}])";
  const auto config = parse_cache_config(document(layer("a", -1) + "," + layer("b", -1), record("r", results)));
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->records.at(0).layer, 1u);
}

TEST(CacheDocument, AListOfLayersIsAResultToo) {
  const auto config =
      parse_cache_config(document(layer("a", -1) + "," + layer("b", -1),
                                  record("r", R"(,"chains":[{"layers":[1,0],"createdAt":"2026-01-01T00:00:00Z"}])")));
  ASSERT_TRUE(config) << config.error().message;
  const CacheConfig::Layer& top = config->layers.at(config->records.at(0).layer.value());
  EXPECT_EQ(top.blob, digest("a"));
  EXPECT_EQ(config->layers.at(static_cast<std::size_t>(top.parent)).blob, digest("b"));
}

TEST(CacheDocument, WhatCannotBeIsRefused) {
  expect_error("", ErrorCode::corrupt, "not JSON");
  expect_error("[]", ErrorCode::corrupt, "not a JSON object");
  expect_error("{} {}", ErrorCode::corrupt, "not JSON");
  expect_error(R"({"records":{}})", ErrorCode::corrupt, "no list");
  expect_error(R"({"records":[1]})", ErrorCode::corrupt, "no object");
  expect_error(R"({"records":[],"records":[]})", ErrorCode::corrupt, "twice");
  expect_error(document("", R"({"digest":"sha256:12"})"), ErrorCode::invalid_argument, "a record");
  expect_error(document("", record("r", R"(,"inputs":[[{"link":1}]])")), ErrorCode::corrupt, "names record 1 of 1");
  expect_error(document("", record("r", R"(,"inputs":[[{"link":-1}]])")), ErrorCode::corrupt, "a link to -1");
  expect_error(document("", record("r", R"(,"inputs":[[{"link":0.5}]])")), ErrorCode::corrupt, "no index");
  expect_error(document("", record("r", R"(,"inputs":[[{"link":18446744073709551615}]])")), ErrorCode::corrupt,
               "no index");
  expect_error(document("", record("r", R"(,"inputs":[[{"selector":"x","link":0}]])")), ErrorCode::invalid_argument,
               "a selector");
  expect_error(document("", record("r", R"(,"layers":[{"layer":0,"createdAt":"2026-01-01T00:00:00Z"}])")),
               ErrorCode::corrupt, "names layer 0 of 0");
  expect_error(document(layer("a", -1), record("r", R"(,"layers":[{"layer":0,"createdAt":"yesterday"}])")),
               ErrorCode::corrupt, "no time");
  expect_error(document(layer("a", 5), ""), ErrorCode::corrupt, "on layer 5 of 1");
  expect_error(document(layer("a", -2), ""), ErrorCode::corrupt, "parent -2");
  expect_error(R"({"records":[{"inputs":[[[[[[[[[[0]]]]]]]]]]}]})", ErrorCode::invalid_argument, "deep");
}

TEST(CacheDocument, CirclesAreFound) {
  expect_error(document(layer("a", 0), ""), ErrorCode::corrupt, "layers in a circle");
  expect_error(document(layer("a", 2) + "," + layer("b", 0) + "," + layer("c", 1), ""), ErrorCode::corrupt,
               "layers in a circle");
  expect_error(document("", record("r", R"(,"inputs":[[{"link":0}]])")), ErrorCode::corrupt, "records in a circle");
  expect_error(document("", record("q") + "," + record("r", R"(,"inputs":[[{"link":0},{"link":2}]])") + "," +
                                record("s", R"(,"inputs":[[{"link":1}]])")),
               ErrorCode::corrupt, "records in a circle");
}

TEST(CacheDocument, AMillionRecordsAreTooMany) {
  std::string records;
  for (int i = 0; i < 1'000'000; ++i)
    records += (i > 0 ? "," : "") + std::string("{\"digest\":\"") + digest("r") + "\"}";
  expect_error("{\"records\":[" + records + "]}", ErrorCode::invalid_argument, "at most");
  std::string small;
  for (std::size_t i = 0; i <= RemoteCacheLimits::records_max; ++i)
    small += (i > 0 ? "," : "") + std::string("{\"digest\":\"") + digest("r") + "\"}";
  expect_error("{\"records\":[" + small + "]}", ErrorCode::invalid_argument, "more than 250000 records");
}

TEST(CacheDocument, TimesAreThoseOfGo) {
  for (const char* text :
       {"2026-11-23T20:14:26.753196907Z", "2026-11-23T20:14:26.7Z", "2026-11-23T20:14:26Z", "1970-01-01T00:00:00Z"}) {
    const auto time = parse_go_time(text);
    ASSERT_TRUE(time) << text;
    EXPECT_EQ(go_time(*time), text);
  }
  EXPECT_EQ(parse_go_time("0001-01-01T00:00:00Z").value(), base::WallTime());
  EXPECT_EQ(go_time(parse_go_time("2026-01-01T00:30:00+02:00").value()), "2025-12-31T22:30:00Z");
  for (const char* text :
       {"x", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:00:00",
        "2026-01-01 00:00:00Z", "2026-01-01T00:00:00Zx", "9999-01-01T00:00:00Z"}) {
    EXPECT_FALSE(parse_go_time(text)) << text;
  }
}

// A link of the document says H("<operation>@<output>"); one of a solve says the operation.
TEST(CacheDocument, KeysAreFollowedByOperationInputAndSelector) {
  const OpDigest operation{base::sha256("operation"), OpDigest::Scope::portable};
  const std::string root = digest("root"), child = root_key(operation, 1).str();
  const auto config = parse_cache_config(document(
      layer("a", -1),
      fmt::format(
          R"({{"digest":"{}"}},{{"digest":"{}","layers":[{{"layer":0,"createdAt":"2026-01-01T00:00:00Z"}}],"inputs":[[{{"selector":"{}","link":0}}]]}})",
          root, child, digest("s"))));
  ASSERT_TRUE(config) << config.error().message;
  auto keys = ImportedKeys::of(*config);
  ASSERT_TRUE(keys);
  const cache::KeyLink link{.from = *KeyDigest::parse(root),
                            .input = 0,
                            .operation = operation.hash,
                            .output = 1,
                            .selector = base::sha256("s")};
  const auto read = keys->read([&](cache::KeyStore::Reader& reader) -> base::Status {
    EXPECT_TRUE(TRY(reader.exists(link.from)));
    const auto targets = TRY(reader.follow(link));
    EXPECT_EQ(targets.size(), 1u);
    if (targets.size() != 1) return {};
    EXPECT_EQ(TRY(reader.results(targets.front())).size(), 1u);
    for (int other = 0; other < 4; ++other) {
      cache::KeyLink wrong = link;
      if (other == 0) wrong.output = 0;
      if (other == 1) wrong.input = 1;
      if (other == 2) wrong.selector = {};
      if (other == 3) wrong.operation = base::sha256("another");
      EXPECT_TRUE(TRY(reader.follow(wrong)).empty()) << other;
    }
    return {};
  });
  EXPECT_TRUE(read);
}

}  // namespace
}  // namespace cairn::solver
