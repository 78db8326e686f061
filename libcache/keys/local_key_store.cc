// SPDX-License-Identifier: Apache-2.0
#include "libcache/keys/local_key_store.h"

#include <algorithm>

#include "libcache/keys/key_rows.h"
#include "libcache/records/scan.h"
#include "libcache/records/store.h"

namespace cairn::cache {

using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;

namespace {

// The read() that this thread is in; read() inside read() of another store is legal, so they form a stack.
struct CurrentRead {
  const Store* store;
  ReadTxn* txn;
  CurrentRead* outer;
};
thread_local CurrentRead* current_read = nullptr;

class CurrentReadScope {
 public:
  CurrentReadScope(const Store& store, ReadTxn& txn) : read_{&store, &txn, current_read} { current_read = &read_; }
  ~CurrentReadScope() { current_read = read_.outer; }
  CurrentReadScope(const CurrentReadScope&) = delete;
  CurrentReadScope& operator=(const CurrentReadScope&) = delete;

 private:
  CurrentRead read_;
};

template <class Value>
void add_unless_there(std::vector<Value>& values, const Value& value) {
  if (std::find(values.begin(), values.end(), value) == values.end()) values.push_back(value);
}

class LocalReader final : public KeyStore::Reader {
 public:
  LocalReader(Pending& pending, ReadTxn& txn) : pending_(pending), txn_(txn) {}

  Result<bool> exists(const KeyDigest& key) override {
    if (pending_.key_exists(key)) return true;
    return key_exists(txn_, key);
  }

  Result<std::vector<KeyDigest>> follow(const KeyLink& link) override {
    std::vector<KeyDigest> targets;
    for (const KeyDigest& target : pending_.follow(link)) add_unless_there(targets, target);
    const std::string prefix = key_prefix(link.from, way_of(link));
    TRY(scan_rows(txn_, table::key_links, prefix, [&](const auto& row, const KeyLinkRow&) -> Result<Scan> {
      add_unless_there(targets, std::get<2>(row));
      return Scan::next;
    }));
    return targets;
  }

  Result<std::vector<KeyResult>> results(const KeyDigest& key) override {
    std::vector<KeyResult> found = pending_.results(key);
    TRY(scan_rows(txn_, table::key_results, key.raw(), [&](const auto& row, const KeyResultRow& value) -> Result<Scan> {
      found.push_back({std::get<1>(row), value.created});
      return Scan::next;
    }));
    const auto newer = [](const KeyResult& a, const KeyResult& b) {
      return std::tie(a.created, a.record) > std::tie(b.created, b.record);
    };
    std::stable_sort(found.begin(), found.end(), newer);
    std::vector<KeyResult> once;
    for (const KeyResult& result : found) {
      const auto same = [&](const KeyResult& other) { return other.record == result.record; };
      if (std::none_of(once.begin(), once.end(), same)) once.push_back(result);
    }
    return once;
  }

  Result<std::vector<KeyLink>> links_to(const KeyDigest& key) override {
    std::vector<KeyLink> links;
    for (const KeyLink& link : pending_.links_to(key)) add_unless_there(links, link);
    const auto visit = [&](const std::tuple<KeyDigest, KeyDigest, LinkWay>& row, const Present&) -> Result<Scan> {
      const auto& [target, from, way] = row;
      const auto link = TRY(txn_.get(table::key_links, {from, way, target}));
      if (link) add_unless_there(links, KeyLink{from, link->input, link->operation, link->output, link->selector});
      return Scan::next;
    };
    TRY(scan_rows(txn_, table::key_backlinks, key.raw(), visit));
    return links;
  }

  Result<std::vector<KeyDigest>> keys_of(RecordId record) override {
    std::vector<KeyDigest> keys;
    for (const KeyDigest& key : pending_.keys_of(record)) add_unless_there(keys, key);
    TRY(scan_rows(txn_, table::record_keys, key_prefix(record), [&](const auto& row, const Present&) -> Result<Scan> {
      add_unless_there(keys, std::get<1>(row));
      return Scan::next;
    }));
    return keys;
  }

 private:
  Pending& pending_;
  ReadTxn& txn_;
};

}  // namespace

Status LocalKeyStore::read(const std::function<Status(Reader&)>& f) {
  // The visit begins before the transaction does and ends after it, so that it is never younger than its version.
  const Readers::Visit visit(store_.readers);
  return store_.env.view([&](ReadTxn& txn) -> Status {
    const CurrentReadScope scope(store_, txn);
    LocalReader reader(store_.pending, txn);
    return f(reader);
  });
}

ReadTxn* LocalKeyStore::current_txn() const {
  for (const CurrentRead* read = current_read; read; read = read->outer)
    if (read->store == &store_) return read->txn;
  return nullptr;
}

base::lmdb::Env& LocalKeyStore::env() const { return store_.env; }

}  // namespace cairn::cache
