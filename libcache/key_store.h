// SPDX-License-Identifier: Apache-2.0
// The graph of cache keys (spec/solver 5). A key is 32 bytes. A root key has no inputs. A combined key is led to by
// links: (key of an input, which input, operation, output, selector) → key. A key may have results. Several keys can
// lead to one key: they are aliases (a definition key and a content key of the same input).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "libbase/clock.h"
#include "libbase/result.h"
#include "libcache/digests.h"
#include "libcache/record.h"

namespace cairn::cache {

// One way from a key of an input to a combined key. `operation` is the raw CacheMap digest, `selector` the raw selector
// digest (zero: none).
struct KeyLink {
  KeyDigest from;
  std::uint32_t input = 0;
  base::Sha256Bytes operation{};
  std::uint32_t output = 0;
  base::Sha256Bytes selector{};
  auto operator<=>(const KeyLink&) const = default;
};

// A result under a key: a record, or nothing at all (scratch, the empty tree of a step: record 0).
struct KeyResult {
  RecordId record;
  base::WallTime created{};
};

// Reads see what is published and what is queued (the queue first). Thread-safe. Never waits for a writer.
class KeyStore {
 public:
  virtual ~KeyStore() = default;

  // One snapshot of the store for many lookups; a warm solve uses a single one. Not thread-safe, short-lived: it pins a
  // version of the environment. Nothing else happens while it lives: no I/O, no waiting.
  class Reader {
   public:
    virtual ~Reader() = default;
    // Whether the key has a result or leads to another key. What neither has is forgotten with its last record.
    virtual base::Result<bool> exists(const KeyDigest& key) = 0;
    // The keys that `link` leads to; usually none or one.
    virtual base::Result<std::vector<KeyDigest>> follow(const KeyLink& link) = 0;
    // Newest first. A record named here may be going away just now: Cache::find decides.
    virtual base::Result<std::vector<KeyResult>> results(const KeyDigest& key) = 0;
    // What leads to `key`: the way back, for exporters and explanations. In no particular order.
    virtual base::Result<std::vector<KeyLink>> links_to(const KeyDigest& key) = 0;
    // The keys that lead to `record`.
    virtual base::Result<std::vector<KeyDigest>> keys_of(RecordId record) = 0;
  };
  // Runs f with a reader on one version. What was published or queued before read() began is seen by all of f.
  virtual base::Status read(const std::function<base::Status(Reader&)>& f) = 0;
};

}  // namespace cairn::cache
