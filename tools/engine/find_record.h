// SPDX-License-Identifier: Apache-2.0
// A record by what somebody outside has said: its number, or the cache mount that it is the newest version of.
#pragma once

#include <vector>

#include "tools/engine/engine.h"

namespace cairn::engine {

// Errors: not_found, and those of Cache::find.
inline base::Result<cache::ImmutableRef> find_record(Engine& engine, std::uint64_t number) {
  auto record = TRY(engine.cache().find(cache::RecordId(number)));
  if (record) return std::move(*record);
  auto error = base::fail(base::ErrorCode::not_found, "record {}: there is none in {}", number, engine.root().str());
  error.value().hint = "cachectl ls lists those that there are";
  return error;
}

// Errors: not_found (there is none), and those of Cache::find.
inline base::Result<cache::ImmutableRef> find_newest_version(Engine& engine, const KeyDigest& mount) {
  std::vector<cache::KeyResult> results;
  TRY(engine.cache().keys().read([&](cache::KeyStore::Reader& reader) -> base::Status {
    results = TRY(reader.results(mount));
    return {};
  }));
  for (const cache::KeyResult& result : results)
    if (auto record = TRY(engine.cache().find(result.record))) return std::move(*record);
  return base::fail(base::ErrorCode::not_found, "the cache mount is empty: it was not used yet, or was collected");
}

}  // namespace cairn::engine
