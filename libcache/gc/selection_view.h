// SPDX-License-Identifier: Apache-2.0
// What a selection sees of a store, so that one piece of code selects from a real store and from one that is only
// reckoned with (libcache/trace). Two implementations: view_store(), and the imagined store of a replay.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include <functional>
#include <unordered_set>
#include <vector>

#include "libcache/gc/candidate_stream.h"
#include "libcache/gc/candidates.h"

namespace cairn::cache {

struct Store;

class SelectionView {
 public:
  struct Candidate {
    RecordInfo record;  // with the uses that no row says yet
    Keyed keyed = Keyed::no;
    bool leased = false;
  };
  // The candidates of one type, and by cost of one class, in one order. Nothing is moved while it is read.
  class Line {
   public:
    virtual ~Line() = default;
    virtual base::Result<std::optional<RankInLine>> head() = 0;  // nullopt: at the end
    virtual void take() = 0;
  };

  virtual ~SelectionView() = default;
  virtual base::Result<std::int64_t> live_bytes() = 0;  // of everything
  virtual base::Result<std::int64_t> live_bytes_of(std::span<const RecordType> types) = 0;
  virtual base::Status each_record(const std::function<void(const RecordInfo&)>& visit) = 0;
  // By age one, by cost one for each class of worth.
  virtual base::Result<std::vector<std::unique_ptr<Line>>> lines(CandidateOrder order, RecordType type) = 0;
  virtual base::Result<std::optional<Candidate>> load(RecordId id) = 0;  // nullopt: it is gone
  virtual base::Result<std::optional<PlacesRow>> places(RecordId id) = 0;
  virtual base::Result<std::optional<RecordId>> child_after(RecordId parent, RecordId after) = 0;  // by number
  // When something was last used that was made of this record, by what keys lead on to: through all that was made of
  // what was made of it, but for what is gone. It looks at no more than so many keys.
  using Gone = std::unordered_set<RecordId>;
  static constexpr std::size_t product_keys_max = 64;
  virtual base::Result<base::WallTime> last_use_of_products(RecordId id, const Gone& gone) = 0;
  virtual bool is_held(RecordId id) = 0;
};

// Leases that are over at `now` keep nothing.
std::unique_ptr<SelectionView> view_store(Store& store, base::WallTime now);
// Beside the owner: what his process holds is not seen.
std::unique_ptr<SelectionView> view_rows(base::lmdb::Env& env, base::WallTime now);

}  // namespace cairn::cache
