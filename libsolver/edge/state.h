// SPDX-License-Identifier: Apache-2.0
// The life of one edge (one output of a step) as a pure function: what it knows, and what has happened since → what it
// knows now, and what it asks for. No I/O, no clock, no threads, no pointer to anything else: whoever drives it carries
// requests out and brings answers back as events, in any order.
//
// An edge climbs:  initial → fast → slow → complete
//   fast:     the keys that follow from definitions alone are known
//   slow:     no further key can appear, short of looking into content that nobody asked for, or of running it
//   complete: its result is there
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include "libcache/key_store.h"
#include "libsolver/use_cache.h"

namespace cairn::solver {

enum class Phase : std::uint8_t { initial, fast, slow, complete };

// What an edge knows of one of its inputs.
struct InputState {
  Phase phase = Phase::initial;  // as last heard
  Phase asked = Phase::initial;  // what we want of it
  // Its keys are numbered and only grow; those before keys_begin are void. `followed`: up to there we have looked.
  std::uint32_t keys_begin = 0, keys_end = 0, followed = 0;
  // silent: content does not decide. decides: it does, and nobody has looked yet.
  enum class Content : std::uint8_t { silent, decides, asked, known } content = Content::silent;
  bool content_followed = false;
  std::vector<KeyDigest> targets;  // keys that some key of this input leads to
  bool operator==(const InputState&) const = default;
};

struct EdgeState {
  Phase phase = Phase::initial;
  Phase wanted = Phase::initial;  // the most that anybody wants
  UseCache use_cache = UseCache::yes;
  std::uint32_t maps = 0;  // CacheMaps heard of
  bool map_asked = false, maps_done = false;
  std::vector<InputState> inputs;
  std::vector<KeyDigest> keys;   // under which its users may look; those before keys_begin are void
  std::uint32_t keys_begin = 0;
  std::uint32_t keys_read = 0;   // whose results have been read
  std::uint32_t candidates = 0;  // results that have not been tried
  enum class Work : std::uint8_t { none, load, execute } work = Work::none;
  bool stopping = false;  // the work has been asked to stop and has not answered
  bool alone = false;     // no other edge was equal when it asked last, just before it runs
  bool parked = false;    // another edge does everything for it
  bool operator==(const EdgeState&) const = default;
};

namespace event {

struct Wanted { Phase phase; };
// The next CacheMap: which inputs' content decides, and (of a source) the keys that it gives.
struct Mapped {
  std::vector<bool> content;
  std::vector<KeyDigest> roots;
  bool last = true;
};
struct InputMoved { std::uint32_t input; Phase phase; std::uint32_t keys_begin, keys_end; };
// Where the keys up to keys_end of an input lead, and (if asked) its content key.
struct Followed {
  std::uint32_t input;
  std::uint32_t keys_end;
  bool content;
  std::vector<KeyDigest> targets;
};
struct ResultsRead { std::uint32_t keys; std::uint32_t found; };  // of the keys up to there; how many results there were
struct Loaded {};                                                 // a candidate has become the result
struct LoadFailed {};                                             // it is gone, or cannot be had
struct Digested { std::uint32_t input; };                         // the input's content key is known
// The step ran. `keys` lead to the result now; `only`: and those known before no longer do.
struct Executed {
  std::vector<KeyDigest> keys;
  bool only = false;
};
struct Stopped {};  // the work ended because it was asked to
struct Alone {};    // no other edge is equal
struct Parked {};   // it was merged into another edge
struct Mirrored {   // so far has the edge come that it was merged into
  Phase phase;
  std::vector<KeyDigest> keys;  // what that one knows beyond
};

}  // namespace event

using Event = std::variant<event::Wanted, event::Mapped, event::InputMoved, event::Followed, event::ResultsRead,
                           event::Loaded, event::LoadFailed, event::Digested, event::Executed, event::Stopped,
                           event::Alone, event::Parked, event::Mirrored>;

namespace request {

struct AskMap { bool operator==(const AskMap&) const = default; };
// Wants `phase` of the input, no longer `before`. initial: nothing any more.
struct AskInput { std::uint32_t input; Phase before, phase; bool operator==(const AskInput&) const = default; };
// Where do the input's keys [from, to) lead, and (content) its content key?
struct Follow {
  std::uint32_t input, from, to;
  bool content;
  bool operator==(const Follow&) const = default;
};
struct ReadResults { std::uint32_t from, to; bool operator==(const ReadResults&) const = default; };  // of own keys
struct Load { bool operator==(const Load&) const = default; };                       // the best result not tried yet
struct AskContent { std::uint32_t input; bool operator==(const AskContent&) const = default; };
struct Compare { bool operator==(const Compare&) const = default; };                 // is another edge equal?
struct Execute { bool operator==(const Execute&) const = default; };                 // all inputs are complete
struct StopWork { bool operator==(const StopWork&) const = default; };               // nobody wants it any more

}  // namespace request

using Request = std::variant<request::AskMap, request::AskInput, request::Follow, request::ReadResults, request::Load,
                             request::AskContent, request::Compare, request::Execute, request::StopWork>;

// Follow and ReadResults are answered before any other event of the edge. Compare is answered by Alone before any other
// event, or by Parked. Each other request is answered once, sooner or
// later; work that was asked to stop still answers (Stopped, or what it had come to).
// Several events at once lead to what they lead to one after the other, without the requests that the later ones of them
// made unnecessary. Cost: O(inputs) for a call, not for an event. The events are used up.
std::vector<Request> step(EdgeState& state, std::span<Event> events);
inline std::vector<Request> step(EdgeState& state, Event event) { return step(state, std::span(&event, 1)); }

}  // namespace cairn::solver
