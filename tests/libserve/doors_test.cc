// SPDX-License-Identifier: Apache-2.0
// Each route, each method and each code, over a socket.
#include <nlohmann/json.hpp>

#include "libbase/compress/decoder.h"
#include "libcache/entry_store.h"
#include "tests/libserve/action_results.h"
#include "tests/libserve/http_client.h"

namespace cairn::serve {
namespace {

using cache::must;

const std::string hex64(64, 'a');

TEST(BazelDoor, BlobsAreCheckedAgainstTheirNames) {
  Served served;
  const std::string small = "some bytes", large(300'000, 'l');
  for (const std::string& bytes : {small, large}) {
    EXPECT_EQ(served.ask("GET", cas_path(bytes)).status, 404);
    EXPECT_EQ(served.ask("HEAD", cas_path(bytes)).status, 404);
    EXPECT_EQ(served.ask("PUT", cas_path(bytes), bytes).status, 200);
    EXPECT_EQ(served.ask("PUT", cas_path(bytes), bytes).status, 200) << "again";
    const Got got = served.ask("GET", "/any/instance" + cas_path(bytes));
    EXPECT_EQ(got.status, 200);
    EXPECT_EQ(got.body, bytes);
    EXPECT_EQ(got.header("content-type"), "application/octet-stream");
    const Got head = served.ask("HEAD", cas_path(bytes));
    EXPECT_EQ(head.status, 200);
    EXPECT_EQ(head.header("content-length"), std::to_string(bytes.size()));
    const std::string other = bytes + "x";
    EXPECT_EQ(served.ask("PUT", cas_path(other), bytes).status, 422);
    EXPECT_EQ(served.ask("GET", cas_path(other)).status, 404) << "other bytes are never stored";
  }
  EXPECT_EQ(served.ask("GET", cas_path("")).status, 200) << "what is empty is there";
  EXPECT_EQ(served.ask("HEAD", cas_path("")).header("content-length"), "0");
  for (const char* method : {"DELETE", "POST", "PROPFIND", "PATCH"}) {
    const Got got = served.ask(method, cas_path(small));
    EXPECT_EQ(got.status, 405) << method;
    EXPECT_EQ(got.header("allow"), "GET, HEAD, PUT");
  }
  EXPECT_EQ(served.ask("GET", "/cas/xyz").status, 400);
  EXPECT_EQ(served.ask("GET", "/a/../cas/" + hex64).status, 400);
  EXPECT_EQ(served.findings(), std::vector<std::string>());
}

TEST(BazelDoor, AnActionResultIsTakenWithAllThatItNamesOrNotAtAll) {
  Served served;
  const std::string output = "an object file";
  const std::string result = proto::output_file("a.o", output) + proto::field(8, proto::digest(""));
  const std::string path = "/team/ac/" + hex64;
  const Got refused = served.ask("PUT", path, result);
  EXPECT_EQ(refused.status, 422);
  EXPECT_NE(refused.body.find(base::digest_of<BlobDigest>(output).hex()), std::string::npos) << refused.body;
  EXPECT_EQ(served.ask("GET", path).status, 404);
  EXPECT_EQ(served.ask("PUT", "/team" + cas_path(output), output).status, 200);
  EXPECT_EQ(served.ask("PUT", path, result).status, 200);
  EXPECT_EQ(served.ask("GET", path).body, result);
  EXPECT_EQ(served.ask("GET", "/ac/" + hex64).status, 404) << "another instance has other keys";
  {
    const auto held =
        must(cache::EntryStore(*served.store.cache).find({.door = "bazel", .instance = "team", .key = hex64}));
    ASSERT_TRUE(held);
    must(served.store.cache->prune({.all = true}));
    EXPECT_EQ(served.ask("GET", cas_path(output)).body, output) << "a hit holds its closure";
  }
  must(served.store.cache->prune({.all = true}));
  EXPECT_EQ(served.ask("GET", path).status, 404);
  EXPECT_EQ(served.ask("GET", cas_path(output)).status, 404) << "it went with what needed it";
  EXPECT_EQ(served.ask("PUT", path, "no ActionResult but what ccache puts there").status, 200);
  EXPECT_EQ(served.ask("DELETE", path).status, 405);
  EXPECT_EQ(served.findings(), std::vector<std::string>());
}

TEST(Conditions, RangesTagsAndHeads) {
  Served served;
  const std::string bytes = "0123456789", path = cas_path(bytes);
  EXPECT_EQ(served.ask("PUT", path, bytes).status, 200);
  const std::string tag = "\"" + base::digest_of<BlobDigest>(bytes).hex() + "\"";
  EXPECT_EQ(served.ask("GET", path).header("etag"), tag);
  const Got part = served.ask("GET", path, {}, "Range: bytes=2-4\r\n");
  EXPECT_EQ(part.status, 206);
  EXPECT_EQ(part.body, "234");
  EXPECT_EQ(part.header("content-range"), "bytes 2-4/10");
  EXPECT_EQ(served.ask("GET", path, {}, "Range: bytes=-3\r\n").body, "789");
  const Got beyond = served.ask("GET", path, {}, "Range: bytes=10-\r\n");
  EXPECT_EQ(beyond.status, 416);
  EXPECT_EQ(beyond.header("content-range"), "bytes */10");
  EXPECT_EQ(served.ask("GET", path, {}, "Range: bytes=1-2,4-5\r\n").status, 200);
  EXPECT_EQ(served.ask("GET", path, {}, "Range: bytes=1-2\r\nIf-Range: \"other\"\r\n").status, 200);
  EXPECT_EQ(served.ask("GET", path, {}, "Range: bytes=1-2\r\nIf-Range: " + tag + "\r\n").status, 206);
  EXPECT_EQ(served.ask("GET", path, {}, "If-None-Match: " + tag + "\r\n").status, 304);
  EXPECT_EQ(served.ask("HEAD", path, {}, "If-None-Match: *\r\n").status, 304);
  EXPECT_EQ(served.ask("GET", path, {}, "If-Match: \"other\"\r\n").status, 412);
  const std::string large(200'000, 'x');
  EXPECT_EQ(served.ask("PUT", cas_path(large), large).status, 200);
  EXPECT_EQ(served.ask("GET", cas_path(large), {}, "Range: bytes=100000-\r\n").body.size(), 100'000u);
  const std::string key = "/gradle/" + std::string(32, '0');
  EXPECT_EQ(served.ask("PUT", key, "first", "If-None-Match: *\r\n").status, 200);
  EXPECT_EQ(served.ask("PUT", key, "second", "If-None-Match: *\r\n").status, 412);
  EXPECT_EQ(served.ask("GET", key).body, "first");
}

TEST(Zstd, GoesInAndOut) {
  Served served;
  std::string bytes;
  for (int i = 0; i < 50'000; ++i) bytes += std::to_string(i);
  const std::string packed = must(base::compress(base::Compression::zstd, bytes));
  const std::string path = cas_path(bytes), size = "X-Digest-SizeBytes: " + std::to_string(bytes.size()) + "\r\n";
  EXPECT_EQ(served.ask("PUT", path, packed, "Content-Encoding: zstd\r\nX-Digest-SizeBytes: 7\r\n").status, 422);
  EXPECT_EQ(served.ask("PUT", path, packed.substr(0, packed.size() / 2), "Content-Encoding: zstd\r\n" + size).status,
            422);
  EXPECT_EQ(served.ask("PUT", path, bytes, "Content-Encoding: zstd\r\n").status, 422) << "not packed at all";
  EXPECT_EQ(served.ask("PUT", path, packed, "Content-Encoding: gzip\r\n").status, 415);
  EXPECT_EQ(served.ask("PUT", cas_path("other"), packed, "Content-Encoding: zstd\r\n").status, 422);
  EXPECT_EQ(served.ask("GET", path).status, 404);
  EXPECT_EQ(served.ask("PUT", path, packed, "Content-Encoding: zstd\r\n" + size).status, 200);
  EXPECT_EQ(served.ask("GET", path).body, bytes);
  const Got got = served.ask("GET", path, {}, "Accept-Encoding: zstd\r\n");
  EXPECT_EQ(got.header("content-encoding"), "zstd");
  EXPECT_TRUE(got.whole);
  EXPECT_LT(got.body.size(), bytes.size() / 2);
  EXPECT_EQ(must(base::decompress(base::Compression::zstd, got.body, bytes.size())), bytes);
  EXPECT_EQ(
      served.ask("GET", path, {}, "Accept-Encoding: zstd\r\nIf-None-Match: " + got.header("etag") + "\r\n").status,
      304);
  EXPECT_EQ(served.ask("HEAD", path, {}, "Accept-Encoding: zstd\r\n").header("content-length"),
            std::to_string(bytes.size()));
  EXPECT_EQ(served.findings(), std::vector<std::string>());
}

TEST(Zstd, ABombIsRefused) {
  HttpOptions options;
  options.body_max = 1 << 20;
  Served served(std::move(options));
  const std::string bytes(8 << 20, '\0');
  const std::string packed = must(base::compress(base::Compression::zstd, bytes));
  EXPECT_LT(packed.size(), 100'000u);
  EXPECT_EQ(served.ask("PUT", cas_path(bytes), packed, "Content-Encoding: zstd\r\n").status, 400);
  EXPECT_EQ(served.ask("PUT", cas_path(bytes), bytes).status, 413);
  EXPECT_EQ(served.findings(), std::vector<std::string>());
}

TEST(CcacheDoor, ThreeLayoutsAndDeletion) {
  Served served;
  const std::string key = "93c1jqnrf506k2936210hi9ofeceknu5a";
  EXPECT_EQ(served.ask("GET", "/ccache/" + key).status, 404);
  EXPECT_EQ(served.ask("PUT", "/ccache/93/" + key.substr(2), "value").status, 200);
  EXPECT_EQ(served.ask("HEAD", "/ccache/" + key).status, 200);
  EXPECT_EQ(served.ask("GET", "/ccache/" + key).body, "value");
  EXPECT_EQ(served.ask("PUT", "/ccache/" + key, "another").status, 200);
  EXPECT_EQ(served.ask("GET", "/ccache/93/" + key.substr(2)).body, "another");
  EXPECT_EQ(served.ask("DELETE", "/ccache/" + key).status, 204);
  EXPECT_EQ(served.ask("DELETE", "/ccache/" + key).status, 404);
  EXPECT_EQ(served.ask("GET", "/ccache/" + key).status, 404);
  EXPECT_EQ(served.ask("PUT", "/ccache/ac/" + hex64, "bazel's layout").status, 200);
  EXPECT_EQ(served.ask("GET", "/ccache/ac/" + hex64).body, "bazel's layout");
  EXPECT_EQ(served.ask("POST", "/ccache/" + key, "x").status, 405);
  EXPECT_EQ(served.findings(), std::vector<std::string>());
}

TEST(SccacheDoor, AsMuchOfWebDavAsItAsksFor) {
  Served served;
  const std::string path = "/sccache/p/f/5/6/" + hex64;
  EXPECT_EQ(served.ask("GET", "/sccache/.sccache_check").status, 404);
  EXPECT_EQ(served.ask("PROPFIND", "/sccache/p/", {}, "Depth: 0\r\n").status, 207);
  EXPECT_EQ(served.ask("PROPFIND", "/sccache/p/", {}, "Depth: infinity\r\n").status, 403);
  EXPECT_EQ(served.ask("MKCOL", "/sccache/p/f/").status, 201);
  EXPECT_EQ(served.ask("PROPFIND", path).status, 404);
  EXPECT_EQ(served.ask("PUT", path, "value").status, 201);
  EXPECT_EQ(served.ask("PUT", path, "another").status, 204);
  const Got found = served.ask("PROPFIND", path, {}, "Depth: 0\r\n");
  EXPECT_EQ(found.status, 207);
  EXPECT_NE(found.body.find("<D:getcontentlength>7</D:getcontentlength>"), std::string::npos) << found.body;
  EXPECT_NE(found.body.find("<D:href>" + path + "</D:href>"), std::string::npos) << found.body;
  EXPECT_EQ(served.ask("MKCOL", path).status, 405);
  EXPECT_EQ(served.ask("GET", path).body, "another");
  EXPECT_EQ(served.ask("HEAD", path).header("content-length"), "7");
  EXPECT_EQ(served.ask("OPTIONS", "/sccache/").header("dav"), "1");
  EXPECT_EQ(served.ask("DELETE", path).status, 204);
  EXPECT_EQ(served.ask("GET", path).status, 404);
  EXPECT_EQ(served.ask("GET", "/sccache/").status, 405);
  EXPECT_EQ(served.ask("PUT", "/sccache/dir/", "x").status, 405);
}

TEST(GradleDoor, GetsAndPuts) {
  Served served;
  const std::string path = "/gradle/0123456789abcdef0123456789abcdef";
  const std::string type = "Content-Type: application/vnd.gradle.build-cache-artifact.v1\r\n";
  EXPECT_EQ(served.ask("GET", path).status, 404);
  EXPECT_EQ(served.ask("PUT", path, "packed outputs", type).status, 200);
  EXPECT_EQ(served.ask("GET", path, {}, "Accept: application/vnd.gradle.build-cache-artifact.v1, */*\r\n").body,
            "packed outputs");
  EXPECT_EQ(served.ask("DELETE", path).status, 405);
}

TEST(TurborepoDoor, EchoesWhatItWasTold) {
  Served served;
  const std::string path = "/v8/artifacts/0123456789abcdef?teamId=t1";
  EXPECT_EQ(nlohmann::json::parse(served.ask("GET", "/v8/artifacts/status").body)["status"], "enabled");
  EXPECT_EQ(served.ask("HEAD", path).status, 404);
  const Got put = served.ask("PUT", path, "tar",
                             "x-artifact-duration: 1500\r\nx-artifact-tag: c2lnbmF0dXJl\r\nx-artifact-sha: abc\r\n");
  EXPECT_EQ(put.status, 202);
  EXPECT_TRUE(nlohmann::json::parse(put.body)["urls"].is_array());
  const Got got = served.ask("GET", path);
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(got.body, "tar");
  EXPECT_EQ(got.header("x-artifact-tag"), "c2lnbmF0dXJl");
  EXPECT_EQ(got.header("x-artifact-duration"), "1500");
  EXPECT_EQ(got.header("x-artifact-sha"), "abc");
  EXPECT_EQ(served.ask("HEAD", path).header("x-artifact-tag"), "c2lnbmF0dXJl");
  EXPECT_EQ(served.ask("GET", "/v8/artifacts/0123456789abcdef?teamId=t2").status, 404) << "another team";
  const auto entry =
      must(cache::EntryStore(*served.store.cache).find({.door = "turborepo", .key = "t1/0123456789abcdef"}));
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->hold.info().facts.build_time, std::chrono::milliseconds(1500)) << "what losing it costs";
  const auto query = nlohmann::json::parse(
      served.ask("POST", "/v8/artifacts?teamId=t1", R"({"hashes":["0123456789abcdef","ffff"]})").body);
  EXPECT_EQ(query["0123456789abcdef"]["size"], 3);
  EXPECT_EQ(query["0123456789abcdef"]["taskDurationMs"], 1500);
  EXPECT_TRUE(query["ffff"].contains("error"));
  EXPECT_EQ(served.ask("POST", "/v8/artifacts", "nonsense").status, 400);
  EXPECT_EQ(served.ask("POST", "/v8/artifacts/events", R"([{"event":"HIT","hash":"a"}])").status, 200);
  EXPECT_EQ(served.ask("POST", "/v8/artifacts/events", "[").status, 400);
  EXPECT_EQ(served.ask("PUT", path, "x", "x-artifact-duration: soon\r\n").status, 400);
  EXPECT_EQ(served.ask("PUT", path, "x", "x-artifact-tag: " + std::string(601, 't') + "\r\n").status, 400);
  const Got preflight = served.ask("OPTIONS", path);
  EXPECT_EQ(preflight.status, 200);
  EXPECT_NE(preflight.header("access-control-allow-headers").find("Authorization"), std::string::npos);
}

TEST(NxDoor, NeverOverrides) {
  Served served;
  const std::string path = "/v1/cache/12345678901234567890";
  EXPECT_EQ(served.ask("GET", path).status, 404);
  EXPECT_EQ(served.ask("PUT", path, "first").status, 200);
  EXPECT_EQ(served.ask("PUT", path, "second").status, 409);
  EXPECT_EQ(served.ask("PUT", path, "first").status, 409);
  EXPECT_EQ(served.ask("GET", path).body, "first");
  EXPECT_EQ(served.ask("DELETE", path).status, 405);
}

TEST(Looking, HealthStatusAndMetricsSayWhatIsThere) {
  Served served;
  EXPECT_EQ(served.ask("GET", "/health").status, 200);
  EXPECT_EQ(served.ask("HEAD", "/health").status, 200);
  EXPECT_EQ(served.ask("PUT", "/health", "x").status, 405);
  EXPECT_EQ(served.ask("OPTIONS", "*").status, 204);
  EXPECT_EQ(served.ask("GET", "/nowhere").status, 404);
  served.ask("GET", "/team/gradle/" + std::string(32, '1'));
  served.ask("PUT", "/team/gradle/" + std::string(32, '1'), "value");
  served.ask("GET", "/team/gradle/" + std::string(32, '1'));
  const auto status = nlohmann::json::parse(served.ask("GET", "/status").body);
  EXPECT_EQ(status["projects"][0]["project"], "gradle/team");
  EXPECT_EQ(status["projects"][0]["hit_rate"], 0.5);
  EXPECT_EQ(status["records"], 1);
  const std::string metrics = served.ask("GET", "/metrics").body;
  for (const char* line : {"cairn_hits_total{project=\"gradle/team\"} 1\n",
                           "cairn_misses_total{project=\"gradle/team\",cause=\"never_seen\"} 1\n",
                           "cairn_http_requests_total{door=\"gradle\",code=\"200\"} 2\n",
                           "cairn_http_requests_total{door=\"gradle\",code=\"404\"} 1\n",
                           "cairn_http_received_bytes_total 5\n", "# TYPE cairn_live_bytes gauge\n"})
    EXPECT_NE(metrics.find(line), std::string::npos) << line << " is not in\n" << metrics;
}

TEST(HardLimit, WhatDoesNotFitIsToldAndNothingIsLost) {
  HttpOptions options;
  options.live_bytes_max = 3 << 20;
  Served served(std::move(options));
  EXPECT_EQ(served.ask("PUT", "/gradle/" + std::string(32, '1'), "small").status, 200);
  Client client(served.server->address());
  client.send(fmt::format("PUT /gradle/{} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", std::string(32, '2'),
                          std::uint64_t{100} << 30));
  EXPECT_EQ(client.receive().status, 413) << "more than a body may have";
  Client too_large(served.server->address());
  too_large.send(
      fmt::format("PUT /gradle/{} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", std::string(32, '2'), 10 << 20));
  EXPECT_EQ(too_large.receive().status, 507) << "before any of it has come";
  Client chunked(served.server->address());
  chunked.send(
      fmt::format("PUT /gradle/{} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", std::string(32, '3')));
  const std::string piece(1 << 20, 'p');
  for (int i = 0; i < 6; ++i) chunked.send(fmt::format("{:x}\r\n{}\r\n", piece.size(), piece));
  EXPECT_EQ(chunked.receive().status, 507) << "when it has become too much";
  EXPECT_EQ(served.ask("GET", "/gradle/" + std::string(32, '1')).body, "small");
  EXPECT_EQ(served.ask("GET", "/gradle/" + std::string(32, '3')).status, 404);
  EXPECT_EQ(served.findings(), std::vector<std::string>());
}

TEST(Durable, WhatIsAnsweredSurvives) {
  Served served;
  EXPECT_EQ(served.ask("PUT", "/gradle/" + std::string(32, '1'), "value").status, 200);
  EXPECT_EQ(served.store.writer->counts().groups, 1u) << "value and entry share one group";
  served.store.fail_data_sync = true;
  EXPECT_EQ(served.ask("PUT", "/gradle/" + std::string(32, '2'), "lost").status, 500);
}

}  // namespace
}  // namespace cairn::serve
