// SPDX-License-Identifier: Apache-2.0
// The blobs of a chain of lazy records, fetched beside each other into the blob store, the lowest first, while those that are
// here are unpacked. Layers wait in the store, never in memory.
#pragma once

#include <condition_variable>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

#include "libbase/sync.h"
#include "libcache/layer_blob.h"
#include "libcache/ref.h"

namespace cairn::cache {

struct Store;

inline constexpr std::size_t layers_at_once = 4;  // of one chain

// What holds the record's layer, those first that are here.
struct LayerSource {
  LayerBlob layer;
  bool here = false;
};
base::Result<std::vector<LayerSource>> layer_sources(Store& store, RecordId record);

class LayerFetches {
 public:
  // All of it outlives this. chain: lowest first. Threads of its own only if more than one blob is not here.
  LayerFetches(Store& store, const std::vector<ImmutableRef>& chain, const BlobProvider& provider, std::stop_token stop);
  ~LayerFetches();  // what is under way is asked to end, and waited for
  LayerFetches(const LayerFetches&) = delete;
  LayerFetches& operator=(const LayerFetches&) = delete;

  // A blob here that holds the layer of chain[index]. The first error of any of them ends them all, and is what everybody
  // gets. Errors: as Cache::unlazy.
  base::Result<LayerBlob> wait(std::size_t index);

 private:
  struct State {
    std::size_t next = 0;
    std::vector<std::optional<LayerBlob>> fetched;
    std::optional<base::Error> error;  // the first
  };
  void work();
  void end(std::size_t index, base::Result<LayerBlob> fetched);

  Store& store_;
  const std::vector<ImmutableRef>& chain_;
  const BlobProvider& provider_;
  std::stop_source ending_;
  std::stop_callback<std::function<void()>> stop_;
  base::Guarded<State> state_;
  std::condition_variable_any changed_;
  std::vector<std::jthread> threads_;  // last: they use the rest
};

}  // namespace cairn::cache
