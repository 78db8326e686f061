// SPDX-License-Identifier: Apache-2.0
// Each transition of an edge, one at a time: what it knows, what happens, what it asks for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libbase/digest.h"
#include "libbase/hash/sha256.h"
#include "libsolver/edge/state.h"

namespace cairn::solver {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Content = InputState::Content;
using Work = EdgeState::Work;

KeyDigest key(int n) { return base::digest_of<KeyDigest>("key " + std::to_string(n)); }

class StepTest : public ::testing::Test {
 protected:
  explicit StepTest(std::size_t inputs = 1) { edge_.inputs.resize(inputs); }
  std::vector<Request> happens(Event event) { return step(edge_, std::move(event)); }
  void inputs(std::size_t count) { edge_.inputs.resize(count); }
  // Brings the edge to where its inputs are fast and led nowhere.
  void wanted_and_mapped(Phase phase, std::vector<bool> content = {}) {
    happens(event::Wanted{phase});
    happens(event::Mapped{std::move(content), {}, true});
  }
  std::vector<Request> input_moves(std::uint32_t input, Phase phase, std::uint32_t keys = 0) {
    return happens(event::InputMoved{input, phase, 0, keys});
  }
  // It asks whether another edge is equal, and runs when there is none.
  void expect_run(const std::vector<Request>& asked) {
    EXPECT_THAT(asked, ElementsAre(Request(request::Compare{})));
    EXPECT_EQ(edge_.work, Work::none);
    EXPECT_THAT(happens(event::Alone{}), ElementsAre(Request(request::Execute{})));
    EXPECT_EQ(edge_.work, Work::execute);
  }
  EdgeState edge_;
};

TEST_F(StepTest, what_nobody_wants_asks_for_nothing) {
  EXPECT_THAT(happens(event::InputMoved{0, Phase::complete, 0, 3}), IsEmpty());
  EXPECT_EQ(edge_.phase, Phase::initial);
}

TEST_F(StepTest, first_it_asks_what_its_step_is) {
  EXPECT_THAT(happens(event::Wanted{Phase::fast}), ElementsAre(Request(request::AskMap{})));
  EXPECT_THAT(happens(event::Wanted{Phase::complete}), IsEmpty()) << "once";
}

TEST_F(StepTest, then_its_inputs_for_their_definition_keys) {
  happens(event::Wanted{Phase::complete});
  EXPECT_THAT(happens(event::Mapped{{}, {}, true}),
              ElementsAre(Request(request::AskInput{0, Phase::initial, Phase::fast})));
}

TEST_F(StepTest, keys_of_an_input_are_followed_as_they_come) {
  wanted_and_mapped(Phase::complete);
  EXPECT_THAT(input_moves(0, Phase::fast, 2), ElementsAre(Request(request::Follow{0, 0, 2, false})));
  EXPECT_THAT(happens(event::Followed{0, 2, false, {key(1)}}), ElementsAre(Request(request::ReadResults{0, 1})));
  EXPECT_THAT(edge_.keys, ElementsAre(key(1)));
  EXPECT_THAT(input_moves(0, Phase::fast, 3), ElementsAre(Request(request::Follow{0, 2, 3, false})));
}

TEST_F(StepTest, a_key_counts_only_if_all_inputs_lead_to_it) {
  inputs(2);
  wanted_and_mapped(Phase::fast);
  input_moves(0, Phase::fast, 1);
  input_moves(1, Phase::fast, 1);
  happens(event::Followed{0, 1, false, {key(1), key(2)}});
  EXPECT_THAT(edge_.keys, IsEmpty());
  happens(event::Followed{1, 1, false, {key(2), key(3)}});
  EXPECT_THAT(edge_.keys, ElementsAre(key(2)));
  EXPECT_EQ(edge_.phase, Phase::fast);
}

TEST_F(StepTest, results_are_read_only_for_who_wants_the_result) {
  wanted_and_mapped(Phase::fast);
  input_moves(0, Phase::fast, 1);
  EXPECT_THAT(happens(event::Followed{0, 1, false, {key(1)}}), IsEmpty());
  EXPECT_EQ(edge_.phase, Phase::fast);
  EXPECT_THAT(happens(event::Wanted{Phase::complete}), ElementsAre(Request(request::ReadResults{0, 1})));
}

TEST_F(StepTest, a_result_is_loaded_and_ends_it) {
  wanted_and_mapped(Phase::complete);
  input_moves(0, Phase::fast, 1);
  happens(event::Followed{0, 1, false, {key(1)}});
  EXPECT_THAT(happens(event::ResultsRead{1, 2}), ElementsAre(Request(request::Load{})));
  EXPECT_EQ(edge_.work, Work::load);
  EXPECT_THAT(happens(event::Loaded{}), IsEmpty());
  EXPECT_EQ(edge_.phase, Phase::complete);
}

TEST_F(StepTest, a_load_that_fails_goes_to_the_next_result_and_then_on) {
  wanted_and_mapped(Phase::complete);
  input_moves(0, Phase::fast, 1);
  happens(event::Followed{0, 1, false, {key(1)}});
  happens(event::ResultsRead{1, 2});
  EXPECT_THAT(happens(event::LoadFailed{}), ElementsAre(Request(request::Load{})));
  EXPECT_THAT(happens(event::LoadFailed{}), ElementsAre(Request(request::AskInput{0, Phase::fast, Phase::slow})));
  input_moves(0, Phase::slow, 1);
  expect_run(input_moves(0, Phase::complete, 1));
}

TEST_F(StepTest, unmatched_inputs_are_asked_for_further_keys_first) {
  inputs(2);
  wanted_and_mapped(Phase::complete);
  input_moves(0, Phase::fast, 1);
  input_moves(1, Phase::fast, 1);
  happens(event::Followed{0, 1, false, {key(1)}});
  EXPECT_THAT(happens(event::Followed{1, 1, false, {}}),
              ElementsAre(Request(request::AskInput{1, Phase::fast, Phase::slow})))
      << "the one that leads somewhere is left alone";
}

TEST_F(StepTest, without_hope_nobody_is_asked_for_content) {
  inputs(2);
  wanted_and_mapped(Phase::complete, {true, false});
  input_moves(0, Phase::slow, 0);
  EXPECT_THAT(input_moves(1, Phase::slow, 0),
              ElementsAre(Request(request::AskInput{0, Phase::fast, Phase::complete}),
                          Request(request::AskInput{1, Phase::fast, Phase::complete})))
      << "input 1 leads nowhere for good: both are needed to run";
}

TEST_F(StepTest, content_is_asked_of_unmatched_inputs_that_decide_by_it) {
  inputs(2);
  wanted_and_mapped(Phase::complete, {true, true});
  input_moves(0, Phase::slow, 1);
  input_moves(1, Phase::slow, 1);
  happens(event::Followed{0, 1, false, {key(1)}});
  EXPECT_THAT(happens(event::Followed{1, 1, false, {}}),
              ElementsAre(Request(request::AskInput{1, Phase::fast, Phase::complete})));
  EXPECT_THAT(input_moves(1, Phase::complete, 1), ElementsAre(Request(request::AskContent{1})));
  EXPECT_THAT(happens(event::Digested{1}), ElementsAre(Request(request::Follow{1, 1, 1, true})));
  EXPECT_THAT(happens(event::Followed{1, 1, true, {key(1)}}), ElementsAre(Request(request::ReadResults{0, 1})));
}

TEST_F(StepTest, inputs_that_lead_apart_are_all_asked_for_more) {
  inputs(2);
  wanted_and_mapped(Phase::complete, {true, false});
  input_moves(0, Phase::fast, 1);
  input_moves(1, Phase::fast, 1);
  happens(event::Followed{0, 1, false, {key(1)}});
  EXPECT_THAT(happens(event::Followed{1, 1, false, {key(2)}}),
              ElementsAre(Request(request::AskInput{0, Phase::fast, Phase::slow}),
                          Request(request::AskInput{1, Phase::fast, Phase::slow})));
}

TEST_F(StepTest, it_runs_when_all_inputs_and_their_content_are_there) {
  inputs(2);
  wanted_and_mapped(Phase::complete, {true, false});
  input_moves(0, Phase::slow);
  input_moves(1, Phase::slow);
  input_moves(1, Phase::complete);
  EXPECT_THAT(input_moves(0, Phase::complete), ElementsAre(Request(request::AskContent{0})));
  happens(event::Digested{0});
  expect_run(happens(event::Followed{0, 0, true, {}}));
  EXPECT_EQ(edge_.work, Work::execute);
  EXPECT_THAT(happens(event::Executed{{key(9)}, false}), IsEmpty());
  EXPECT_EQ(edge_.phase, Phase::complete);
  EXPECT_THAT(edge_.keys, ElementsAre(key(9)));
}

TEST_F(StepTest, what_ignores_the_cache_looks_nothing_up) {
  edge_.use_cache = UseCache::no;
  wanted_and_mapped(Phase::complete);
  EXPECT_THAT(input_moves(0, Phase::fast, 4), ElementsAre(Request(request::AskInput{0, Phase::fast, Phase::complete})));
  expect_run(input_moves(0, Phase::complete, 4));
}

TEST_F(StepTest, a_source_goes_from_map_to_map_until_one_hits) {
  inputs(0);
  happens(event::Wanted{Phase::complete});
  EXPECT_THAT(happens(event::Mapped{{}, {key(1)}, false}), ElementsAre(Request(request::ReadResults{0, 1})));
  EXPECT_THAT(happens(event::ResultsRead{1, 0}), ElementsAre(Request(request::AskMap{})));
  EXPECT_THAT(happens(event::Mapped{{}, {key(2)}, false}), ElementsAre(Request(request::ReadResults{1, 2})));
  EXPECT_THAT(happens(event::ResultsRead{2, 1}), ElementsAre(Request(request::Load{})));
  EXPECT_THAT(happens(event::Loaded{}), IsEmpty()) << "and stops there";
}

TEST_F(StepTest, a_source_without_any_result_runs_after_its_last_map) {
  inputs(0);
  happens(event::Wanted{Phase::complete});
  happens(event::Mapped{{}, {key(1)}, true});
  expect_run(happens(event::ResultsRead{1, 0}));
}

TEST_F(StepTest, each_map_follows_all_keys_again) {
  happens(event::Wanted{Phase::complete});
  happens(event::Mapped{{}, {}, false});
  input_moves(0, Phase::fast, 2);
  EXPECT_THAT(happens(event::Followed{0, 2, false, {}}), ElementsAre(Request(request::AskMap{})));
  EXPECT_THAT(happens(event::Mapped{{}, {}, true}), ElementsAre(Request(request::Follow{0, 0, 2, false})));
}

TEST_F(StepTest, keys_that_became_void_are_forgotten) {
  wanted_and_mapped(Phase::complete);
  input_moves(0, Phase::fast, 1);
  happens(event::Followed{0, 1, false, {key(1)}});
  EXPECT_THAT(happens(event::InputMoved{0, Phase::complete, 1, 2}), ElementsAre(Request(request::Follow{0, 1, 2, false})));
  EXPECT_THAT(edge_.inputs[0].targets, IsEmpty());
}

TEST_F(StepTest, an_input_that_is_no_longer_needed_is_let_go) {
  inputs(2);
  wanted_and_mapped(Phase::complete);
  input_moves(0, Phase::slow);
  input_moves(1, Phase::slow);
  ASSERT_EQ(edge_.inputs[0].asked, Phase::complete);
  EXPECT_THAT(happens(event::Wanted{Phase::initial}),
              ElementsAre(Request(request::AskInput{0, Phase::complete, Phase::initial}),
                          Request(request::AskInput{1, Phase::complete, Phase::initial})));
  EXPECT_THAT(happens(event::Wanted{Phase::complete}),
              ElementsAre(Request(request::AskInput{0, Phase::initial, Phase::complete}),
                          Request(request::AskInput{1, Phase::initial, Phase::complete})));
}

TEST_F(StepTest, work_that_nobody_wants_is_stopped_and_begun_again_if_wanted) {
  inputs(0);
  happens(event::Wanted{Phase::complete});
  expect_run(happens(event::Mapped{{}, {}, true}));
  EXPECT_THAT(happens(event::Wanted{Phase::initial}), ElementsAre(Request(request::StopWork{})));
  EXPECT_THAT(happens(event::Wanted{Phase::complete}), IsEmpty()) << "it waits for the end of the first";
  expect_run(happens(event::Stopped{}));
}

TEST_F(StepTest, work_that_ends_in_spite_of_a_stop_is_taken) {
  inputs(0);
  happens(event::Wanted{Phase::complete});
  expect_run(happens(event::Mapped{{}, {}, true}));
  happens(event::Wanted{Phase::initial});
  EXPECT_THAT(happens(event::Executed{{key(1)}, false}), IsEmpty());
  EXPECT_EQ(edge_.phase, Phase::complete);
  EXPECT_EQ(edge_.work, Work::none);
}

TEST_F(StepTest, an_equal_edge_runs_in_its_place) {
  inputs(0);
  happens(event::Wanted{Phase::complete});
  EXPECT_THAT(happens(event::Mapped{{}, {}, true}), ElementsAre(Request(request::Compare{})));
  EXPECT_THAT(happens(event::Parked{}), IsEmpty());
  EXPECT_THAT(happens(event::Wanted{Phase::complete}), IsEmpty());
  EXPECT_EQ(edge_.work, Work::none);
}

TEST_F(StepTest, a_parked_edge_lets_everything_go_and_mirrors) {
  wanted_and_mapped(Phase::complete);
  ASSERT_EQ(edge_.inputs[0].asked, Phase::fast);
  EXPECT_THAT(happens(event::Parked{}), ElementsAre(Request(request::AskInput{0, Phase::fast, Phase::initial})));
  EXPECT_THAT(input_moves(0, Phase::complete, 5), IsEmpty());
  EXPECT_THAT(happens(event::Mirrored{Phase::slow, {key(1)}}), IsEmpty());
  EXPECT_EQ(edge_.phase, Phase::slow);
  happens(event::Mirrored{Phase::complete, {key(1), key(2)}});
  EXPECT_EQ(edge_.phase, Phase::complete);
  EXPECT_THAT(edge_.keys, ElementsAre(key(1), key(2)));
}

TEST_F(StepTest, the_same_history_gives_the_same_state) {
  const std::vector<Event> history = {event::Wanted{Phase::complete}, event::Mapped{{true}, {}, true},
                                      event::InputMoved{0, Phase::slow, 0, 1}, event::Followed{0, 1, false, {}},
                                      event::InputMoved{0, Phase::complete, 0, 2}};
  EdgeState other;
  other.inputs.resize(1);
  for (const Event& event : history) EXPECT_EQ(happens(event), step(other, event));
  EXPECT_EQ(edge_, other);
}

}  // namespace
}  // namespace cairn::solver
