// SPDX-License-Identifier: Apache-2.0
#include "libcache/gc/selection_view.h"

#include <algorithm>

#include "libcache/account/account.h"
#include "libcache/account/totals.h"
#include "libcache/keys/key_rows.h"
#include "libcache/records/lease_rows.h"
#include "libcache/records/record_rows.h"
#include "libcache/records/scan.h"
#include "libcache/records/store.h"

namespace cairn::cache {

using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;

namespace {

class StoredLine final : public SelectionView::Line {
 public:
  explicit StoredLine(CandidateStream stream) : stream_(std::move(stream)) {}
  Result<std::optional<RankInLine>> head() override { return stream_.head(); }
  void take() override { stream_.take(); }

 private:
  CandidateStream stream_;
};

class StoreView final : public SelectionView {
 public:
  // store: of whoever owns it, who knows of holds and of uses that no row says; else nullptr.
  StoreView(base::lmdb::Env& env, Store* store, base::WallTime now) : env_(env), store_(store), now_(now) {}

  Result<std::int64_t> live_bytes() override { return cache::live_bytes(env_); }
  Result<std::int64_t> live_bytes_of(std::span<const RecordType> types) override {
    std::int64_t live = 0;
    TRY(env_.view([&](ReadTxn& txn) -> Status {
      live = 0;
      for (const RecordType type : types) {
        const Totals total = TRY(total_of(txn, {TotalKind::type, std::string(to_string(type))}));
        live += total.exclusive_bytes + total.shared_bytes;
      }
      return {};
    }));
    return live;
  }
  Status each_record(const std::function<void(const RecordInfo&)>& visit) override {
    return each_row(env_, table::records, [&](ReadTxn&, const RecordId& id, const RecordRow& row) -> Status {
      visit(to_info(id, row));
      return {};
    });
  }
  Result<std::vector<std::unique_ptr<Line>>> lines(CandidateOrder order, RecordType type) override;
  Result<std::optional<Candidate>> load(RecordId id) override;
  Result<std::optional<PlacesRow>> places(RecordId id) override {
    return env_.view([&](ReadTxn& txn) { return txn.get(table::candidate_places, id); });
  }
  Result<std::optional<RecordId>> child_after(RecordId parent, RecordId after) override;
  Result<base::WallTime> last_use_of_products(RecordId id, const Gone& gone) override;
  bool is_held(RecordId id) override { return store_ != nullptr && store_->holds.is_kept(id); }

 private:
  Result<base::WallTime> last_use(ReadTxn& txn, RecordId id);

  base::lmdb::Env& env_;
  Store* const store_;
  const base::WallTime now_;
};

Result<std::vector<std::unique_ptr<SelectionView::Line>>> StoreView::lines(CandidateOrder order, RecordType type) {
  std::vector<std::unique_ptr<Line>> lines;
  if (order == CandidateOrder::by_age) {
    lines.push_back(std::make_unique<StoredLine>(CandidateStream(env_, order, type)));
    return lines;
  }
  for (const WorthClass worth : TRY(worths_of(env_, type)))
    lines.push_back(std::make_unique<StoredLine>(CandidateStream(env_, order, type, worth)));
  return lines;
}

Result<std::optional<SelectionView::Candidate>> StoreView::load(RecordId id) {
  std::optional<Candidate> candidate;
  TRY(env_.view([&](ReadTxn& txn) -> Status {
    candidate.reset();
    auto row = TRY(txn.get(table::records, id));
    if (!row) return {};
    const bool keyed = TRY(has_rows(txn, table::record_keys, key_prefix(id)));
    const bool leased = TRY(is_leased(txn, id, now_));
    candidate = Candidate{to_info(id, std::move(*row)), keyed ? Keyed::yes : Keyed::no, leased};
    return {};
  }));
  if (candidate && store_ != nullptr) add_memory(*store_, candidate->record);
  return candidate;
}

Result<std::optional<RecordId>> StoreView::child_after(RecordId parent, RecordId after) {
  const std::string from = after ? key_prefix(parent, after) + '\0' : std::string();
  std::optional<RecordId> child;
  TRY(env_.view([&](ReadTxn& txn) {
    child.reset();
    return txn.scan_raw(table::children, key_prefix(parent), from,
                        [&](std::string_view raw, std::string_view) -> Result<Scan> {
                          using Row = base::Codec<std::tuple<RecordId, RecordId>>;
                          child = std::get<1>(TRY(Row::decode(raw)));
                          return Scan::stop;
                        });
  }));
  return child;
}

Result<base::WallTime> StoreView::last_use(ReadTxn& txn, RecordId id) {
  const auto row = TRY(txn.get(table::records, id));
  if (!row) return base::WallTime{};
  const auto unwritten = store_ != nullptr ? store_->use_times.find(id) : std::nullopt;
  return unwritten ? std::max(row->last_used, unwritten->last) : row->last_used;
}

Result<base::WallTime> StoreView::last_use_of_products(RecordId id, const Gone& gone) {
  base::WallTime last{};
  TRY(env_.view([&](ReadTxn& txn) -> Status {
    last = {};
    std::vector<KeyDigest> keys;  // those before `at` have been looked at
    const auto add = [&](const KeyDigest& key) {
      if (keys.size() < product_keys_max && std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(key);
    };
    TRY(scan_rows(txn, table::record_keys, key_prefix(id), [&](const auto& row, const Present&) -> Result<Scan> {
      add(std::get<1>(row));
      return keys.size() < product_keys_max ? Scan::next : Scan::stop;
    }));
    const std::size_t own = keys.size();
    for (std::size_t at = 0; at < keys.size(); ++at) {
      const KeyDigest key = keys[at];
      TRY(scan_rows(txn, table::key_links, key.raw(), [&](const auto& row, const KeyLinkRow&) -> Result<Scan> {
        add(std::get<2>(row));
        return keys.size() < product_keys_max ? Scan::next : Scan::stop;
      }));
      if (at < own) continue;
      TRY(scan_rows(txn, table::key_results, key.raw(), [&](const auto& row, const KeyResultRow&) -> Result<Scan> {
        const RecordId product = std::get<1>(row);
        if (product && product != id && !gone.contains(product)) last = std::max(last, TRY(last_use(txn, product)));
        return Scan::next;
      }));
    }
    return {};
  }));
  return last;
}

}  // namespace

std::unique_ptr<SelectionView> view_store(Store& store, base::WallTime now) {
  return std::make_unique<StoreView>(store.env, &store, now);
}
std::unique_ptr<SelectionView> view_rows(base::lmdb::Env& env, base::WallTime now) {
  return std::make_unique<StoreView>(env, nullptr, now);
}

}  // namespace cairn::cache
