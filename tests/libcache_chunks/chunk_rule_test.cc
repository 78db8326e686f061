// SPDX-License-Identifier: Apache-2.0
// Boundaries are those of the Remote Execution API's vectors, within bounds, and stay where they are when something else
// changes.
#include "libcache/chunk_rule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "libbase/fs/beneath.h"
#include "libbase/hash/sha256.h"
#include "libcache/blobs/gear_table.h"
#include "tests/support/random_bytes.h"

namespace cairn::cache {
namespace {

using test::random_bytes;

std::vector<std::string> chunks_of(std::string_view bytes, const ChunkRule& rule) {
  std::vector<std::string> chunks;
  while (!bytes.empty()) {
    chunks.emplace_back(bytes.substr(0, rule.cut(bytes)));
    bytes.remove_prefix(chunks.back().size());
  }
  return chunks;
}

TEST(ChunkRule, TheVectorsOfTheRemoteExecutionApi) {
  const std::string dir = CAIRN_CHUNK_VECTORS;
  const auto vector = nlohmann::json::parse(std::ifstream(dir + "/akashita.json"));
  const auto bytes = base::read_file(*base::HostPath::parse(dir + "/" + vector.at("file").get<std::string>()), 1 << 20);
  ASSERT_TRUE(bytes);
  ASSERT_EQ(base::to_hex(base::sha256(*bytes)), "d9e749d9367fc908876749d6502eb212fee88c9a94892fb07da5ef3ba8bc39ed");
  const auto chunks = chunks_of(*bytes, ChunkRule(vector.at("min"), vector.at("average"), vector.at("max")));
  ASSERT_EQ(chunks.size(), vector.at("chunks").size());
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    EXPECT_EQ(chunks[i].size(), vector.at("chunks")[i].at("length").get<std::size_t>()) << i;
    EXPECT_EQ(base::to_hex(base::sha256(chunks[i])), vector.at("chunks")[i].at("sha256").get<std::string>()) << i;
  }
}

// Of all 256 words, little-endian; computed from MD5 by another program.
TEST(ChunkRule, TheTableIsTheAgreedOne) {
  EXPECT_EQ(gear_table[0], 0x3b5d3c7d207e37dc);
  const std::string_view bytes(reinterpret_cast<const char*>(gear_table.data()), sizeof gear_table);
  EXPECT_EQ(base::to_hex(base::sha256(bytes)), "91a3061015ae351cd3701852712bcd6aa4a1ce26c8a231d3969432b00f028f88");
}

TEST(ChunkRule, ChunksAreWithinBoundsAndNearTheAverage) {
  for (std::uint32_t average = ChunkRule::average_min; average <= ChunkRule::average_max; average *= 4) {
    const ChunkRule rule = *ChunkRule::of_average(average);
    EXPECT_EQ(rule.max_bytes(), average * 4);
    const std::string bytes = random_bytes(average, 64 * std::size_t{average} + 12'345);
    const auto chunks = chunks_of(bytes, rule);
    std::string joined;
    for (std::size_t i = 0; i < chunks.size(); ++i) {
      EXPECT_LE(chunks[i].size(), average * 4);
      EXPECT_TRUE(chunks[i].size() >= average / 4 || i + 1 == chunks.size()) << chunks[i].size();
      joined += chunks[i];
    }
    EXPECT_EQ(joined, bytes);
    EXPECT_GE(chunks.size(), 64 / 2);
    EXPECT_LE(chunks.size(), 64 * 2);
  }
}

TEST(ChunkRule, MoreBytesThanAChunkMayHaveChangeNothing) {
  const ChunkRule rule = *ChunkRule::of_average(4096);
  const std::string bytes = random_bytes(3, 300'001);
  std::string_view rest = bytes;
  while (!rest.empty()) {
    const std::size_t size = rule.cut(rest);
    EXPECT_EQ(rule.cut(rest.substr(0, rule.max_bytes())), size);
    rest.remove_prefix(size);
  }
}

TEST(ChunkRule, ShortBytesAreOneChunkAndNoneAreNone) {
  const ChunkRule rule = *ChunkRule::of_average(4096);
  EXPECT_EQ(rule.cut(""), 0u);
  for (const std::size_t size : {1u, 1023u, 1024u}) EXPECT_EQ(rule.cut(random_bytes(1, size)), size);
  EXPECT_EQ(rule.cut(std::string(16384, '\0')), 16384u) << "bytes in which no boundary is";
  EXPECT_EQ(rule.cut(std::string(100'000, '\0')), 16384u);
}

TEST(ChunkRule, WhatIsPutInChangesTheChunksAroundItAlone) {
  const ChunkRule rule = *ChunkRule::of_average(8192);
  const std::string before = random_bytes(5, 4 << 20);
  std::string after = before;
  after.insert(2'000'001, "seven b");
  const auto old_chunks = chunks_of(before, rule);
  const std::set<std::string> known(old_chunks.begin(), old_chunks.end());
  const auto new_chunks = chunks_of(after, rule);
  const auto is_new = [&](const std::string& chunk) { return !known.contains(chunk); };
  EXPECT_GE(std::count_if(new_chunks.begin(), new_chunks.end(), is_new), 1);
  EXPECT_LE(std::count_if(new_chunks.begin(), new_chunks.end(), is_new), 3);
}

TEST(ChunkRule, OtherAveragesAreRefused) {
  for (const std::uint32_t average : {0u, 512u, 3000u, 2u << 20})
    EXPECT_EQ(ChunkRule::of_average(average).error().code, base::ErrorCode::invalid_argument) << average;
}

}  // namespace
}  // namespace cairn::cache
