// SPDX-License-Identifier: Apache-2.0
// Configs of images: history and layers brought together as BuildKit does, and nothing lost that nobody here knows.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libbase/base64.h"
#include "libbase/hash/sha256.h"
#include "libsolver/images/config.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using testing::HasSubstr;
using testing::Not;

base::WallTime seconds(std::int64_t count) { return base::WallTime(std::chrono::seconds(count)); }

ConfigFacts facts_of(std::size_t layers) {
  ConfigFacts facts;
  facts.platform.os = "linux";
  facts.platform.architecture = "amd64";
  for (std::size_t i = 0; i < layers; ++i)
    facts.layers.push_back({base::digest_of<DiffId>(fmt::format("layer {}", i)), fmt::format("step {}", i),
                            seconds(1'000'000'000 + static_cast<std::int64_t>(i))});
  return facts;
}

std::string config_of(std::string_view config, const ConfigFacts& facts, std::string_view base_config = "") {
  const auto written = write_image_config(config, base_config, facts);
  EXPECT_TRUE(written.has_value()) << (written ? "" : written.error().message);
  return written.value_or("");
}

std::string history_of(std::string_view config, const ConfigFacts& facts, std::string_view base_config = "") {
  const std::string text = config_of(config, facts, base_config);
  const std::size_t begin = text.find("\"history\":") + 10;
  return text.substr(begin, text.find("],\"", begin) + 1 - begin);
}

TEST(ImageConfig, ANothingIsAnImageOfThePlatform) {
  EXPECT_EQ(config_of("", facts_of(0)),
            R"({"architecture":"amd64","config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:)"
            R"(/sbin:/bin"],"WorkingDir":"/"},"history":[],"os":"linux","rootfs":{"type":"layers","diff_ids":[]}})");
}

TEST(ImageConfig, MembersThatNobodyKnowsStayAsTheyAreWritten) {
  const std::string text = config_of(
      R"({ "zeta": 1.50e+3, "alpha" : [ 12345678901234567890123, "\u0041 < &" ], "config":{"Labels":{"b":"2","a":"1"}},
          "history":[{"created":"2001-09-09T01:46:40Z","x":[1,  2],"comment":"","author":"me","empty_layer":false}],
          "rootfs":{"type":"layers","diff_ids":["gone"]},"created":"2020-02-02T00:00:00.5+02:00"})",
      facts_of(1));
  EXPECT_THAT(text, HasSubstr(R"({"alpha":[12345678901234567890123,"\u0041 \u003c \u0026"],)"));
  EXPECT_THAT(text, HasSubstr(R"("config":{"Labels":{"b":"2","a":"1"}},"created":"2020-02-02T00:00:00.5+02:00",)"));
  EXPECT_THAT(text, HasSubstr(R"("history":[{"created":"2001-09-09T01:46:40Z","author":"me","x":[1,2]}],)"));
  EXPECT_THAT(text, HasSubstr(R"("zeta":1.50e+3})"));
  EXPECT_THAT(text, Not(HasSubstr("gone")));
  EXPECT_EQ(config_of(text, facts_of(1)), text) << "it is its own image config";
}

TEST(ImageConfig, LayersThatTheHistoryDoesNotNameGetEntries) {
  EXPECT_EQ(history_of(R"({"history":[{"created_by":"RUN a"},{"created_by":"ENV b","empty_layer":true}]})", facts_of(2)),
            R"([{"created":"2001-09-09T01:46:40Z","created_by":"RUN a"},)"
            R"({"created":"2001-09-09T01:46:41Z","created_by":"ENV b","empty_layer":true},)"
            R"({"created":"2001-09-09T01:46:41Z","created_by":"step 1","comment":"buildkit.exporter.image.v0"}])");
  ConfigFacts nameless = facts_of(1);
  nameless.layers[0].description = "";
  EXPECT_THAT(history_of("{}", nameless), HasSubstr(R"("created_by":"created by buildkit")"));
}

TEST(ImageConfig, EntriesWithoutALayerBecomeEmptyFromTheTop) {
  EXPECT_EQ(history_of(R"({"history":[{"created_by":"a"},{"created_by":"b"},{"created_by":"c"}]})", facts_of(1)),
            R"([{"created":"2001-09-09T01:46:40Z","created_by":"a"},)"
            R"({"created":"2001-09-09T01:46:40Z","created_by":"b","empty_layer":true},)"
            R"({"created":"2001-09-09T01:46:40Z","created_by":"c","empty_layer":true}])");
}

TEST(ImageConfig, StepsWithoutALayerAreAsOldAsTheFirstNewLayer) {
  EXPECT_EQ(history_of(R"({"history":[{"created":"1999-01-01T00:00:00Z"},{"created_by":"ENV","empty_layer":true},
                          {"created_by":"RUN"},{"created_by":"CMD","empty_layer":true}]})",
                       facts_of(2)),
            R"([{"created":"1999-01-01T00:00:00Z"},)"
            R"({"created":"2001-09-09T01:46:41Z","created_by":"ENV","empty_layer":true},)"
            R"({"created":"2001-09-09T01:46:41Z","created_by":"RUN"},)"
            R"({"created":"2001-09-09T01:46:41Z","created_by":"CMD","empty_layer":true}])");
}

TEST(ImageConfig, TheEpochIsTheLatestTimeButOfWhatTheBaseImageSays) {
  ConfigFacts facts = facts_of(3);
  facts.epoch = 946'684'800;  // 2000
  const std::string base = R"({"history":[{"created":"2010-01-01T00:00:00Z","created_by":"base"}]})";
  const std::string config = R"({"created":"2010-01-01T00:00:00Z","history":[
    {"created":"2010-01-01T00:00:00Z","created_by":"base"},{"created":"1990-01-01T00:00:00Z"},{"created_by":"RUN"}]})";
  EXPECT_EQ(history_of(config, facts, base),
            R"([{"created":"2010-01-01T00:00:00Z","created_by":"base"},{"created":"1990-01-01T00:00:00Z"},)"
            R"({"created":"2000-01-01T00:00:00Z","created_by":"RUN"}])");
  EXPECT_THAT(config_of(config, facts, base), HasSubstr(R"("created":"2000-01-01T00:00:00Z","history")"));
  EXPECT_THAT(history_of(config, facts), Not(HasSubstr("2010"))) << "without a base image all of it is new";
}

TEST(ImageConfig, AnImageIsAsOldAsItsLastStepIfNothingElseIsSaid) {
  EXPECT_THAT(config_of(R"({"history":[{"created_by":"RUN"}]})", facts_of(1)),
              HasSubstr(R"({"created":"2001-09-09T01:46:40Z","history")"));
}

TEST(ImageConfig, TheInlineCacheIsThatOfThisImage) {
  ConfigFacts facts = facts_of(0);
  EXPECT_EQ(config_of(R"({"moby.buildkit.cache.v0":"b2xk"})", facts).find("moby"), std::string::npos);
  facts.inline_cache = R"([{"digest":"x"}])";
  EXPECT_THAT(config_of("{}", facts), HasSubstr(R"("moby.buildkit.cache.v0":")" + base::base64(facts.inline_cache)));
}

TEST(ImageConfig, WhatIsNoConfigIsRefused) {
  const auto refused = [](std::string_view config, std::string_view base_config = "") {
    ConfigFacts facts = facts_of(1);
    facts.epoch = 1;
    const auto written = write_image_config(config, base_config, facts);
    return written ? "it was taken" : written.error().message;
  };
  EXPECT_THAT(refused("{"), HasSubstr("image config: not JSON"));
  EXPECT_THAT(refused(std::string_view("{}\0}", 4)), HasSubstr("not JSON"));
  EXPECT_THAT(refused("[]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(refused(R"({"a":1,"\u0061":2})"), HasSubstr("\"a\" is there twice"));
  EXPECT_THAT(refused(R"({"history":7})"), HasSubstr("history is no list"));
  EXPECT_THAT(refused(R"({"history":[{},3]})"), HasSubstr("entry 1 of the history is no object"));
  EXPECT_THAT(refused(R"({"history":[{"created":"yesterday"}]})"), HasSubstr("entry 0 of the history"));
  EXPECT_THAT(refused(R"({"history":[{"created_by":1}]})"), HasSubstr("created_by"));
  EXPECT_THAT(refused(R"({"history":[{"empty_layer":"yes"}]})"), HasSubstr("empty_layer"));
  EXPECT_THAT(refused(R"({"created":1})"), HasSubstr("created"));
  EXPECT_THAT(refused("{}", "no"), HasSubstr("config of the base image"));
  EXPECT_THAT(refused("{\"a\":" + std::string(100, '[') + std::string(100, ']') + "}"), HasSubstr("nested"));
}

}  // namespace
}  // namespace cairn::solver
