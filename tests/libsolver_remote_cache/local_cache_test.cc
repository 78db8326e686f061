// SPDX-License-Identifier: Apache-2.0
// Caches in OCI layouts: what one store writes, another finds, and what is damaged is a miss or an error that names it.
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "tests/libsolver_remote_cache/remote_cache_fixture.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using testing::HasSubstr;
namespace fs = std::filesystem;

class LocalCacheTest : public testing::Test {
 protected:
  CacheAddress address(const std::string& tag = "latest") const {
    return {.type = CacheAddress::Type::local, .place = (dir_ / "cache").str(), .tag = tag, .digest = {}};
  }
  std::map<std::string, std::string> files() const {
    std::map<std::string, std::string> all;
    for (const auto& entry : fs::recursive_directory_iterator((dir_ / "cache").str())) {
      if (!entry.is_regular_file()) continue;
      std::ifstream in(entry.path(), std::ios::binary);
      all[entry.path().string()] = std::string(std::istreambuf_iterator<char>(in), {});
    }
    return all;
  }
  // The layers' blobs: all but documents.
  std::vector<fs::path> layers() const {
    std::vector<fs::path> all;
    for (const auto& [path, bytes] : files()) {
      if (path.find("/blobs/") != path.npos && !bytes.starts_with('{')) all.emplace_back(path);
    }
    return all;
  }

  test::TempDir dir_;
};

TEST_F(LocalCacheTest, WhatOneStoreWritesAnotherFinds) {
  for (const auto mode : {ExportOptions::Mode::min, ExportOptions::Mode::max}) {
    fs::remove_all((dir_ / "cache").str());
    Machine here(nullptr), there(nullptr);
    EXPECT_EQ(here.solve(Machine::chain("a", 4)), 5);
    const CacheExported exported = must(here.export_to(address(), mode));
    EXPECT_EQ(exported.records, 5u);
    EXPECT_EQ(exported.layers, 5u);
    EXPECT_EQ(exported.new_blobs, 5u + 1u);
    EXPECT_EQ(there.solve(Machine::chain("a", 4), {address()}), 0);
    EXPECT_TRUE(there.outcome.result->is_lazy()) << "a hit transfers nothing";
    EXPECT_EQ(must(there.content("a/3")), "a 3");
    EXPECT_EQ(there.solve(Machine::chain("a", 4)), 0) << "it is found in the own store from now on";
  }
}

TEST_F(LocalCacheTest, TheKeysOfIntermediateStepsTravelWithoutTheirLayers) {
  expect_that_keys_travel_without_their_layers(address(), [] { return Machine(nullptr); });
}

TEST_F(LocalCacheTest, NothingNewIsNotWritten) {
  Machine here(nullptr), there(nullptr);
  here.solve(Machine::chain("a", 3));
  const CacheExported first = must(here.export_to(address()));
  const auto before = files();
  const CacheExported second = must(here.export_to(address()));
  EXPECT_EQ(second.new_blobs, 0u);
  EXPECT_EQ(second.manifest, first.manifest);
  // Nor by somebody who has it from there.
  there.solve(Machine::chain("a", 3), {address()});
  EXPECT_EQ(must(there.export_to(address())).new_blobs, 0u);
  EXPECT_EQ(files(), before);
}

TEST_F(LocalCacheTest, TheSameCacheHasTheSameDigest) {
  Machine here(nullptr);
  here.solve(Machine::chain("a", 3));
  const BlobDigest first = must(here.export_to(address())).manifest;
  fs::remove_all((dir_ / "cache").str());
  EXPECT_EQ(must(here.export_to(address())).manifest, first);
}

TEST_F(LocalCacheTest, ExportersAddToEachOther) {
  Machine one(nullptr), two(nullptr), third(nullptr);
  one.solve(Machine::chain("a", 2));
  two.solve(Machine::chain("b", 2));
  must(one.export_to(address()));
  must(two.export_to(address()));
  EXPECT_EQ(third.solve(Machine::chain("a", 2), {address()}), 0);
  EXPECT_EQ(third.solve(Machine::chain("b", 2), {address()}), 0);
}

TEST_F(LocalCacheTest, ManyAtATimeLoseNothing) {
  constexpr int machines = 8;
  std::vector<std::unique_ptr<Machine>> all;
  for (int i = 0; i < machines; ++i) {
    all.push_back(std::make_unique<Machine>(nullptr));
    all.back()->solve(Machine::chain(fmt::format("m{}", i), 2));
  }
  {
    std::vector<std::jthread> threads;
    for (const auto& machine : all) threads.emplace_back([&] { must(machine->export_to(address())); });
  }
  Machine last(nullptr);
  for (int i = 0; i < machines; ++i)
    EXPECT_EQ(last.solve(Machine::chain(fmt::format("m{}", i), 2), {address()}), 0) << i;
}

TEST_F(LocalCacheTest, NamesStandBesideEachOther) {
  Machine here(nullptr), there(nullptr);
  here.solve(Machine::chain("a", 1));
  must(here.export_to(address("main")));
  here.solve(Machine::chain("b", 1));
  must(here.export_to(address("branch")));
  EXPECT_EQ(there.solve(Machine::chain("a", 1), {address("branch")}), 2);
  EXPECT_EQ(there.solve(Machine::chain("b", 1), {address("main"), address("branch")}), 0);
}

TEST_F(LocalCacheTest, NoCacheIsAnErrorThatSaysSo) {
  Machine there(nullptr);
  EXPECT_EQ(there.solve(Machine::chain("a", 1), {address()}), 2);
  EXPECT_THAT(there.import_error, HasSubstr("nothing is there"));
}

TEST_F(LocalCacheTest, ALayerThatIsGoneIsAMiss) {
  Machine here(nullptr), there(nullptr);
  here.solve(Machine::chain("a", 2));
  must(here.export_to(address()));
  for (const fs::path& layer : layers()) fs::remove(layer);
  EXPECT_EQ(there.solve(Machine::chain("a", 2), {address()}), 3);
  EXPECT_EQ(must(there.content("a/1")), "a 1");
}

TEST_F(LocalCacheTest, OtherBytesThanTheDigestSaysAreNeverATree) {
  Machine here(nullptr), there(nullptr);
  here.solve(Machine::chain("a", 2));
  must(here.export_to(address()));
  for (const fs::path& layer : layers()) {
    const auto size = fs::file_size(layer);
    std::ofstream(layer, std::ios::binary) << std::string(size, 'x');
  }
  EXPECT_EQ(there.solve(Machine::chain("a", 2), {address()}), 0) << "nobody has looked at it yet";
  const auto read = there.content("a/1");
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::corrupt) << read.error().message;
}

TEST_F(LocalCacheTest, ALayerThatGoesAfterTheHitIsMadeAgain) {
  Machine here(nullptr), there(nullptr);
  here.solve(Machine::chain("a", 2));
  must(here.export_to(address()));
  EXPECT_EQ(there.solve(Machine::chain("a", 2), {address()}), 0);
  for (const fs::path& layer : layers()) fs::remove(layer);
  // Another step needs the tree of what was a hit.
  EXPECT_EQ(there.solve(Machine::chain("a", 3)), 4) << "what was a hit, and the new one";
  ASSERT_EQ(there.outcome.warnings.size(), 1u);
  EXPECT_THAT(there.outcome.warnings[0], HasSubstr("is done again"));
  EXPECT_EQ(must(there.content("a/0")), "a 0");
  EXPECT_EQ(must(there.content("a/2")), "a 2");
  EXPECT_EQ(there.solve(Machine::chain("a", 3)), 0) << "what was made is found from now on";
  EXPECT_THAT(there.outcome.warnings, testing::IsEmpty());
  EXPECT_EQ(must(there.content("a/1")), "a 1");
}

TEST_F(LocalCacheTest, ALayerOfOtherBytesIsMadeAgainIfTheTreeIsWanted) {
  Machine here(nullptr), there(nullptr);
  here.solve(Machine::chain("a", 2));
  must(here.export_to(address()));
  for (const fs::path& layer : layers()) {
    const auto size = fs::file_size(layer);
    std::ofstream(layer, std::ios::binary) << std::string(size, 'x');
  }
  there.wanted_tree = SolveRequest::Tree::here;
  EXPECT_EQ(there.solve(Machine::chain("a", 2), {address()}), 3);
  EXPECT_EQ(there.outcome.warnings.size(), 1u);
  EXPECT_EQ(must(there.content("a/1")), "a 1");
}

TEST_F(LocalCacheTest, OnlyWhatIsLostIsMadeAgain) {
  Machine here(nullptr), there(nullptr);
  here.solve(Machine::chain("a", 2));
  must(here.export_to(address()));
  there.solve(Machine::chain("a", 2), {address()});
  must(there.fetch());
  const auto before = layers();
  here.solve(Machine::chain("a", 4));
  must(here.export_to(address()));
  EXPECT_EQ(there.solve(Machine::chain("a", 4), {address()}), 0);
  for (const fs::path& layer : layers())
    if (std::find(before.begin(), before.end(), layer) == before.end()) fs::remove(layer);
  EXPECT_EQ(there.solve(Machine::chain("a", 5)), 3) << "two that were lost and the new one";
  EXPECT_EQ(must(there.content("a/3")), "a 3");
}

TEST_F(LocalCacheTest, ADamagedConfigIsNoCache) {
  Machine here(nullptr), there(nullptr);
  here.solve(Machine::chain("a", 2));
  must(here.export_to(address()));
  for (const auto& [path, bytes] : files()) {
    if (bytes.find("\"records\"") == bytes.npos) continue;
    std::string damaged = bytes;
    damaged[damaged.find("sha256:") + 8] ^= 1;
    std::ofstream(path, std::ios::binary) << damaged;
  }
  EXPECT_EQ(there.solve(Machine::chain("a", 2), {address()}), 3);
  EXPECT_THAT(there.import_error, HasSubstr("holds other bytes"));
  // Whoever exports there puts it right.
  must(there.export_to(address()));
}

TEST_F(LocalCacheTest, AnImageIsNotWrittenOver) {
  Machine here(nullptr);
  here.solve(Machine::chain("a", 1));
  must(here.export_to(address()));
  const std::string image =
      R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:)" +
      std::string(64, '0') + R"(","size":2},"layers":[]})";
  const auto digest = base::digest_of<BlobDigest>(image);
  std::ofstream((dir_ / ("cache/blobs/sha256/" + digest.hex())).str()) << image;
  std::ofstream((dir_ / "cache/index.json").str()) << fmt::format(
      R"({{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":{},"annotations":{{"org.opencontainers.image.ref.name":"latest"}}}}]}})",
      digest, image.size());
  const auto exported = here.export_to(address());
  ASSERT_FALSE(exported);
  EXPECT_THAT(exported.error().message, HasSubstr("it is an image"));
}

}  // namespace
}  // namespace cairn::solver
