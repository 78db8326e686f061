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
#include "libserve/http/message.h"

namespace cairn::serve {

// Where and how much doors may take in.
struct Intake {
  cache::Cache& cache;
  std::optional<base::HostPath> spool{};  // for what comes in compressed
  std::uint64_t body_max = 0;             // bytes of one value
  std::int64_t live_bytes_max = 0;        // of the store: the hard limit; 0: none
};

// Nothing more goes in: the store has as much as it may. Errors: no_space.
base::Status expect_room(Intake& intake, std::uint64_t bytes);

// An answer with this blob: whole, a part of it (Range), or that it is what the client has (If-None-Match). The blob is
// verified before it is sent. Not there: 404.
Reply blob_reply(cache::Cache& cache, const Request& request, const BlobDigest& digest,
                 std::optional<cache::ImmutableRef> hold);

// Takes a body into the blob store. `then` gets the blob that came of it. Content-Encoding says how the body is packed.
using Then = std::function<Answer(const cache::BlobStore::Put& put)>;
Begun take_blob(Intake& intake, const Request& request, std::optional<BlobDigest> expected, Then then);

}  // namespace cairn::serve
