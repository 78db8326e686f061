// SPDX-License-Identifier: Apache-2.0
// Caches as one: nothing is lost, nothing is there twice, and whoever merges in whatever order gets the same.
#include <gtest/gtest.h>

#include "libbase/hash/sha256.h"
#include "libsolver/remote_cache/manifest.h"
#include "libsolver/remote_cache/merge_caches.h"

namespace cairn::solver {
namespace {

std::string digest(const std::string& of) { return "sha256:" + base::to_hex(base::sha256(of)); }

// A chain of steps on one source; step i has the layers 0 … i.
WrittenCache steps(const std::string& name, std::size_t count, const std::string& blobs = "",
                   base::WallTime created = base::from_unix_ns(1'000)) {
  WrittenCache cache;
  CacheChains chains;
  auto record = *chains.add(digest("source"), {}, {});
  ChainResult result{.layers = {}, .created = created};
  for (std::size_t i = 0; i < count; ++i) {
    const std::string step = fmt::format("{} {}", name, i);
    result.layers.push_back(digest(blobs + step));
    cache.layers.emplace(result.layers.back(),
                         CacheLayer{*BlobDigest::parse(result.layers.back()), 10, base::Compression::gzip,
                                    base::digest_of<DiffId>("diff of " + step)});
    record = *chains.add(digest("step " + step), {{{*record, ""}}}, {result});
  }
  cache.config = chains.config();
  return cache;
}

WrittenCache merged(const WrittenCache& a, const WrittenCache& b) {
  auto both = merge_caches(a, b);
  CHECK(both.has_value(), "{}", both.error().message);
  return std::move(*both);
}

TEST(MergeCaches, NothingIsLostAndNothingIsThereTwice) {
  const WrittenCache a = steps("a", 3), b = steps("b", 2);
  const WrittenCache both = merged(a, b);
  EXPECT_EQ(both.config.records.size(), 1u + 3u + 2u);  // the source is one
  EXPECT_EQ(both.layers.size(), 5u);
  EXPECT_EQ(merged(both, a).config.json(), both.config.json());
  EXPECT_EQ(merged(both, both).config.json(), both.config.json());
}

TEST(MergeCaches, TheOrderDoesNotMatter) {
  const WrittenCache a = steps("a", 3), b = steps("b", 2), c = steps("a", 5);
  const std::string one = merged(merged(a, b), c).config.json();
  EXPECT_EQ(merged(c, merged(b, a)).config.json(), one);
  EXPECT_EQ(merged(merged(c, a), b).config.json(), one);
}

TEST(MergeCaches, WhatHoldsTheSameKeepsTheBlobsThatAreThere) {
  const WrittenCache theirs = steps("a", 3, "compressed by others "), ours = steps("a", 3);
  const WrittenCache both = merged(theirs, ours);
  EXPECT_TRUE(hold_the_same(both.config, theirs.config));
  for (const auto& [blob, layer] : both.layers) EXPECT_TRUE(theirs.layers.contains(blob));
}

TEST(MergeCaches, OfOneRecordTheNewestResultStays) {
  WrittenCache older = steps("a", 1), newer = steps("a", 1, "made anew ", base::from_unix_ns(2'000));
  for (auto& [blob, layer] : newer.layers) layer.diff = base::digest_of<DiffId>("another");
  for (const WrittenCache& both : {merged(older, newer), merged(newer, older)}) {
    EXPECT_EQ(both.config.records.size(), 2u);
    EXPECT_TRUE(hold_the_same(both.config, newer.config));
  }
}

TEST(MergeCaches, WhenSomethingWasMadeIsNoDifference) {
  EXPECT_TRUE(hold_the_same(steps("a", 2).config, steps("a", 2, "", base::from_unix_ns(5'000)).config));
  EXPECT_FALSE(hold_the_same(steps("a", 2).config, steps("a", 3).config));
}

TEST(MergeCaches, AResultOfALayerThatIsDescribedNowhereIsNone) {
  WrittenCache cache = steps("a", 3);
  cache.layers.erase(digest("a 1"));
  const WrittenCache known = merged({}, cache);
  EXPECT_EQ(known.config.records.size(), 4u) << "the keys stay";
  EXPECT_EQ(known.layers.size(), 1u);
}

// What is written is read again, however large: no limit between the two.
TEST(MergeCaches, WhatIsWrittenCanBeRead) {
  const WrittenCache cache = steps("long", 300);
  WrittenCache wide;
  for (int i = 0; i < 5; ++i) wide = merged(wide, steps(fmt::format("wide {}", i), 1'000));
  for (const WrittenCache* each : {&cache, static_cast<const WrittenCache*>(&wide)}) {
    const std::string json = each->config.json();
    const auto read = parse_cache_config(json);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(read->json(), json);
  }
  EXPECT_GT(wide.config.json().size(), std::size_t{1} << 20) << "BuildKit reads no more than this";
  const std::string manifest = write_cache_manifest(wide, base::digest_of<BlobDigest>("config"), 6);
  EXPECT_EQ(manifest, write_cache_manifest(wide, base::digest_of<BlobDigest>("config"), 6));
}

}  // namespace
}  // namespace cairn::solver
