// SPDX-License-Identifier: Apache-2.0
// Single things of a store and what hangs together with them, read beside its owner: by number, by digest, or by the first
// digits of one. Each costs the rows that the answer has in it. What the owner has not written yet is not in it.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/lmdb/env.h"
#include "libbase/result.h"
#include "libcache/blob_store.h"
#include "libcache/lease.h"
#include "libcache/record.h"

namespace cairn::cache {

struct RecordDetail {
  RecordInfo info;
  std::vector<RecordId> children;   // what is built on it
  std::vector<KeyDigest> keys;      // that lead to it
  std::vector<LeaseId> leases;      // that name it, those that are over included
  std::vector<BlobDigest> blobs;    // that it names
  std::optional<DiffId> diff;       // of an image layer
};
base::Result<std::optional<RecordDetail>> find_record(base::lmdb::Env& env, RecordId id);

struct BlobDetail {
  BlobInfo info;
  std::string_view place;           // "file", "pack", "chunks"
  std::vector<RecordId> records;    // that name it
  std::vector<LeaseId> leases;
};
base::Result<std::optional<BlobDetail>> find_blob(base::lmdb::Env& env, const BlobDigest& digest);
// In the order of digests. visit writes no output and does not wait (collect first).
base::Status each_blob(base::lmdb::Env& env, const std::function<base::Status(const BlobDetail&)>& visit);

// What a digest is the name of, and the records that it leads to.
struct NamedThing {
  enum class What : std::uint8_t { blob, diff, chain, key } what = What::blob;
  std::string digest;  // "sha256:…", complete
  std::vector<RecordId> records;
};
std::string_view to_string(NamedThing::What what);  // the words above
// Everything whose digest begins with these hex digits ("sha256:" may stand before them); at least four of them.
// No more than `most`. Errors: invalid_argument (no such digits), corrupt, io.
base::Result<std::vector<NamedThing>> find_named(base::lmdb::Env& env, std::string_view digits, std::size_t most);

}  // namespace cairn::cache
