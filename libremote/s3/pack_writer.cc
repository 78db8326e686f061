// SPDX-License-Identifier: Apache-2.0
#include "libremote/s3/pack_writer.h"

#include <algorithm>

#include "libbase/hash/sha256.h"

namespace cairn::remote {

namespace {

constexpr std::size_t items_max = 65'536;  // of one pack: its index is read whole

PlacedEntry::Place in_pack(const PackName& name, std::uint64_t offset, std::vector<PackName>& packs) {
  auto found = std::find(packs.begin(), packs.end(), name);
  if (found == packs.end()) found = packs.insert(packs.end(), name);
  return {static_cast<std::size_t>(found - packs.begin()) + 2, offset};
}

}  // namespace

bool PackWriter::State::has(const BlobDigest& digest) const {
  return open.blobs.contains(digest) || std::any_of(closed.begin(), closed.end(), [&](const Closed& each) {
           return each.was.blobs.contains(digest);
         });
}

PlacedEntry::Place PackWriter::State::place(const cache::SizedBlob& blob, const std::optional<PackPlace>& known,
                                            std::vector<PackName>& packs) const {
  if (const auto found = open.blobs.find(blob.digest); found != open.blobs.end()) return {1, found->second};
  for (const Closed& each : closed)
    if (const auto found = each.was.blobs.find(blob.digest); found != each.was.blobs.end())
      return in_pack(each.pack->name, found->second, packs);
  if (known && !known->is_loose) return in_pack(known->pack, known->offset, packs);
  return {};
}

void PackWriter::add_blob(const BlobDigest& digest, std::string_view bytes) {
  auto state = state_.lock();
  if (state->has(digest)) return;
  Open& open = state->open;
  open.items.push_back({PackItem::Kind::blob, digest.bytes(), bytes.size()});
  open.blobs.emplace(digest, open.data.size());
  open.data += bytes;
  open.has_bytes = true;
}

void PackWriter::add_entry(const KeyDigest& key, std::string_view tier_entry, std::span<const cache::SizedBlob> closure,
                           const std::vector<std::optional<PackPlace>>& known) {
  PlacedEntry placed;
  placed.entry = tier_entry;
  auto state = state_.lock();
  for (std::size_t i = 0; i < closure.size(); ++i)
    placed.places.push_back(state->place(closure[i], known[i], placed.packs));
  Open& open = state->open;
  const std::string bytes = encode_placed_entry(placed);
  const auto [found, is_new] = open.entries.try_emplace(key, base::sha256(bytes));
  if (!is_new && found->second == base::sha256(bytes)) return;  // put again after what went wrong with another
  found->second = base::sha256(bytes);
  open.items.push_back({PackItem::Kind::entry, key.bytes(), bytes.size()});
  open.data += bytes;
  open.has_bytes = true;
}

void PackWriter::add_loose(const cache::SizedBlob& blob) {
  auto state = state_.lock();
  // Others ask for what no index has: no harm is done.
  if (state->open.items.size() < items_max)
    state->open.items.push_back({PackItem::Kind::loose, blob.digest.bytes(), blob.size});
}

bool PackWriter::has_blob(const BlobDigest& digest) { return state_.lock()->has(digest); }

bool PackWriter::is_full_with(std::size_t bytes) {
  auto state = state_.lock();
  const Open& open = state->open;
  return state->closed.size() > 1 ||
         (open.has_bytes && (open.items.size() >= items_max || open.data.size() + bytes > pack_bytes_));
}

void PackWriter::State::close(std::uint64_t time_ms) {
  if (!open.has_bytes) return;
  auto pack = std::make_shared<ClosedPack>();
  const std::string index = encode_pack_index(open.items);
  // Each after the one before, so that the last put of an entry counts.
  last_time_ms = std::max(time_ms, last_time_ms + 1);
  pack->name = {last_time_ms, static_cast<std::uint32_t>(index.size()), base::sha256(index)};
  pack->bytes = index + open.data;
  pack->items = std::move(open.items);
  open.data = {};
  closed.push_back({std::move(pack), std::exchange(open, {})});
}

void PackWriter::close() {
  const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(clock_.now().time_since_epoch());
  state_.lock()->close(static_cast<std::uint64_t>(now.count()));
}

std::shared_ptr<const ClosedPack> PackWriter::first_closed() {
  auto state = state_.lock();
  return state->closed.empty() ? nullptr : state->closed.front().pack;
}

void PackWriter::sent(const PackName& name) {
  auto state = state_.lock();
  if (!state->closed.empty() && state->closed.front().pack->name == name) state->closed.pop_front();
}

}  // namespace cairn::remote
