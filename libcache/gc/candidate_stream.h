// SPDX-License-Identifier: Apache-2.0
// The candidates of one type in one order, read in pieces: each piece is a read transaction of its own, so that no old
// version of the store is kept for it.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "libcache/gc/candidates.h"

namespace cairn::cache {

struct RankInLine {
  Rank place;
  RecordId id;
  auto operator<=>(const RankInLine&) const = default;
};

enum class CandidateOrder : std::uint8_t { by_age, by_cost };

class CandidateStream {
 public:
  // worth: by cost, the class.
  CandidateStream(base::lmdb::Env& env, CandidateOrder order, RecordType type, WorthClass worth = 0)
      : env_(&env), order_(order), prefix_(key_prefix(number_of(type))) {
    if (order == CandidateOrder::by_cost) prefix_ += static_cast<char>(worth);
  }

  base::Result<std::optional<RankInLine>> head();  // nullopt: at the end
  void take() { read_.pop_front(); }

 private:
  base::Status read_more();

  base::lmdb::Env* env_;
  CandidateOrder order_;
  std::string prefix_;
  std::deque<RankInLine> read_;
  std::string from_;
  bool at_end_ = false;
};

// The classes that candidates of a type are in.
base::Result<std::vector<WorthClass>> worths_of(base::lmdb::Env& env, RecordType type);

}  // namespace cairn::cache
