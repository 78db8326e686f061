// SPDX-License-Identifier: Apache-2.0
// A trace as a replay needs it: things instead of records. All records that one key has led to, one after the other as
// they were taken and made again, are one thing, and so are all keys that have led to one record.
#pragma once

#include <cstdint>
#include <vector>

#include "libcache/trace.h"

namespace cairn::cache {

inline constexpr std::uint32_t no_thing = UINT32_MAX;

struct Thing {
  RecordInfo record;  // its id is the number of the thing plus one, and so are its parents'
  bool keyed = false;
  bool present = false;               // there when the trace began
  std::vector<std::uint32_t> inputs;  // what it was made of
};

struct ModelLookup {
  TracedLookup::Ended ended = TracedLookup::Ended::hit;
  std::uint32_t thing = no_thing;
  std::vector<TracedLookup::Input> inputs;
};
struct ModelSolve {
  base::WallTime started{};
  std::int64_t other_bytes = 0;
  std::vector<ModelLookup> lookups;
};

struct Replayer::Model {
  explicit Model(const Trace& trace);
  std::vector<Thing> things;
  std::vector<ModelSolve> solves;

 private:
  void note_inputs(const ModelSolve& solve);
};

}  // namespace cairn::cache
