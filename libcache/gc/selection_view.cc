// SPDX-License-Identifier: Apache-2.0
#include "libcache/gc/selection_view.h"

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
  StoredLine(base::lmdb::Env& env, CandidateOrder order, RecordType type) : stream_(env, order, type) {}
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
  Result<std::optional<Rank>> level() override {
    return env_.view([](ReadTxn& txn) { return collector_level(txn); });
  }
  std::unique_ptr<Line> line(CandidateOrder order, RecordType type) override {
    return std::make_unique<StoredLine>(env_, order, type);
  }
  Result<std::optional<Candidate>> load(RecordId id) override;
  Result<std::optional<PlacesRow>> places(RecordId id) override {
    return env_.view([&](ReadTxn& txn) { return txn.get(table::candidate_places, id); });
  }
  Result<std::optional<RecordId>> child_after(RecordId parent, RecordId after) override;
  bool is_held(RecordId id) override { return store_ != nullptr && store_->holds.is_held(id); }

 private:
  base::lmdb::Env& env_;
  Store* const store_;
  const base::WallTime now_;
};

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
    return txn.scan_raw(table::children, key_prefix(parent), from, [&](std::string_view raw, std::string_view) -> Result<Scan> {
      using Row = base::Codec<std::tuple<RecordId, RecordId>>;
      child = std::get<1>(TRY(Row::decode(raw)));
      return Scan::stop;
    });
  }));
  return child;
}

}  // namespace

std::unique_ptr<SelectionView> view_store(Store& store, base::WallTime now) { return std::make_unique<StoreView>(store.env, &store, now); }
std::unique_ptr<SelectionView> view_rows(base::lmdb::Env& env, base::WallTime now) { return std::make_unique<StoreView>(env, nullptr, now); }

}  // namespace cairn::cache
