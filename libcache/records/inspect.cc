// SPDX-License-Identifier: Apache-2.0
#include "libcache/inspect.h"

#include <algorithm>

#include "libcache/blobs/blob_rows.h"
#include "libcache/keys/key_rows.h"
#include "libcache/records/layer_rows.h"
#include "libcache/records/lease_rows.h"
#include "libcache/records/record_rows.h"
#include "libcache/records/scan.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Result;
using base::Status;
using base::lmdb::Env;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;
using base::lmdb::TableSpec;

namespace {

// The second part of all keys that begin with `first`.
template <class First, class Second>
Result<std::vector<Second>> seconds(const ReadTxn& txn, const TableSpec<std::tuple<First, Second>, Present>& table, const First& first) {
  std::vector<Second> found;
  TRY(scan_rows(txn, table, key_prefix(first), [&](const auto& key, const Present&) -> Result<Scan> {
    found.push_back(std::get<1>(key));
    return Scan::next;
  }));
  return found;
}

std::string_view name_of(BlobPlace place) {
  switch (place) {
    case BlobPlace::file: return "file";
    case BlobPlace::pack: return "pack";
    case BlobPlace::chunks: return "chunks";
  }
  return "unknown";
}

Result<BlobDetail> detail_of(const ReadTxn& txn, const BlobDigest& digest, const BlobRow& row) {
  return BlobDetail{.info = {digest, row.size, row.allocated_bytes},
                    .place = name_of(row.place),
                    .records = TRY(seconds(txn, table::blob_records, digest)),
                    .leases = TRY(seconds(txn, table::blob_leases, digest))};
}

// Digests that begin with hex digits, maybe half a byte of them at the end.
class Digits {
 public:
  static Result<Digits> parse(std::string_view text) {
    const std::string_view hex = text.starts_with("sha256:") ? text.substr(7) : text;
    const auto is_digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
    if (hex.size() < 4 || hex.size() > 64 || !std::all_of(hex.begin(), hex.end(), is_digit))
      return base::fail(ErrorCode::invalid_argument, "\"{}\": want 4 to 64 hex digits", text);
    Digits digits;
    digits.hex_ = hex;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2) digits.bytes_ += static_cast<char>(value(hex[i]) << 4 | value(hex[i + 1]));
    return digits;
  }
  const std::string& prefix() const { return bytes_; }
  template <class Meaning>
  bool fit(const base::Digest<Meaning>& digest) const {
    return digest.hex().starts_with(hex_);
  }

 private:
  static unsigned value(char c) { return static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10); }
  std::string hex_, bytes_;
};

// Of a table by (digest, record). The rows of one digest stand together.
template <class Meaning, class Value>
Status collect(const ReadTxn& txn, const TableSpec<std::tuple<base::Digest<Meaning>, RecordId>, Value>& table, const Digits& digits,
               NamedThing::What what, std::size_t most, std::vector<NamedThing>& found) {
  return scan_rows(txn, table, digits.prefix(), [&](const auto& key, const Value&) -> Result<Scan> {
    const auto& [digest, record] = key;
    if (!digits.fit(digest)) return Scan::next;
    if (found.empty() || found.back().what != what || found.back().digest != digest.str()) {
      if (found.size() == most) return Scan::stop;
      found.push_back({what, digest.str(), {}});
    }
    found.back().records.push_back(record);
    return Scan::next;
  });
}

}  // namespace

Result<std::optional<RecordDetail>> find_record(Env& env, RecordId id) {
  return env.view([&](ReadTxn& txn) -> Result<std::optional<RecordDetail>> {
    auto row = TRY(txn.get(table::records, id));
    if (!row) return std::optional<RecordDetail>();
    return std::optional<RecordDetail>({.info = to_info(id, std::move(*row)),
                                        .children = TRY(seconds(txn, table::children, id)),
                                        .keys = TRY(seconds(txn, table::record_keys, id)),
                                        .leases = TRY(seconds(txn, table::record_leases, id)),
                                        .blobs = TRY(seconds(txn, table::record_blobs, id)),
                                        .diff = TRY(diff_of(txn, id))});
  });
}

Result<std::optional<BlobDetail>> find_blob(Env& env, const BlobDigest& digest) {
  return env.view([&](ReadTxn& txn) -> Result<std::optional<BlobDetail>> {
    const auto row = TRY(txn.get(table::blobs, digest));
    if (!row) return std::optional<BlobDetail>();
    return std::optional<BlobDetail>(TRY(detail_of(txn, digest, *row)));
  });
}

Status each_blob(Env& env, const std::function<Status(const BlobDetail&)>& visit) {
  return each_row(env, table::blobs, [&](ReadTxn& txn, const BlobDigest& digest, const BlobRow& row) -> Status {
    return visit(TRY(detail_of(txn, digest, row)));
  });
}

std::string_view to_string(NamedThing::What what) {
  switch (what) {
    case NamedThing::What::blob: return "blob";
    case NamedThing::What::diff: return "diff";
    case NamedThing::What::chain: return "chain";
    case NamedThing::What::key: return "key";
  }
  return "unknown";
}

Result<std::vector<NamedThing>> find_named(Env& env, std::string_view text, std::size_t most) {
  const Digits digits = TRY(Digits::parse(text));
  return env.view([&](ReadTxn& txn) -> Result<std::vector<NamedThing>> {
    std::vector<NamedThing> found;
    TRY(scan_rows(txn, table::blobs, digits.prefix(), [&](const BlobDigest& digest, const BlobRow&) -> Result<Scan> {
      if (!digits.fit(digest)) return Scan::next;
      if (found.size() == most) return Scan::stop;
      found.push_back({NamedThing::What::blob, digest.str(), TRY(seconds(txn, table::blob_records, digest))});
      return Scan::next;
    }));
    TRY(collect(txn, table::diff_records, digits, NamedThing::What::diff, most, found));
    TRY(collect(txn, table::chains, digits, NamedThing::What::chain, most, found));
    TRY(collect(txn, table::key_results, digits, NamedThing::What::key, most, found));
    return found;
  });
}

}  // namespace cairn::cache
