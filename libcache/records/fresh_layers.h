// SPDX-License-Identifier: Apache-2.0
// Blobs of layers whose rows are on their way to disk: found by others at once.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "libbase/sync.h"
#include "libcache/layer_blob.h"
#include "libcache/record.h"

namespace cairn::cache {

// Thread-safe.
class FreshLayers {
 public:
  void add(RecordId record, const LayerBlob& layer) { (*layers_.lock())[record].push_back(layer); }
  // One that was added; the rows say it now, or never will.
  void remove(RecordId record, const BlobDigest& blob) {
    auto layers = layers_.lock();
    const auto found = layers->find(record);
    if (found == layers->end()) return;
    std::erase_if(found->second, [&](const LayerBlob& layer) { return layer.blob == blob; });
    if (found->second.empty()) layers->erase(found);
  }
  std::vector<LayerBlob> of(RecordId record) {
    auto layers = layers_.lock();
    const auto found = layers->find(record);
    return found == layers->end() ? std::vector<LayerBlob>() : found->second;
  }

 private:
  base::Guarded<std::unordered_map<RecordId, std::vector<LayerBlob>>> layers_;
};

}  // namespace cairn::cache
