// SPDX-License-Identifier: Apache-2.0
// What all doors do: give out a value with ranges and conditions, and take one in. What makes a door its own (keys,
// codes, headers) is in service.cc.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "libcache/blob_writer.h"
#include "libcache/entry_store.h"
#include "libcache/tiers.h"
#include "libserve/access.h"
#include "libserve/http/message.h"

namespace cairn::serve {

// Where and how much doors may take in.
struct Intake {
  cache::Cache& cache;
  std::optional<base::HostPath> spool{};  // for what comes in compressed
  std::uint64_t body_max = 0;             // bytes of one value
  std::int64_t live_bytes_max = 0;        // of the store: the hard limit; 0: none
  cache::Tiers* tiers = nullptr;          // that are asked for what is not here; nullptr: there are none
};

// Nothing more goes in: the store has as much as it may. Errors: no_space.
base::Status expect_room(Intake& intake, std::uint64_t bytes);

// A put as this viewer, which tiers that are written get to know later.
base::Result<cache::EntryStore::Put> keep_entry(
    Intake& intake, const Viewer& viewer, cache::NewEntry entry, cache::EntryStore::Existing existing = cache::EntryStore::Existing::replace);
// For an entry that was not found, where there are tiers: what those have is trusted.
void fetch_entry(Intake& intake, const cache::EntryName& name, cache::Tiers::Answered then);

// An answer with this blob: whole, a part of it (Range), or that it is what the client has (If-None-Match). The blob is
// verified before it is sent. Not there: 404.
Reply blob_reply(cache::BlobView blobs, const Request& request, const BlobDigest& digest,
                 std::optional<cache::ImmutableRef> hold);

// Takes a body into the blob store, for this viewer. `then` gets the blob that came of it. Content-Encoding says how the body is packed.
using Then = std::function<Answer(const cache::BlobStore::Put& put)>;
Begun take_blob(Intake& intake, const Viewer& viewer, const Request& request, std::optional<BlobDigest> expected, Then then);

}  // namespace cairn::serve
