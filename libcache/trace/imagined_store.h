// SPDX-License-Identifier: Apache-2.0
// A store that is only reckoned with: which things are there, what is built on what, and where each stands in the lines
// of the collector. It keeps to the rules of gc/candidates.h, whose functions it calls, and a test holds it against
// real stores.
#pragma once

#include <array>
#include <set>
#include <unordered_map>
#include <vector>

#include "libcache/gc/selection.h"
#include "libcache/trace/model.h"

namespace cairn::cache {

class ImaginedStore final : public SelectionView {
 public:
  explicit ImaginedStore(const std::vector<Thing>& things);  // they outlive it

  bool is_there(std::uint32_t thing) const { return entries_[thing].is_there; }
  bool was_there(std::uint32_t thing) const { return entries_[thing].was_there; }
  const RecordInfo& record(std::uint32_t thing) const { return entries_[thing].record; }
  // Its parents are there.
  void add(std::uint32_t thing, base::WallTime now);
  void use(std::uint32_t thing, base::WallTime now);
  void hold(std::uint32_t thing);  // until release_holds()
  void release_holds();
  // As the transactions of a collection do. Returns how many went.
  std::uint64_t apply(const PrunePlan& plan);
  std::int64_t records_live() const { return live_; }
  std::int64_t live() const { return live_ + other_bytes; }

  std::int64_t other_bytes = 0;  // live, and no record's

  base::Result<std::int64_t> live_bytes() override { return live(); }
  base::Result<std::int64_t> live_bytes_of(std::span<const RecordType> types) override;
  base::Status each_record(const std::function<void(const RecordInfo&)>& visit) override;
  base::Result<std::vector<std::unique_ptr<Line>>> lines(CandidateOrder order, RecordType type) override;
  base::Result<std::optional<Candidate>> load(RecordId id) override;
  base::Result<std::optional<PlacesRow>> places(RecordId id) override;
  base::Result<std::optional<RecordId>> child_after(RecordId parent, RecordId after) override;
  base::Result<base::WallTime> last_use_of_products(RecordId id, const Gone& gone) override;
  bool is_held(RecordId id) override { return entries_[id.value() - 1].held; }

 private:
  struct Entry {
    RecordInfo record;
    bool keyed = false, is_there = false, was_there = false, held = false, is_candidate = false;
    PlacesRow places;
    std::set<RecordId> children;
    std::set<std::uint32_t> products;  // what its keys lead on to
  };
  using InLine = std::set<RankInLine>;
  void admit(Entry& entry);
  void drop(Entry& entry);
  void put(Entry& entry, const PlacesRow& places);
  void note_key(std::uint32_t thing);
  void forget_key(std::uint32_t thing);
  static std::uint32_t thing_of(RecordId id) { return static_cast<std::uint32_t>(id.value() - 1); }
  Entry& entry_of(RecordId id) { return entries_[thing_of(id)]; }

  const std::vector<Thing>& things_;
  std::vector<Entry> entries_;
  std::array<InLine, 8> by_age_, by_cost_;  // by TypeNumber
  std::array<std::int64_t, 8> live_of_{};
  std::vector<std::uint32_t> held_;
  std::int64_t live_ = 0;
};

}  // namespace cairn::cache
