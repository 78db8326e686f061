// SPDX-License-Identifier: Apache-2.0
// A file that one source of a solve has downloaded: the tree that it becomes the result with, and until the solve ends the
// bytes for others who want the same file with another name, mode or owner.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "libbase/sync.h"
#include "libcache/cache.h"
#include "libsolver/sources/http_facts.h"

namespace cairn::solver {

// Thread-safe. Must not outlive the cache.
class SharedDownload {
 public:
  // tree: has the file `name`, whose checksum facts have.
  SharedDownload(cache::MutableRef tree, std::string name, HttpFacts facts)
      : name_(std::move(name)), facts_(std::move(facts)), state_(State{.tree = std::move(tree), .record = {}}) {}

  const HttpFacts& facts() const { return facts_; }
  // The tree becomes a record; once, by who downloaded it. Errors: as of MutableRef; then the bytes are gone.
  base::Result<cache::ImmutableRef> commit(cache::Publication& into, cache::RecordFacts facts);
  // The bytes, and how many there are. Errors: not_found (they are gone), io.
  struct Bytes {
    std::unique_ptr<base::ByteSource> source;
    std::uint64_t size = 0;
  };
  base::Result<Bytes> open();

 private:
  struct State {
    std::optional<cache::MutableRef> tree;  // until commit()
    std::optional<cache::ImmutableRef> record;
  };
  const std::string name_;
  const HttpFacts facts_;
  base::Guarded<State> state_;  // held while the tree is committed or mounted (docs/locks.md)
};

}  // namespace cairn::solver
