// SPDX-License-Identifier: Apache-2.0
#include "libcache/trace/model.h"

#include <algorithm>
#include <numeric>
#include <unordered_map>

namespace cairn::cache {

namespace {

// Records and keys by numbers of their own, joined where one has led to the other.
class Joined {
 public:
  std::uint32_t of_record(RecordId id) { return number(records_, id.value()); }
  std::uint32_t of_key(TracedKey key) { return number(keys_, key); }
  void join(std::uint32_t a, std::uint32_t b) { above_[root(b)] = root(a); }
  std::uint32_t root(std::uint32_t at) {
    while (above_[at] != at) at = above_[at] = above_[above_[at]];
    return at;
  }
  std::size_t size() const { return above_.size(); }

 private:
  std::uint32_t number(std::unordered_map<std::uint64_t, std::uint32_t>& of, std::uint64_t value) {
    const auto [found, is_new] = of.emplace(value, static_cast<std::uint32_t>(above_.size()));
    if (is_new) above_.push_back(found->second);
    return found->second;
  }
  std::unordered_map<std::uint64_t, std::uint32_t> records_, keys_;
  std::vector<std::uint32_t> above_;
};

}  // namespace

Replayer::Model::Model(const Trace& trace) {
  Joined joined;
  std::unordered_map<std::uint64_t, bool> keyed;
  for (const TracedRecord& record : trace.records) {
    const std::uint32_t at = joined.of_record(record.id);
    for (const TracedKey key : record.keys) joined.join(at, joined.of_key(key));
  }
  for (const TracedSolve& solve : trace.solves)
    for (const TracedLookup& lookup : solve.lookups)
      if (lookup.record)
        for (const TracedKey key : lookup.keys) joined.join(joined.of_record(lookup.record), joined.of_key(key));

  std::unordered_map<std::uint32_t, std::uint32_t> number_of;  // by root
  const auto thing_at = [&](std::uint32_t root) {
    const auto [found, is_new] = number_of.emplace(root, static_cast<std::uint32_t>(things.size()));
    if (is_new) things.emplace_back();
    return found->second;
  };
  for (std::size_t i = 0; i < trace.records.size(); ++i) {
    const TracedRecord& record = trace.records[i];
    const std::uint32_t number = thing_at(joined.root(joined.of_record(record.id)));
    RecordInfo info;
    info.id = RecordId(number + 1);
    info.snapshot = snapshot::SnapshotId(number + 1);
    info.facts.type = record.type;
    info.facts.description = record.description;
    info.facts.build_time = record.build_time;
    info.space.exclusive_bytes = record.bytes;
    info.last_used = record.last_used;
    info.use_count = record.use_count;
    for (const RecordId parent : record.parents) {
      const RecordId above(thing_at(joined.root(joined.of_record(parent))) + 1);
      if (above != info.id) info.parents.push_back(above);
    }
    const bool is_present = i < trace.present;
    if (things[number].record.id && !is_present && things[number].present) {
      info.last_used = things[number].record.last_used;  // as it was at the beginning
      info.use_count = things[number].record.use_count;
    }
    things[number].record = std::move(info);
    things[number].keyed |= !record.keys.empty();
    things[number].present |= is_present;
  }
  for (const TracedSolve& solve : trace.solves) {
    ModelSolve& out = solves.emplace_back();
    out.started = solve.started;
    out.other_bytes = solve.other_bytes;
    for (const TracedLookup& lookup : solve.lookups) {
      ModelLookup& model = out.lookups.emplace_back();
      model.ended = lookup.ended;
      model.inputs = lookup.inputs;
      if (lookup.record) {
        model.thing = thing_at(joined.root(joined.of_record(lookup.record)));
      } else if (!lookup.keys.empty() && lookup.ended != TracedLookup::Ended::failed) {
        const auto found = number_of.find(joined.root(joined.of_key(lookup.keys.front())));
        if (found != number_of.end()) model.thing = found->second;
      }
      if (model.thing == no_thing) continue;
      Thing& thing = things[model.thing];
      thing.record.id = RecordId(model.thing + 1);
      thing.keyed |= !lookup.keys.empty();
    }
    note_inputs(out);
  }
}

void Replayer::Model::note_inputs(const ModelSolve& solve) {
  for (const ModelLookup& lookup : solve.lookups) {
    if (lookup.thing == no_thing) continue;
    std::vector<std::uint32_t>& inputs = things[lookup.thing].inputs;
    for (const TracedLookup::Input& input : lookup.inputs) {
      const std::uint32_t of = solve.lookups[input.lookup].thing;
      if (of != no_thing && of != lookup.thing && std::find(inputs.begin(), inputs.end(), of) == inputs.end())
        inputs.push_back(of);
    }
  }
}

}  // namespace cairn::cache
