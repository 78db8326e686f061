// SPDX-License-Identifier: Apache-2.0
// What exporters write of a solve: records, links, and which results go along. Named for BuildKit's tests.
#include <gmock/gmock.h>

#include "libsolver/cache_key.h"
#include "libsolver/key_graph.h"
#include "tests/libsolver_accept/fake_graph.h"

namespace cairn::solver::test {
namespace {

using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

INSTANTIATE_TEST_SUITE_P(, solver, ::testing::Values(Keys::local, Keys::memory), name_of_keys);

std::string digest_of_record(const std::string& seed, int output = 0) {
  OpDigest digest;
  digest.hash = base::sha256("seed:" + seed);
  return root_key(digest, output).str();
}

struct Exported {
  CacheConfig config;
  // A record's inputs, as "input:digest of the linked record/selector"; and the blob of its result.
  const CacheConfig::Record* record(const std::string& seed) const {
    for (const CacheConfig::Record& each : config.records) {
      if (each.digest == digest_of_record(seed)) return &each;
    }
    return nullptr;
  }
  std::vector<std::string> links(const std::string& seed) const {
    std::vector<std::string> all;
    for (std::size_t i = 0; i < record(seed)->inputs.size(); ++i) {
      for (const auto& way : record(seed)->inputs[i]) {
        all.push_back(std::to_string(i) + ":" + config.records[way.link].digest + "/" + way.selector);
      }
    }
    return all;
  }
  std::string result(const std::string& seed) const {
    const auto& layer = record(seed)->layer;
    return layer ? config.layers[*layer].blob : "";
  }
};

Exported exported(const SolveOutcome& outcome, MainStore& store, ExportOptions options) {
  using Layers = base::Result<std::optional<std::vector<std::string>>>;
  options.existing = [](const OptionalRef&) -> Layers { return std::nullopt; };
  options.create = [](const OptionalRef& ref) -> Layers { return std::vector<std::string>{"blob of " + value_of(ref)}; };
  CacheChains chains;
  EXPECT_TRUE(outcome.keys);
  if (outcome.keys) must(export_keys(*outcome.keys, store, options, chains));
  return {chains.config()};
}

SolveRequest keeping(Definition definition) {
  SolveRequest request;
  request.definition = std::move(definition);
  request.keys = SolveRequest::Keys::keep;
  return request;
}

TEST_P(solver, cache_exporting) {
  const FakeStepPtr one = number("v1", 1), two = number("v2", 2);
  const FakeStepPtr top = sum("v0", 0, {{one}, {two}});
  for (int round = 0; round < 2; ++round) {
    const SolveOutcome outcome = solver_->solve(keeping(graph_.define(top)), quiet_, {});
    ASSERT_TRUE(outcome.status);
    const Exported made = exported(outcome, results_, {.mode = ExportOptions::Mode::max, .existing = {}, .create = {}});
    EXPECT_EQ(made.config.records.size(), 3u) << "made and found alike";
    EXPECT_THAT(made.links("sum 0 of 2"), UnorderedElementsAre("0:" + digest_of_record("number 1") + "/",
                                                               "1:" + digest_of_record("number 2") + "/"));
    EXPECT_EQ(made.result("sum 0 of 2"), "blob of 3");
    EXPECT_EQ(made.result("number 1"), "") << "a source is cheap to have again";
    const Exported roots = exported(outcome, results_,
                                    {.mode = ExportOptions::Mode::max, .roots = ExportOptions::Roots::with_results,
                                     .existing = {}, .create = {}});
    EXPECT_EQ(roots.result("number 1"), "blob of 1");
  }
  EXPECT_EQ(top->executions, 1);
}

TEST_P(solver, cache_exporting_mode_min) {
  const FakeStepPtr base = number("v2", 5);
  const FakeStepPtr middle = sum("v1", 2, {{base}});
  const FakeStepPtr top = sum("v0", 1, {{middle}});
  const SolveOutcome outcome = solver_->solve(keeping(graph_.define(top)), quiet_, {});
  ASSERT_TRUE(outcome.status);
  const Exported least = exported(outcome, results_, {.existing = {}, .create = {}});
  EXPECT_EQ(least.config.records.size(), 3u) << "all keys";
  EXPECT_EQ(least.result("sum 1 of 1"), "blob of 8");
  EXPECT_EQ(least.result("sum 2 of 1"), "") << "one result is enough";
  const Exported most = exported(outcome, results_, {.mode = ExportOptions::Mode::max, .existing = {}, .create = {}});
  EXPECT_EQ(most.result("sum 2 of 1"), "blob of 7");
}

TEST_P(solver, cache_exporting_partial_selector) {
  const FakeStepPtr base = step("base", "base", "base");
  const auto selector = base::digest_of<SelectorDigest>("selected").str();
  const FakeStepPtr middle = step("middle", "middle", "middle", {by_content(base, "content", "selected")});
  const FakeStepPtr top = step("top", "top", "top", {{middle}});
  ASSERT_EQ(build(top), "top");
  // Another source with the same content: the export knows both ways.
  const FakeStepPtr other = step("other", "other base", "other");
  const FakeStepPtr again = step("again", "top", "not this", {{step("middle2", "middle", "x", {by_content(other, "content", "selected")})}});
  const SolveOutcome outcome = solver_->solve(keeping(graph_.define(again)), quiet_, {});
  ASSERT_EQ(value_of(outcome.result), "top");
  const std::string content = content_key(base::digest_of<TreeDigest>(std::string("content"))).str();
  const Exported followed = exported(outcome, results_, {.existing = {}, .create = {}});
  EXPECT_THAT(followed.links("middle"), UnorderedElementsAre("0:" + digest_of_record("base") + "/" + selector,
                                                             "0:" + digest_of_record("other base") + "/" + selector,
                                                             "0:" + content + "/"));
  const Exported own = exported(outcome, results_, {.backlinks = ExportOptions::Backlinks::ignore, .existing = {}, .create = {}});
  EXPECT_THAT(own.links("middle"),
              UnorderedElementsAre("0:" + digest_of_record("other base") + "/" + selector, "0:" + content + "/"));
}

TEST_P(solver, cache_exporting_merged_key) {
  const FakeStepPtr left = step("left base", "left base", "base"), right = step("right base", "right base", "base");
  const FakeStepPtr one = step("one", "middle", "middle", {by_content(left, "content")});
  const FakeStepPtr two = step("two", "middle", "middle", {by_content(right, "content")});
  const FakeStepPtr top = step("top", "top", "top", {{one}, {two}});
  const SolveOutcome outcome = solver_->solve(keeping(graph_.define(top)), quiet_, {});
  ASSERT_TRUE(outcome.status);
  EXPECT_EQ(one->executions + two->executions, 1) << "they have merged";
  const Exported made = exported(outcome, results_, {.backlinks = ExportOptions::Backlinks::ignore, .existing = {}, .create = {}});
  const std::string content = content_key(base::digest_of<TreeDigest>(std::string("content"))).str();
  EXPECT_THAT(made.links("middle"), UnorderedElementsAre("0:" + digest_of_record("left base") + "/",
                                                         "0:" + digest_of_record("right base") + "/", "0:" + content + "/"))
      << "both ways lead there";
}

TEST_P(solver, cache_exporting_leaves_private_keys_out) {
  const FakeStepPtr session = step("session", "session", "base");
  session->session = true;
  const FakeStepPtr top = step("top", "top", "top", {{session}});
  const SolveOutcome outcome = solver_->solve(keeping(graph_.define(top)), quiet_, {});
  ASSERT_TRUE(outcome.status);
  EXPECT_THAT(exported(outcome, results_, {.existing = {}, .create = {}}).config.records, IsEmpty());
  EXPECT_TRUE(is_private(private_key("anything")));
  EXPECT_FALSE(is_private(base::digest_of<KeyDigest>("anything")));
}

}  // namespace
}  // namespace cairn::solver::test
