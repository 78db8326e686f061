// SPDX-License-Identifier: Apache-2.0
// A store with tiers under it that are in memory, and a clock that stands still.
#pragma once

#include <future>
#include <thread>

#include "libcache/tiers.h"
#include "tests/libcache/store_fixture.h"
#include "tests/support/tier_double.h"

namespace cairn::cache {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::Shelf;
using test::Sickness;

inline EntryName named(const std::string& key, const std::string& door = "ccache") {
  return {.door = door, .key = key};
}
inline SizedBlob sized(std::string_view bytes) { return {base::digest_of<BlobDigest>(bytes), bytes.size()}; }

// What a tier has from others.
inline void stock(Shelf& shelf, const EntryName& name, const std::string& value, const std::vector<std::string>& needs,
                  std::chrono::nanoseconds build_time = {}) {
  const std::lock_guard lock(shelf.mutex);
  TierEntry entry{.value = value, .closure = std::vector<SizedBlob>(), .attributes = "kept", .build_time = build_time};
  for (const std::string& bytes : needs) {
    shelf.blobs[sized(bytes).digest] = bytes;
    entry.closure->push_back(sized(bytes));
  }
  shelf.entries[key_of(name)] = std::move(entry);
}

struct Place {
  std::shared_ptr<Shelf> shelf;
  TierUse use = TierUse::both;
  TierAbilities abilities{};
};

class TiersTest : public ::testing::Test {
 protected:
  ~TiersTest() override { tiers_.reset(); }

  void open(const std::vector<Place>& places, TiersOptions options = {}) {
    std::vector<TierSettings> settings;
    for (const Place& place : places)
      settings.push_back({std::make_unique<test::TierDouble>("double " + std::to_string(settings.size()), place.shelf,
                                                             store_.clock, place.abilities),
                          place.use});
    tiers_ = std::make_unique<Tiers>(*store_.cache, std::move(settings), store_.clock, std::move(options));
  }

  std::future<TierAnswer> begin(const EntryName& name, Tiers::ReadClosure closure = {}) {
    const auto answer = std::make_shared<std::promise<TierAnswer>>();
    tiers_->fetch_entry(name, std::move(closure), [answer](TierAnswer said) { answer->set_value(said); });
    return answer->get_future();
  }
  TierAnswer ask(const EntryName& name, Tiers::ReadClosure closure = {}) {
    return begin(name, std::move(closure)).get();
  }
  TierAnswer ask_for(const SizedBlob& blob) {
    std::promise<TierAnswer> answer;
    tiers_->fetch_blob(blob, [&](TierAnswer said) { answer.set_value(said); });
    return answer.get_future().get();
  }
  static bool is_ready(const std::future<TierAnswer>& answer) {
    return answer.wait_for(milliseconds(0)) == std::future_status::ready;
  }
  // Lets time pass in steps until it is answered. How much passed.
  milliseconds let_pass_until(const std::future<TierAnswer>& answer) {
    milliseconds passed{0};
    while (answer.wait_for(milliseconds(30)) != std::future_status::ready) {
      store_.clock.advance(milliseconds(50));
      passed += milliseconds(50);
    }
    return passed;
  }
  template <class Condition>
  static void wait_for(Condition condition) {
    while (!condition()) std::this_thread::sleep_for(milliseconds(1));
  }

  std::optional<std::string> value_of(const EntryName& name) {
    const auto entry = must(EntryStore(*store_.cache).peek(name));
    if (!entry) return std::nullopt;
    return must(store_.cache->blobs().read(entry->value, 1 << 20));
  }
  bool has(std::string_view bytes) { return must(store_.cache->blobs().find(sized(bytes).digest)).has_value(); }
  // As a door does it.
  void put(const EntryName& name, const std::string& value, const std::vector<std::string>& needs = {}) {
    NewEntry entry{.name = name, .value = must(store_.cache->blobs().put(value)).info.digest};
    for (const std::string& bytes : needs) entry.closure.push_back(must(store_.cache->blobs().put(bytes)).info.digest);
    must(EntryStore(*store_.cache).put(entry));
    tiers_->send(entry);
  }
  std::size_t drain(milliseconds time = milliseconds(1'000)) { return tiers_->drain(store_.clock.steady_now() + time); }
  TierStatistics of(std::size_t tier) { return tiers_->statistics().at(tier); }

  OpenStore store_{"native"};
  std::unique_ptr<Tiers> tiers_;
  const std::shared_ptr<Shelf> first_ = std::make_shared<Shelf>(), second_ = std::make_shared<Shelf>();
};

}  // namespace cairn::cache
