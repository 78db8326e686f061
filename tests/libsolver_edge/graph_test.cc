// SPDX-License-Identifier: Apache-2.0
// Edges among each other: who asks whom, what becomes of a request that is taken back, and which edges are equal. Named
// for the tests that BuildKit has of its pipes and its index of edges.
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libbase/hash/sha256.h"
#include "libsolver/edge/graph.h"

namespace cairn::solver {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Writes down what it is asked; the test answers.
struct NotingHost final : Graph::Host {
  void identify(NodeIndex node, std::uint32_t) override { asked.insert(node); }
  void digest(NodeIndex node, std::uint32_t input) override { digests.insert({node, input}); }
  void execute(NodeIndex node) override { running.insert(node); }
  void load(EdgeIndex, const Candidate&) override { ADD_FAILURE() << "there is nothing to load"; }
  void stop_execution(NodeIndex node) override { stopped.insert(node); }
  void stop_load(EdgeIndex) override {}
  base::Result<std::vector<KeyDigest>> follow(const cache::KeyLink&) override {
    ++follows;
    return std::vector<KeyDigest>();
  }
  base::Result<std::vector<Candidate>> results(const KeyDigest&) override { return std::vector<Candidate>(); }
  void share(EdgeIndex edge, EdgeIndex leader) override { shared.insert({edge, leader}); }
  std::set<NodeIndex> asked, running, stopped;
  std::set<std::pair<NodeIndex, std::uint32_t>> digests;
  std::set<std::pair<EdgeIndex, EdgeIndex>> shared;
  std::size_t follows = 0;
};

class EdgesTest : public ::testing::Test {
 protected:
  NodeIndex node(std::vector<Graph::Input> inputs = {}, UseCache use = UseCache::yes) { return graph_.add_node(inputs, use); }
  EdgeIndex wanted(NodeIndex node, Phase phase = Phase::complete) {
    const EdgeIndex edge = graph_.edge_of(node, 0);
    wishes_.push_back({edge, phase});
    return edge;
  }
  void begin() {
    for (const auto& [edge, phase] : wishes_) graph_.want(edge, phase);
    pump();
  }
  void pump() { ASSERT_TRUE(graph_.pump(host_)); }
  void is(NodeIndex node, const std::string& operation, bool by_content = false) {
    OpIdentity identity;
    identity.map.digest.hash = base::sha256(operation);
    identity.map.deps.resize(graph_.node(node).inputs.size());
    if (by_content) {
      for (CacheMapDep& dep : identity.map.deps) dep.content.emplace();
    }
    graph_.mapped(node, std::move(identity));
    pump();
  }
  void ran(NodeIndex node) {
    host_.running.erase(node);
    graph_.executed(node, std::nullopt, graph_.plan_keys(node, 1));
    pump();
  }
  Phase phase(EdgeIndex edge) { return graph_.edge(edge).state.phase; }

  Graph graph_;
  NotingHost host_;
  std::vector<std::pair<EdgeIndex, Phase>> wishes_;
};
using solver = EdgesTest;

TEST_F(solver, each_key_of_a_thousand_inputs_is_followed_once) {
  std::vector<Graph::Input> inputs;
  for (std::uint32_t i = 0; i < 1000; ++i) inputs.push_back({node(), 0});
  const NodeIndex top = node(inputs);
  wanted(top);
  begin();
  is(top, "top");
  EXPECT_EQ(host_.asked.size(), 1001u);
  for (std::uint32_t i = 0; i < 1000; ++i) is(inputs[i].node, std::to_string(i));
  EXPECT_EQ(host_.running.size(), 1000u);
  for (std::uint32_t i = 0; i < 1000; ++i) ran(inputs[i].node);
  EXPECT_THAT(host_.running, ElementsAre(top));
  EXPECT_EQ(host_.follows, 1000u);
}

TEST_F(solver, pipe) {
  const NodeIndex base = node(), top = node({{base, 0}});
  const EdgeIndex edge = wanted(top);
  begin();
  EXPECT_THAT(host_.asked, ElementsAre(top)) << "an input is asked when it is known what for";
  is(top, "top");
  EXPECT_THAT(host_.asked, ElementsAre(base, top));
  is(base, "base");
  EXPECT_THAT(host_.running, ElementsAre(base));
  ran(base);
  EXPECT_THAT(host_.running, ElementsAre(top));
  ran(top);
  EXPECT_EQ(phase(edge), Phase::complete);
  EXPECT_TRUE(graph_.idle());
}

TEST_F(solver, pipe_cancel) {
  const NodeIndex base = node(), top = node({{base, 0}});
  const EdgeIndex edge = wanted(top);
  begin();
  is(top, "top");
  is(base, "base");
  ASSERT_THAT(host_.running, ElementsAre(base));
  graph_.want(edge, Phase::initial);
  pump();
  EXPECT_THAT(host_.stopped, ElementsAre(base)) << "what nobody wants is stopped, two levels down";
  graph_.want(edge, Phase::complete);
  pump();
  host_.running.clear();
  graph_.execution_stopped(base);
  pump();
  EXPECT_THAT(host_.running, ElementsAre(base)) << "and begun again for who comes back";
  ran(base);
  ran(top);
  EXPECT_EQ(phase(edge), Phase::complete);
}

TEST_F(solver, pipe_cancel_of_one_of_two) {
  const NodeIndex base = node(), a = node({{base, 0}}), b = node({{base, 0}});
  const EdgeIndex edge_a = wanted(a);
  wanted(b);
  begin();
  is(a, "a");
  is(b, "b");
  is(base, "base");
  graph_.want(edge_a, Phase::initial);
  pump();
  EXPECT_THAT(host_.stopped, IsEmpty()) << "the other still wants it";
}

TEST_F(solver, index_simple) {
  const NodeIndex a = node(), b = node(), c = node();
  const EdgeIndex edge_a = wanted(a), edge_b = wanted(b), edge_c = wanted(c);
  begin();
  is(a, "same");
  is(c, "other");
  is(b, "same");
  EXPECT_EQ(graph_.leader_of(edge_b), edge_a);
  EXPECT_EQ(graph_.leader_of(edge_c), edge_c);
  EXPECT_EQ(host_.running.count(b), 0u);
  ran(a);
  EXPECT_EQ(phase(edge_b), Phase::complete);
  EXPECT_THAT(host_.shared, ElementsAre(std::pair(edge_b, edge_a)));
}

TEST_F(solver, index_multi_level_simple) {
  const NodeIndex base1 = node(), base2 = node(), top1 = node({{base1, 0}}), top2 = node({{base2, 0}});
  const EdgeIndex edge1 = wanted(top1), edge2 = wanted(top2);
  begin();
  is(top1, "top");
  is(top2, "top");
  EXPECT_EQ(graph_.leader_of(edge2), edge2) << "not before their inputs are known";
  is(base1, "base");
  is(base2, "base");
  EXPECT_EQ(graph_.leader_of(edge2), edge1);
  ran(base1);
  ran(top1);
  EXPECT_EQ(phase(edge2), Phase::complete);
  EXPECT_THAT(host_.running, IsEmpty());
}

TEST_F(solver, index_three_levels) {
  const NodeIndex base = node(), mid1 = node({{base, 0}}), mid2 = node({{base, 0}});
  const NodeIndex top1 = node({{mid1, 0}, {base, 0}}), top2 = node({{mid2, 0}, {base, 0}}), other = node({{base, 0}, {mid2, 0}});
  const EdgeIndex edge1 = wanted(top1), edge2 = wanted(top2), edge3 = wanted(other);
  begin();
  for (const NodeIndex each : {top1, top2, other}) is(each, "top");
  for (const NodeIndex each : {mid1, mid2}) is(each, "mid");
  is(base, "base");
  EXPECT_EQ(graph_.leader_of(edge2), edge1);
  EXPECT_EQ(graph_.leader_of(edge3), edge3) << "the order of inputs counts";
  ran(base);
  ran(mid1);
  EXPECT_THAT(host_.running, ElementsAre(top1, other));
}

TEST_F(solver, equal_content_merges_what_definitions_keep_apart) {
  const NodeIndex base1 = node(), base2 = node(), top1 = node({{base1, 0}}), top2 = node({{base2, 0}});
  const EdgeIndex edge1 = wanted(top1), edge2 = wanted(top2);
  begin();
  is(top1, "top", true);
  is(top2, "top", true);
  is(base1, "one");
  is(base2, "two");
  ran(base1);
  ran(base2);
  const auto content = base::digest_of<KeyDigest>("content");
  graph_.digested(top1, 0, content);
  pump();
  ASSERT_THAT(host_.running, ElementsAre(top1));
  graph_.digested(top2, 0, content);
  pump();
  EXPECT_EQ(graph_.leader_of(edge2), edge1) << "it waits for the one that runs";
  EXPECT_THAT(host_.running, ElementsAre(top1));
}

TEST_F(solver, what_ignores_the_cache_waits_for_none_that_does_not) {
  const NodeIndex normal = node(), fresh = node({}, UseCache::no), late = node();
  const EdgeIndex edges[] = {wanted(normal), wanted(fresh), wanted(late)};
  begin();
  is(normal, "same");
  is(fresh, "same");
  is(late, "same");
  EXPECT_EQ(graph_.leader_of(edges[1]), edges[1]);
  EXPECT_EQ(graph_.leader_of(edges[2]), edges[0]);
  EXPECT_THAT(host_.running, ElementsAre(normal, fresh));
}

}  // namespace
}  // namespace cairn::solver
