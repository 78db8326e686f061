// SPDX-License-Identifier: Apache-2.0
#include "libsolver/sources/platform_match.h"

#include <gtest/gtest.h>

#include <sstream>

namespace cairn::solver {
namespace {

// "linux/arm/v7"
wire::Platform parse(const std::string& text) {
  wire::Platform out;
  std::istringstream parts(text);
  std::getline(parts, out.os, '/');
  std::getline(parts, out.architecture, '/');
  std::getline(parts, out.variant, '/');
  return out;
}
std::optional<std::size_t> rank(const std::string& wanted, const std::string& offered) {
  return platform_rank(parse(wanted), parse(offered));
}

TEST(PlatformMatch, SpellingsOfOneMachineAreEqual) {
  EXPECT_EQ(rank("linux/amd64", "Linux/x86_64/v1"), 0u);
  EXPECT_EQ(rank("linux/arm64", "linux/aarch64/v8"), 0u);
  EXPECT_EQ(rank("linux/arm", "linux/armhf"), 0u);
  EXPECT_EQ(rank("linux/arm/6", "linux/armel"), 0u);
  EXPECT_EQ(rank("linux/386", "linux/i386"), 0u);
}

TEST(PlatformMatch, OlderVariantsServeInOrder) {
  EXPECT_EQ(rank("linux/amd64/v3", "linux/amd64/v3"), 0u);
  EXPECT_EQ(rank("linux/amd64/v3", "linux/amd64/v2"), 1u);
  EXPECT_EQ(rank("linux/amd64/v3", "linux/amd64"), 2u);
  EXPECT_EQ(rank("linux/amd64/v3", "linux/386"), 3u);
  EXPECT_EQ(rank("linux/arm/v7", "linux/arm/v6"), 1u);
  EXPECT_EQ(rank("linux/arm/v7", "linux/arm/v5"), 2u);
  EXPECT_EQ(rank("linux/arm64", "linux/arm/v8"), 1u);
  EXPECT_EQ(rank("linux/arm64", "linux/arm/v5"), 4u);
}

TEST(PlatformMatch, WhatCannotServeHasNoRank) {
  EXPECT_EQ(rank("linux/amd64", "linux/amd64/v2"), std::nullopt);
  EXPECT_EQ(rank("linux/arm/v6", "linux/arm/v7"), std::nullopt);
  EXPECT_EQ(rank("linux/amd64", "linux/arm64"), std::nullopt);
  EXPECT_EQ(rank("linux/amd64", "windows/amd64"), std::nullopt);
  EXPECT_EQ(rank("linux/amd64", "unknown/unknown"), std::nullopt);
}

TEST(PlatformMatch, FeaturesThatAreOfferedMustBeWanted) {
  wire::Platform plain = parse("linux/amd64"), special = plain;
  special.os_features = {"fast"};
  EXPECT_EQ(platform_rank(plain, special), std::nullopt);
  EXPECT_EQ(platform_rank(special, plain), 0u);
  EXPECT_EQ(platform_rank(special, special), 0u);
}

TEST(PlatformMatch, WindowsRunsItsOwnBuildAndSinceServer2022OlderOnes) {
  const auto windows_rank = [](const std::string& wanted, const std::string& offered) {
    wire::Platform want = parse("windows/amd64"), have = want;
    want.os_version = wanted;
    have.os_version = offered;
    return platform_rank(want, have);
  };
  EXPECT_EQ(windows_rank("10.0.17763.6054", "10.0.17763.1"), 0u);
  EXPECT_EQ(windows_rank("10.0.17763.6054", "10.0.20348.2582"), std::nullopt);
  EXPECT_EQ(windows_rank("10.0.20348.2582", "10.0.17763.6054"), std::nullopt);
  EXPECT_GT(windows_rank("10.0.26100.1", "10.0.20348.2582"), 0u);
  EXPECT_EQ(windows_rank("", "10.0.17763.6054"), 0u);
  EXPECT_EQ(windows_rank("10.0.17763.6054", ""), 0u);
}

TEST(PlatformMatch, TextNamesTheVariantOnlyIfThereIsOne) {
  EXPECT_EQ(platform_text(parse("linux/arm/v7")), "linux/arm/v7");
  EXPECT_EQ(platform_text(parse("linux/amd64")), "linux/amd64");
}

}  // namespace
}  // namespace cairn::solver
