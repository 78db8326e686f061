// SPDX-License-Identifier: Apache-2.0
// Making an entry of an untrusted writer a trusted one (EntryStore::promote).
#pragma once

#include <string>

#include "libbase/result.h"
#include "libcache/entry_store.h"
#include "libsnapshot/digests.h"
#include "tools/engine/engine.h"

namespace cairn::engine {

struct PromoteOrder {
  std::string door, instance, key;
  std::string who, reason;  // for the list of promotions
  bool replace = false;     // a trusted one that is there
};
struct Promoted {
  BlobDigest value;
  cache::EntryStore::Outcome outcome = cache::EntryStore::Outcome::made;  // made, replaced, or same: it was trusted before
};
// Durable. Errors: those of EntryStore::promote.
base::Result<Promoted> run_order(Engine& engine, const PromoteOrder& order);

}  // namespace cairn::engine
