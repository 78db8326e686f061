// SPDX-License-Identifier: Apache-2.0
// The candidates of one type in one order, read in pieces: each piece is a read transaction of its own, so that no old
// version of the store is kept for it.
#pragma once

#include <deque>
#include <optional>
#include <string>

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
  CandidateStream(base::lmdb::Env& env, CandidateOrder order, RecordType type) : env_(&env), order_(order), type_(number_of(type)) {}

  base::Result<std::optional<RankInLine>> head();  // nullopt: at the end
  void take() { read_.pop_front(); }

 private:
  base::Status read_more();

  base::lmdb::Env* env_;
  CandidateOrder order_;
  TypeNumber type_;
  std::deque<RankInLine> read_;
  std::string from_;
  bool at_end_ = false;
};

}  // namespace cairn::cache
