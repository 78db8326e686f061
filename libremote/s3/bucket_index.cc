// SPDX-License-Identifier: Apache-2.0
#include "libremote/s3/bucket_index.h"

#include <algorithm>

namespace cairn::remote {

namespace {
constexpr std::uint32_t loose_offset = ~std::uint32_t{0};
constexpr std::size_t packs_max = 65'536;  // however few objects they have
constexpr std::size_t condemned_max = 1'024;
}  // namespace

template <class Map, class Key>
std::optional<PackPlace> BucketIndex::State::find(const Map& map, const Key& key) const {
  const auto found = map.find(key);
  if (found == map.end()) return std::nullopt;
  const Object& object = found->second;
  const bool is_loose = object.offset == loose_offset;
  return PackPlace{names.at(object.pack), is_loose ? 0 : object.offset, object.size, is_loose, false};
}

template <class Map, class Key>
void BucketIndex::State::put(Map& map, const Key& key, const Object& object, const PackName& name) {
  const auto [found, is_new] = map.try_emplace(key, object);
  if (!is_new && names.at(found->second.pack) <= name) found->second = object;
}

void BucketIndex::State::drop(const std::set<std::uint32_t>& numbers) {
  if (numbers.empty()) return;
  const auto is_dropped = [&](const auto& each) { return numbers.contains(each.second.pack); };
  std::erase_if(entries, is_dropped);
  std::erase_if(blobs, is_dropped);
  std::erase_if(packs, [&](const auto& each) { return numbers.contains(each.second.number); });
  for (const std::uint32_t number : numbers) names.erase(number);
}

// An eighth at a time, because all objects are looked at for it.
void BucketIndex::State::make_room(std::size_t objects_max) {
  while (packs.size() > 1 && (entries.size() + blobs.size() > objects_max || packs.size() > packs_max)) {
    std::set<std::uint32_t> oldest;
    const std::size_t count = std::max<std::size_t>(1, packs.size() / 8);
    auto pack = packs.begin();
    for (; oldest.size() < count; ++pack) oldest.insert(pack->second.number);
    covered_from = pack->first;
    drop(oldest);
  }
}

std::optional<PackPlace> BucketIndex::entry(const KeyDigest& key) {
  auto state = state_.lock();
  return state->find(state->entries, key);
}

std::optional<PackPlace> BucketIndex::blob(const BlobDigest& digest) {
  auto state = state_.lock();
  return state->find(state->blobs, digest);
}

bool BucketIndex::saw(const PackName& name, Time now) {
  auto state = state_.lock();
  if (name < state->covered_from || state->condemned.contains(name)) return false;
  const auto found = state->packs.find(name);
  if (found == state->packs.end()) return true;
  found->second.seen = now;
  return false;
}

void BucketIndex::add(const PackName& name, std::span<const PackItem> items, Time now) {
  auto state = state_.lock();
  if (name < state->covered_from || state->condemned.contains(name)) return;
  const auto [pack, is_new] = state->packs.try_emplace(name, Pack{state->next_number, now});
  if (!is_new) return;
  const std::uint32_t number = state->next_number++;
  state->names.emplace(number, name);
  std::uint32_t offset = 0;  // pack_bytes_max of them fit
  for (const PackItem& item : items) {
    const bool is_loose = item.kind == PackItem::Kind::loose;
    const Object object{item.size, number, is_loose ? loose_offset : offset};
    if (item.kind == PackItem::Kind::entry)
      state->put(state->entries, KeyDigest(item.digest), object, name);
    else
      state->put(state->blobs, BlobDigest(item.digest), object, name);
    if (!is_loose) offset += static_cast<std::uint32_t>(item.size);
  }
  state->make_room(objects_max_);
}

void BucketIndex::forget(const PackName& name) {
  auto state = state_.lock();
  const auto found = state->packs.find(name);
  if (found != state->packs.end()) state->drop({found->second.number});
}

void BucketIndex::condemn(const PackName& name) {
  forget(name);
  auto state = state_.lock();
  if (state->condemned.size() == condemned_max) state->condemned.erase(state->condemned.begin());
  state->condemned.insert(name);
}

void BucketIndex::forget_unseen(Time since) {
  auto state = state_.lock();
  std::set<std::uint32_t> unseen;
  for (const auto& [name, pack] : state->packs)
    if (pack.seen < since) unseen.insert(pack.number);
  state->drop(unseen);
}

std::size_t BucketIndex::size() {
  auto state = state_.lock();
  return state->entries.size() + state->blobs.size();
}

}  // namespace cairn::remote
