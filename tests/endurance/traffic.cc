// SPDX-License-Identifier: Apache-2.0
#include "tests/endurance/traffic.h"

#include <fcntl.h>

#include <cstdlib>

#include "libbase/fs/beneath.h"
#include "libbase/hash/sha256.h"

namespace cairn::test {
namespace {

using base::Result;
using base::Status;
using cache::ImmutableRef;

constexpr int keys = 400;
constexpr std::size_t complaints_max = 20;

KeyDigest key_of(int n) { return base::digest_of<KeyDigest>("endurance key " + std::to_string(n)); }
// A tree under a key says so; every second one has a blob, too.
std::string file_of(int n) { return "file-" + std::to_string(n); }
std::string text_of(int n) { return "what key " + std::to_string(n) + " leads to"; }
bool has_blob(int n) { return n % 2 == 0; }
std::string blob_of(int n) { return text_of(n) + std::string(static_cast<std::size_t>(n % 7) * 15'000, 'b'); }

int any_key(std::mt19937_64& random) { return static_cast<int>(random() % keys); }

}  // namespace

std::chrono::seconds endurance_time() {
  return std::getenv("CAIRN_TEST_FULL") != nullptr ? std::chrono::seconds(600) : std::chrono::seconds(5);
}

void Traffic::start(const Threads& threads, std::uint64_t seed) {
  const auto add = [&](unsigned count, const std::function<void(Random&)>& f) {
    for (unsigned i = 0; i < count; ++i) threads_.emplace_back([this, f, each = seed++] { run(f, each); });
  };
  add(threads.lookups, [this](Random& random) { look_up_one(any_key(random)); });
  add(threads.commits, [this](Random& random) { note("commit", commit(any_key(random), random)); });
  add(threads.prunes, [this](Random&) {
    auto pruned = cache_.prune({.all = true});
    if (pruned) pruned_records_ += pruned->records.size();
    ++prunes_;
    note("prune", pruned ? Status() : Status(tl::unexpected(pruned.error())));
  });
}

void Traffic::stop() {
  stopping_ = true;
  threads_.clear();
  stopping_ = false;
}

void Traffic::run(const std::function<void(Random&)>& f, std::uint64_t seed) {
  Random random(seed);
  while (!stopping_) f(random);
}

void Traffic::look_at_everything() {
  for (int n = 0; n < keys; ++n) look_up_one(n);
}

TrafficCounts Traffic::counts() const {
  return {lookups_, hits_, commits_, leases_, prunes_, pruned_records_};
}

std::vector<std::string> Traffic::complaints() { return *complaints_.lock(); }

void Traffic::note(const std::string& doing, const Status& outcome) {
  if (outcome) return;
  auto complaints = complaints_.lock();
  if (complaints->size() < complaints_max) complaints->push_back(doing + ": " + outcome.error().message);
}

Result<std::optional<ImmutableRef>> Traffic::find(int n) {
  std::optional<ImmutableRef> hit;
  TRY(cache_.keys().read([&](cache::KeyStore::Reader& reader) -> Status {
    for (const cache::KeyResult& result : TRY(reader.results(key_of(n))))
      if (!hit) hit = TRY(cache_.find(result.record));
    return {};
  }));
  ++lookups_;
  if (hit) ++hits_;
  return hit;
}

// I4, I5: from the hit on, everything that it needs is there.
Status Traffic::check_hit(const ImmutableRef& hit, int n) {
  const auto tree = TRY(hit.mount());
  const std::string text = TRY(base::read_beneath(tree.fd(), TRY(base::TreePath::parse(file_of(n))), 1000));
  if (text != text_of(n)) return base::fail(base::ErrorCode::corrupt, "it holds \"{}\"", text);
  if (!has_blob(n)) return {};
  const std::string blob = blob_of(n);
  const std::string read = TRY(cache_.blobs().read(base::digest_of<BlobDigest>(blob), blob.size()));
  if (read != blob) return base::fail(base::ErrorCode::corrupt, "its blob has {} bytes", read.size());
  return {};
}

void Traffic::look_up_one(int n) {
  const auto hit = find(n);
  if (!hit) return note(fmt::format("look up {}", n), Status(tl::unexpected(hit.error())));
  if (*hit) note(fmt::format("hit {} of {}", (*hit)->id(), n), check_hit(**hit, n));
}

Status Traffic::commit(int n, Random& random) {
  std::optional<ImmutableRef> parent;
  if (random() % 3 == 0) parent = TRY(find(any_key(random)));
  cache::Publication publication;
  cache::MutableRef tree = TRY(cache_.create(std::move(parent)));
  {
    const auto mounted = TRY(tree.mount(snapshot::Access::read_write));
    const auto file = TRY(base::open_beneath(mounted.fd(), TRY(base::TreePath::parse(file_of(n))), O_CREAT | O_WRONLY | O_TRUNC, 0644));
    TRY(base::write_full(file.get(), std::string_view(text_of(n))));
  }
  ImmutableRef made = TRY(std::move(tree).commit(publication, {.description = text_of(n)}));
  if (has_blob(n)) publication.add_blob(made, TRY(cache_.blobs().put(blob_of(n))).info.digest);
  publication.add_result(key_of(n), made);
  const auto number = TRY(cache_.publish(std::move(publication)));
  if (random() % 2 == 0) TRY(cache_.writer().wait_durable(number));
  ++commits_;
  return random() % 8 == 0 ? keep_by_a_lease(std::move(made), n) : Status();
}

// Without a hold, while others prune.
Status Traffic::keep_by_a_lease(ImmutableRef ref, int n) {
  const cache::RecordId id = ref.id();
  cache::LeaseRequest request;
  request.owner = "endurance";
  request.records.push_back(std::move(ref));
  const cache::LeaseMade lease = TRY(cache_.create_lease(std::move(request)));
  TRY(cache_.writer().wait_durable(lease.sequence));
  {
    const auto found = TRY(cache_.find(id));
    if (!found) return base::fail(base::ErrorCode::not_found, "record {} is leased and gone", id);
    TRY(check_hit(*found, n));
  }
  TRY(cache_.release_lease(lease.id));
  ++leases_;
  return {};
}

}  // namespace cairn::test
