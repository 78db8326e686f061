// SPDX-License-Identifier: Apache-2.0
#include "libsolver/remote_cache/result_layers.h"

#include <algorithm>

namespace cairn::solver {

using base::Result;
using cache::ImmutableRef;
using cache::LayerBlob;
using cache::RecordKind;

Result<bool> ResultLayers::add_records(const ImmutableRef& ref, std::vector<ImmutableRef>& out) {
  // A chain of layers may be long, so it is walked; merges within merges are replaced by what they merge.
  std::vector<ImmutableRef> chain;
  ImmutableRef at = ref;
  while (at.info().kind == RecordKind::layer && !at.info().parents.empty()) {
    auto parent = TRY(cache_.find(at.info().parents.front()));
    if (!parent)
      return base::fail(base::ErrorCode::not_found, "record {} is gone, on which {} stands", at.info().parents.front(),
                        at.id());
    chain.push_back(std::exchange(at, std::move(*parent)));
  }
  if (at.info().kind == RecordKind::diff_to_none) return false;
  if (at.info().kind == RecordKind::merge) {
    for (const cache::RecordId input : at.info().parents) {
      const auto parent = TRY(cache_.find(input));
      if (!parent) return base::fail(base::ErrorCode::not_found, "record {} is gone, which {} merges", input, at.id());
      if (!TRY(add_records(*parent, out))) return false;
    }
  } else {
    out.push_back(at);
  }
  out.insert(out.end(), chain.rbegin(), chain.rend());
  return true;
}

Result<std::optional<std::vector<ImmutableRef>>> ResultLayers::records_of(const ImmutableRef& ref) {
  std::vector<ImmutableRef> records;
  if (!TRY(add_records(ref, records))) return std::optional<std::vector<ImmutableRef>>();
  return std::optional(std::move(records));
}

Result<std::optional<LayerBlob>> ResultLayers::blob_of(const ImmutableRef& record, Make make) {
  if (const auto known = known_.find(record.id()); known != known_.end()) return std::optional(known->second);
  std::vector<LayerBlob> blobs = TRY(cache_.layer_blobs(record));
  std::stable_sort(blobs.begin(), blobs.end(), [&](const LayerBlob& a, const LayerBlob& b) {
    return std::pair(a.compression != compression_, a.blob) < std::pair(b.compression != compression_, b.blob);
  });
  std::optional<LayerBlob> found;
  if (!blobs.empty())
    found = blobs.front();
  else if (make == Make::yes)
    found = TRY(cache_.layer_blob(record, compression_, stop_));
  if (found) known_.emplace(record.id(), *found);
  return found;
}

Result<std::optional<std::vector<std::string>>> ResultLayers::of(const OptionalRef& ref, Make make) {
  using Blobs = std::optional<std::vector<std::string>>;
  if (!ref) return Blobs();
  const auto records = TRY(records_of(*ref));
  if (!records) return Blobs();
  std::vector<std::string> blobs;
  for (const ImmutableRef& record : *records) {
    const auto layer = TRY(blob_of(record, make));
    if (!layer) return Blobs();
    blobs.push_back(layer->blob.str());
    described_.emplace(blobs.back(), CacheLayer{layer->blob, layer->size, layer->compression, layer->diff});
  }
  return Blobs(std::move(blobs));
}

}  // namespace cairn::solver
