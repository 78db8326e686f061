// SPDX-License-Identifier: Apache-2.0
#include "libcache/records/layer_fetches.h"

#include <algorithm>

#include "libbase/crash_point.h"
#include "libcache/records/layer_rows.h"
#include "libcache/records/store.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Result;
using base::Status;
using base::lmdb::ReadTxn;

namespace {

// Ends when it is told to, between two pieces.
class EndingSource final : public base::ByteSource {
 public:
  EndingSource(base::ByteSource& source, const std::stop_token& stop) : source_(source), stop_(stop) {}
  Result<std::size_t> read(std::span<std::byte> out) override {
    if (stop_.stop_requested()) return base::fail(ErrorCode::cancelled, "stopped");
    return source_.read(out);
  }

 private:
  base::ByteSource& source_;
  const std::stop_token& stop_;
};

base::Error without(const std::vector<LayerSource>& sources, RecordId record) {
  std::string names;
  for (const LayerSource& source : sources) names += (names.empty() ? "" : ", ") + source.layer.blob.str();
  return {ErrorCode::unavailable, fmt::format("record {}: its tree is not here, and nobody gives blob {}", record, names),
          "give a provider that has it"};
}

// One blob that holds the layer, here.
Result<LayerBlob> fetch(Store& store, RecordId record, const BlobProvider& provider, const std::stop_token& stop) {
  if (store.holds.standing_of(record) == Standing::unpublished)
    return base::fail(ErrorCode::invalid_argument, "record {} is lazy and not published", record);
  const auto turn = store.fetch_turns.take(record);
  const std::vector<LayerSource> sources = TRY(layer_sources(store, record));
  if (sources.empty()) return base::fail(ErrorCode::corrupt, "record {}: no blob holds its layer", record);
  if (sources.front().here) return sources.front().layer;
  if (!provider) return tl::unexpected(without(sources, record));
  std::optional<base::Error> last;
  for (const LayerSource& source : sources) {
    auto bytes = provider(source.layer.blob, stop);
    if (!bytes) {
      last = bytes.error();
      continue;
    }
    EndingSource until_told(**bytes, stop);
    TRY(store.blobs.put(until_told, source.layer.blob), "fetch blob {}", source.layer.blob);
    CRASH_POINT("cache.unlazy.fetched");
    return source.layer;
  }
  return tl::unexpected(base::add_context(std::move(*last), without(sources, record).message));
}

}  // namespace

Result<std::vector<LayerSource>> layer_sources(Store& store, RecordId record) {
  std::vector<LayerBlob> known = store.fresh_layers.of(record);
  TRY(store.keys.in_version([&](ReadTxn& txn) -> Status {
    const auto diff = TRY(diff_of(txn, record));
    if (!diff) return {};
    const auto durable = TRY(blobs_of_diff(txn, *diff));
    known.insert(known.end(), durable.begin(), durable.end());
    return {};
  }));
  std::vector<LayerSource> sources;
  for (const LayerBlob& layer : known) {
    const auto blob = TRY(store.blobs.find(layer.blob));
    sources.push_back({layer, blob.has_value()});
  }
  std::stable_partition(sources.begin(), sources.end(), [](const LayerSource& source) { return source.here; });
  return sources;
}

LayerFetches::LayerFetches(Store& store, const std::vector<ImmutableRef>& chain, const BlobProvider& provider, std::stop_token stop)
    : store_(store), chain_(chain), provider_(provider), stop_(std::move(stop), [this] { ending_.request_stop(); }) {
  state_.lock()->fetched.resize(chain.size());
  if (!provider) return;
  std::size_t missing = 0;
  for (const ImmutableRef& record : chain) {
    const auto sources = layer_sources(store, record.id());
    if (sources && !sources->empty() && !sources->front().here) ++missing;
  }
  if (missing < 2) return;
  for (std::size_t i = 0; i < std::min(missing, layers_at_once); ++i) threads_.emplace_back([this] { work(); });
}

LayerFetches::~LayerFetches() { ending_.request_stop(); }

void LayerFetches::work() {
  while (true) {
    const std::size_t index = state_.lock()->next++;
    if (index >= chain_.size()) return;
    const bool ended = ending_.stop_requested();
    end(index, ended ? base::fail(ErrorCode::cancelled, "fetch layers: stopped")
                     : fetch(store_, chain_[index].id(), provider_, ending_.get_token()));
  }
}

void LayerFetches::end(std::size_t index, Result<LayerBlob> fetched) {
  const bool failed = !fetched;
  {
    auto state = state_.lock();
    if (fetched) state->fetched[index] = std::move(*fetched);
    else if (!state->error) state->error = std::move(fetched).error();
  }
  changed_.notify_all();
  if (failed) ending_.request_stop();  // not before: what the others say of it is not the first error
}

Result<LayerBlob> LayerFetches::wait(std::size_t index) {
  if (threads_.empty()) return fetch(store_, chain_[index].id(), provider_, ending_.get_token());
  auto state = state_.lock();
  changed_.wait(state.lock(), [&] { return state->fetched[index] || state->error; });
  if (state->fetched[index]) return *state->fetched[index];
  return tl::unexpected(*state->error);
}

}  // namespace cairn::cache
