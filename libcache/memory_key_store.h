// SPDX-License-Identifier: Apache-2.0
// A graph of keys in memory: for caches that come from elsewhere, and for keys that need not outlive the process.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <tuple>
#include <vector>

#include "libcache/key_store.h"

namespace cairn::cache {

// Thread-safe. A reader sees what was written before read() began, or more.
class MemoryKeyStore final : public KeyStore {
 public:
  MemoryKeyStore();
  ~MemoryKeyStore() override;

  base::Status read(const std::function<base::Status(Reader&)>& f) override;

  void put_result(const KeyDigest& key, const KeyResult& result);
  void put_link(const KeyLink& link, const KeyDigest& target);
  // The record is no result any more. What then neither has a result nor leads anywhere is forgotten, and so on towards
  // the roots.
  void forget(RecordId record);
  std::size_t keys() const;  // how many keys have a result or lead somewhere

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cairn::cache
