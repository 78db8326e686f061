// SPDX-License-Identifier: Apache-2.0
// A record by the number that somebody outside has said.
#pragma once

#include "tools/engine/engine.h"

namespace cairn::engine {

// Errors: not_found, and those of Cache::find.
inline base::Result<cache::ImmutableRef> find_record(Engine& engine, std::uint64_t number) {
  auto record = TRY(engine.cache().find(cache::RecordId(number)));
  if (record) return std::move(*record);
  return base::fail(base::ErrorCode::not_found, "record {}: there is none in {}", number, engine.root().str());
}

}  // namespace cairn::engine
