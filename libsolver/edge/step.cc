// SPDX-License-Identifier: Apache-2.0
// How an edge climbs. It asks its inputs for as little as it can: first for the keys that definitions give; then, where
// nothing matched, for whatever further keys they have; then for the content of inputs whose content decides; and only
// when nothing is found at all for all inputs, to run.
#include <algorithm>

#include "libsolver/edge/state.h"

namespace cairn::solver {
namespace {

using Content = InputState::Content;
using Work = EdgeState::Work;
using Requests = std::vector<Request>;

template <class T>
bool contains(const std::vector<T>& values, const T& value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

template <class T>
void add_new(std::vector<T>& values, const T& value) {
  if (!contains(values, value)) values.push_back(value);
}

bool unmatched(const InputState& input) { return input.targets.empty(); }
bool any(const InputState&) { return true; }

// Some input can no longer lead anywhere.
bool hopeless(const EdgeState& edge) {
  return std::any_of(edge.inputs.begin(), edge.inputs.end(), [](const InputState& input) {
    const bool content_may_match = input.content == Content::decides || input.content == Content::asked;
    return unmatched(input) && !content_may_match && input.phase >= Phase::slow;
  });
}

// Whether every input that is meant has come so far; those that have not are asked to.
template <class Meant>
bool await_inputs(EdgeState& edge, Phase phase, Meant meant, Requests& out) {
  bool there = true;
  for (std::uint32_t i = 0; i < edge.inputs.size(); ++i) {
    InputState& input = edge.inputs[i];
    if (!meant(input) || input.phase >= phase) continue;
    there = false;
    if (input.asked >= phase) continue;
    out.push_back(request::AskInput{i, input.asked, phase});
    input.asked = phase;
  }
  return there;
}

// Whether the content of every input that is meant is known, where it decides.
template <class Meant>
bool await_content(EdgeState& edge, Meant meant, Requests& out) {
  const auto open = [&](const InputState& input) {
    return meant(input) && (input.content == Content::decides || input.content == Content::asked);
  };
  await_inputs(edge, Phase::complete, open, out);
  bool known = true;
  for (std::uint32_t i = 0; i < edge.inputs.size(); ++i) {
    InputState& input = edge.inputs[i];
    if (!open(input)) continue;
    known = false;
    if (input.content == Content::asked || input.phase < Phase::complete) continue;
    out.push_back(request::AskContent{i});
    input.content = Content::asked;
  }
  return known;
}

// Asks where new keys of the inputs lead. Whether it asked.
bool follow(EdgeState& edge, Requests& out) {
  bool asked = false;
  for (std::uint32_t i = 0; i < edge.inputs.size(); ++i) {
    const InputState& input = edge.inputs[i];
    const bool content = input.content == Content::known && !input.content_followed;
    if (input.followed >= input.keys_end && !content) continue;
    out.push_back(request::Follow{i, input.followed, input.keys_end, content});
    asked = true;
  }
  return asked;
}

// Whether nothing more need be asked of the inputs for now: a lookup or a load is under way, or it has what is wanted.
bool look(EdgeState& edge, Requests& out) {
  if (edge.use_cache == UseCache::yes) {
    if (follow(edge, out)) return true;
    // Whether there are results decides only what to load, and whether to go for the next map.
    const auto keys = static_cast<std::uint32_t>(edge.keys.size());
    if ((edge.wanted == Phase::complete || !edge.maps_done) && edge.keys_read < keys) {
      out.push_back(request::ReadResults{edge.keys_read, keys});
      return true;
    }
    if (edge.wanted == Phase::complete && edge.work == Work::none && edge.candidates > 0) {
      edge.work = Work::load;
      out.push_back(request::Load{});
    }
    if (edge.work == Work::load) return true;
    if (edge.wanted == Phase::slow && edge.maps_done && edge.keys.size() > edge.keys_begin) edge.phase = Phase::slow;
  }
  return edge.phase >= edge.wanted;
}

// Whether the edge is at `phase` and nothing more is wanted.
bool reach(EdgeState& edge, Phase phase) {
  edge.phase = std::max(edge.phase, phase);
  return edge.phase >= edge.wanted;
}

void ask_map(EdgeState& edge, Requests& out) {
  if (edge.map_asked) return;
  edge.map_asked = true;
  out.push_back(request::AskMap{});
}

// What can be asked of content and of inputs' further keys has been.
bool lookups_done(EdgeState& edge, Requests& out) {
  if (edge.use_cache == UseCache::no) return true;
  if (!await_inputs(edge, Phase::slow, unmatched, out)) return false;
  if (look(edge, out)) return false;
  if (!hopeless(edge)) {
    if (!await_content(edge, unmatched, out)) return false;
    if (look(edge, out)) return false;
  }
  if (hopeless(edge)) return true;
  // Every input leads somewhere, but to no common key: those that did match may have further keys.
  const bool slow = await_inputs(edge, Phase::slow, any, out);
  if (!slow || !await_content(edge, any, out)) return false;
  return !look(edge, out);
}

void climb(EdgeState& edge, Requests& out) {
  if (edge.phase >= edge.wanted || edge.stopping) return;
  if (edge.maps == 0) return ask_map(edge, out);
  if (!await_inputs(edge, Phase::fast, any, out)) return;
  if (look(edge, out) || reach(edge, Phase::fast)) return;
  if (!edge.maps_done) return ask_map(edge, out);
  if (!lookups_done(edge, out)) return;
  if (reach(edge, Phase::slow)) return;
  const bool inputs_there = await_inputs(edge, Phase::complete, any, out);
  // Their content, too: the result is stored under it.
  if (!await_content(edge, any, out) || !inputs_there) return;
  if (look(edge, out) || edge.work != Work::none) return;
  if (!edge.alone) return out.push_back(request::Compare{});
  edge.alone = false;
  edge.work = Work::execute;
  out.push_back(request::Execute{});
}

// Takes back what is no longer needed.
void withdraw(EdgeState& edge, Requests& out) {
  for (std::uint32_t i = 0; i < edge.inputs.size(); ++i) {
    InputState& input = edge.inputs[i];
    if (input.phase >= input.asked) continue;
    out.push_back(request::AskInput{i, input.asked, Phase::initial});
    input.asked = Phase::initial;
  }
  if (edge.work != Work::none && !edge.stopping) {
    edge.stopping = true;
    out.push_back(request::StopWork{});
  }
}

// A key that all inputs lead to is one under which somebody stored this very step.
void collect_matches(EdgeState& edge) {
  if (edge.inputs.empty()) return;
  for (const KeyDigest& target : edge.inputs.front().targets) {
    const bool in_all = std::all_of(edge.inputs.begin() + 1, edge.inputs.end(),
                                    [&](const InputState& input) { return contains(input.targets, target); });
    if (in_all) add_new(edge.keys, target);
  }
}

struct Apply {
  EdgeState& edge;
  bool matches = false;  // an input leads further than before

  void operator()(event::Wanted& e) { edge.wanted = e.phase; }
  void operator()(event::Mapped& e) {
    edge.map_asked = false;
    edge.maps_done = e.last;
    ++edge.maps;
    for (std::size_t i = 0; i < edge.inputs.size(); ++i) {
      InputState& input = edge.inputs[i];
      if (i < e.content.size() && e.content[i] && input.content == Content::silent) input.content = Content::decides;
      input.followed = input.keys_begin;  // each map names the step in another way, so each key is followed again
      input.content_followed = false;
    }
    if (edge.use_cache == UseCache::yes) {
      for (const KeyDigest& key : e.roots) add_new(edge.keys, key);
    }
  }
  void operator()(event::InputMoved& e) {
    InputState& input = edge.inputs[e.input];
    input.phase = std::max(input.phase, e.phase);
    if (e.keys_begin > input.keys_begin) {
      input.keys_begin = e.keys_begin;
      input.followed = e.keys_begin;
      input.targets.clear();
      input.content_followed = false;
    }
    input.keys_end = std::max(input.keys_end, e.keys_end);
  }
  void operator()(event::Followed& e) {
    InputState& input = edge.inputs[e.input];
    input.followed = std::max(input.followed, e.keys_end);
    input.content_followed = input.content_followed || e.content;
    for (const KeyDigest& target : e.targets) add_new(input.targets, target);
    matches |= !e.targets.empty();
  }
  void operator()(event::ResultsRead& e) {
    edge.keys_read = e.keys;
    edge.candidates += e.found;
  }
  void operator()(event::Loaded&) { end_work(Phase::complete); }
  void operator()(event::LoadFailed&) {
    CHECK(edge.candidates > 0);
    --edge.candidates;
    end_work(edge.phase);
  }
  void operator()(event::Digested& e) { edge.inputs[e.input].content = Content::known; }
  void operator()(event::Executed& e) {
    if (edge.phase == Phase::complete) return;
    if (e.only) edge.keys_begin = static_cast<std::uint32_t>(edge.keys.size());
    for (const KeyDigest& key : e.keys) {
      if (e.only) edge.keys.push_back(key);
      else add_new(edge.keys, key);
    }
    end_work(Phase::complete);
  }
  void operator()(event::Stopped&) { end_work(edge.phase); }
  void operator()(event::Alone&) { edge.alone = true; }
  void operator()(event::Parked&) { edge.parked = true; }
  void operator()(event::Mirrored& e) {
    edge.phase = std::max(edge.phase, e.phase);
    for (const KeyDigest& key : e.keys) add_new(edge.keys, key);
  }

  void end_work(Phase phase) {
    edge.phase = phase;
    edge.work = Work::none;
    edge.stopping = false;
  }
};

}  // namespace

std::vector<Request> step(EdgeState& state, std::span<Event> events) {
  Requests out;
  Apply apply{state};
  for (Event& event : events) std::visit(apply, event);
  if (apply.matches) collect_matches(state);
  if (!state.parked) climb(state, out);
  if (state.parked || state.phase >= state.wanted) withdraw(state, out);
  return out;
}

}  // namespace cairn::solver
