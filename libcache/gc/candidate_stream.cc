// SPDX-License-Identifier: Apache-2.0
#include "libcache/gc/candidate_stream.h"

#include <limits>

namespace cairn::cache {

using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;

namespace {
constexpr std::size_t piece_rows = 128;
}

Result<std::optional<RankInLine>> CandidateStream::head() {
  if (read_.empty() && !at_end_) TRY(read_more());
  if (read_.empty()) return std::optional<RankInLine>();
  return std::optional<RankInLine>(read_.front());
}

Status CandidateStream::read_more() {
  const auto& rows = order_ == CandidateOrder::by_age ? table::candidates_by_age : table::candidates_by_cost;
  at_end_ = true;
  return env_->view([&](ReadTxn& txn) -> Status {
    return txn.scan_raw(rows, prefix_, from_, [&](std::string_view raw, std::string_view) -> Result<Scan> {
      const CandidateKey key = TRY(base::Codec<CandidateKey>::decode(raw), "{} key", rows.name);
      read_.push_back({std::get<1>(key), std::get<2>(key)});
      if (read_.size() < piece_rows) return Scan::next;
      from_ = std::string(raw) + '\0';
      at_end_ = false;
      return Scan::stop;
    });
  });
}

// From each class to the next: one look for each.
Result<std::vector<WorthClass>> worths_of(base::lmdb::Env& env, RecordType type) {
  std::vector<WorthClass> worths;
  const std::string prefix = key_prefix(number_of(type));
  TRY(env.view([&](ReadTxn& txn) -> Status {
    worths.clear();
    std::string from;
    for (bool more = true; more;) {
      more = false;
      TRY(txn.scan_raw(table::candidates_by_cost, prefix, from,
                       [&](std::string_view raw, std::string_view) -> Result<Scan> {
                         worths.push_back(worth_at(std::get<1>(TRY(base::Codec<CandidateKey>::decode(raw)))));
                         more = worths.back() < std::numeric_limits<WorthClass>::max();
                         return Scan::stop;
                       }));
      if (more) from = prefix + static_cast<char>(worths.back() + 1);
    }
    return {};
  }));
  return worths;
}

}  // namespace cairn::cache
