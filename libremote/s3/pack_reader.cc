// SPDX-License-Identifier: Apache-2.0
#include "libremote/s3/pack_reader.h"

#include <algorithm>
#include <tuple>

#include "libbase/do_each.h"
#include "libbase/hash/sha256.h"
#include "libremote/bodies/bodies.h"

namespace cairn::remote {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;
using cache::FetchAnswer;
using cache::TierCall;

namespace {

constexpr std::string_view packs_begin = "packs/";
constexpr int no_such_range = 416;
constexpr unsigned listed_at_once = 1'000;
// A server takes requests of whose clock is wrong by a quarter of an hour, and a pack may take a while to arrive: so
// far back those are looked for that were not there the last time.
constexpr std::uint64_t late_ms = 20 * 60 * 1'000;
constexpr std::chrono::seconds singles_time{60};
// Of what lies between two blobs it is cheaper to read so much than to ask twice.
constexpr std::uint64_t gap_bytes_max = 32 << 10;
constexpr std::uint64_t run_bytes_max = 8 << 20;

}  // namespace

std::string object_of(const PackName& name) { return std::string(packs_begin) + name.str(); }

Result<Turn::Held> PackReader::take_turn(const TierCall& call) {
  auto turn = turn_.take(call, clock_);
  if (turn == nullptr) return fail(ErrorCode::io, "{}: what it has was not found out in time", client_.name());
  return turn;
}

Status PackReader::refresh(const TierCall& call, std::chrono::milliseconds age_max) {
  const auto is_due = [&] {
    auto known = known_.lock();
    return !known->refreshed || known->is_behind || clock_.steady_now() - *known->refreshed >= age_max;
  };
  if (!is_due()) return {};
  const auto turn = TRY(take_turn(call));
  if (!is_due()) return {};  // somebody else has done it
  const Time began = clock_.steady_now();
  const Time until = began + (call.deadline - began) / 2;
  TRY(list(call, until));
  Status read = read_indexes(call, until);
  auto known = known_.lock();
  known->is_behind = listed_.going_on_after.has_value() || !listed_.unread.empty();
  known->refreshed = began;
  return read;
}

Status PackReader::list(const TierCall& call, Time until) {
  Listed& at = listed_;
  if (!at.going_on_after) {
    at.began = clock_.steady_now();
    at.began_ms = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(clock_.now().time_since_epoch()).count());
    at.is_full = !at.last_full || at.began - *at.last_full >= options_.relist_time;
    const std::uint64_t from = at.last_ms - std::min(at.last_ms, late_ms);
    at.going_on_after = at.is_full ? "" : std::string(packs_begin) + before_packs_of(from);
  }
  for (bool goes_on = true; goes_on;) {
    const Listing page = TRY(client_.list(std::string(packs_begin), *at.going_on_after, listed_at_once, call));
    for (const std::string& key : page.keys) {
      const auto name = PackName::parse(std::string_view(key).substr(packs_begin.size()));
      if (name && index_.saw(*name, clock_.steady_now())) at.unread.push_back(*name);
    }
    goes_on = page.goes_on;
    if (!goes_on) break;
    const std::string last = page.keys.empty() ? "" : *std::max_element(page.keys.begin(), page.keys.end());
    if (last <= *at.going_on_after) return fail(ErrorCode::corrupt, "{}: a listing without an end", client_.name());
    at.going_on_after = last;
    if (clock_.steady_now() >= until) return {};
  }
  if (at.is_full) {
    index_.forget_unseen(at.began);
    at.last_full = at.began;
  }
  at.last_ms = at.began_ms;
  at.going_on_after.reset();
  return {};
}

// The newest first: they are asked for most, and when there is no room for all, it is theirs.
Status PackReader::read_indexes(const TierCall& call, Time until) {
  std::vector<PackName>& unread = listed_.unread;
  std::sort(unread.begin(), unread.end());
  unread.erase(std::unique(unread.begin(), unread.end()), unread.end());
  Status outcome;
  while (!unread.empty() && clock_.steady_now() < until) {
    const std::size_t count = std::min(unread.size(), options_.at_once);
    const std::vector<PackName> some(unread.end() - static_cast<std::ptrdiff_t>(count), unread.end());
    base::Guarded<Status> corrupt;
    TRY(base::do_each(count, count, [&](std::size_t i) -> Status {
      Status read = index_.saw(some[i], clock_.steady_now()) ? read_index(some[i], call) : Status();
      if (read || read.error().code != ErrorCode::corrupt) return read;
      index_.condemn(some[i]);
      *corrupt.lock() = std::move(read);
      return {};
    }));
    unread.resize(unread.size() - count);
    if (outcome) outcome = *corrupt.lock();
  }
  return outcome;
}

Status PackReader::read_index(const PackName& name, const TierCall& call) {
  if (name.index_bytes == 0 || name.index_bytes > pack_index_bytes_max)
    return fail(ErrorCode::corrupt, "{}: pack {} has an index of {} bytes", client_.name(), name.str(),
                name.index_bytes);
  FetchAnswer answer = TRY(client_.get_range(object_of(name), 0, name.index_bytes, call));
  const bool is_empty = answer.status == no_such_range;
  if (!is_empty && TRY(client_.is_absent(answer, "read the index of a pack"))) return {};
  const std::string bytes = is_empty ? read_small(answer) : TRY(bounded_body(answer, name.index_bytes, client_.name()));
  if (is_empty || base::sha256(bytes) != name.index_sha256)
    return fail(ErrorCode::corrupt, "{}: pack {} does not have its index", client_.name(), name.str());
  index_.add(name, TRY(decode_pack_index(bytes), "{}: pack {}", client_.name(), name.str()), clock_.steady_now());
  return {};
}

Result<bool> PackReader::has_single_entries(const TierCall& call) {
  const auto known_answer = [&]() -> std::optional<bool> {
    auto known = known_.lock();
    const bool is_known = known->asked_for_singles && clock_.steady_now() - *known->asked_for_singles < singles_time;
    return is_known ? std::optional(known->has_singles) : std::nullopt;
  };
  if (const auto answer = known_answer()) return *answer;
  const auto turn = TRY(take_turn(call));
  if (const auto answer = known_answer()) return *answer;
  const Listing listing = TRY(client_.list("entries/", "", 1, call));
  auto known = known_.lock();
  known->asked_for_singles = clock_.steady_now();
  known->has_singles = !listing.keys.empty();
  return known->has_singles;
}

// Not where only an entry says that something is there: it may be the entry that lies.
tl::unexpected<base::Error> PackReader::lies(const PackPlace& place, std::string_view what) {
  if (!place.is_claimed) index_.condemn(place.pack);
  return fail(ErrorCode::corrupt, "{}: pack {} {}", client_.name(), place.pack.str(), what);
}

Result<std::optional<std::string>> PackReader::read(const PackPlace& place, const TierCall& call) {
  if (place.size == 0) return std::string();
  FetchAnswer answer =
      TRY(client_.get_range(object_of(place.pack), place.pack.index_bytes + place.offset, place.size, call));
  if (answer.status == no_such_range) {
    read_small(answer);
    return lies(place, "is shorter than it should be");
  }
  if (TRY(client_.is_absent(answer, "read from a pack"))) {
    index_.forget(place.pack);
    return std::nullopt;
  }
  std::string bytes = TRY(bounded_body(answer, static_cast<std::size_t>(place.size), client_.name()));
  if (bytes.size() != place.size) return lies(place, "ends too early");
  return bytes;
}

Result<std::optional<std::string>> PackReader::read_blob(const BlobDigest& digest, const PackPlace& place,
                                                         const TierCall& call) {
  auto bytes = TRY(read(place, call));
  if (!bytes || base::digest_of<BlobDigest>(*bytes) == digest) return bytes;
  return lies(place, fmt::format("has other bytes for blob {}", digest));
}

Status PackReader::read_ahead(std::vector<std::pair<BlobDigest, PackPlace>> wanted, const TierCall& call) {
  const auto in_order = [](const auto& a, const auto& b) {
    return std::tie(a.second.pack, a.second.offset) < std::tie(b.second.pack, b.second.offset);
  };
  std::sort(wanted.begin(), wanted.end(), in_order);
  std::vector<Run> runs;
  for (auto& [digest, place] : wanted) {
    Run* last = runs.empty() ? nullptr : &runs.back();
    const auto end = [&] { return last->place.offset + last->place.size; };
    const bool is_near = last != nullptr && last->place.pack == place.pack && place.offset <= end() + gap_bytes_max &&
                         place.offset + place.size <= last->place.offset + run_bytes_max;
    if (!is_near) last = &runs.emplace_back(Run{place, {}});
    last->place.is_claimed = last->place.is_claimed || place.is_claimed;
    last->place.size = std::max(end(), place.offset + place.size) - last->place.offset;
    last->blobs.emplace_back(digest, place);
  }
  // One alone is read by whoever opens it.
  std::erase_if(runs, [](const Run& run) { return run.blobs.size() < 2; });
  return base::do_each(runs.size(), options_.at_once, [&](std::size_t i) { return read_run(runs[i], call); });
}

Status PackReader::read_run(const Run& run, const TierCall& call) {
  const auto bytes = TRY(read(run.place, call));
  if (!bytes) return {};
  for (const auto& [digest, place] : run.blobs) {
    std::string blob =
        bytes->substr(static_cast<std::size_t>(place.offset - run.place.offset), static_cast<std::size_t>(place.size));
    if (base::digest_of<BlobDigest>(blob) != digest)
      return lies(place, fmt::format("has other bytes for blob {}", digest));
    kept_.lock()->add(digest, std::move(blob), options_.kept_bytes_max);
  }
  return {};
}

std::optional<std::string> PackReader::kept(const BlobDigest& digest) { return kept_.lock()->take(digest); }

void PackReader::Kept::add(const BlobDigest& digest, std::string blob, std::size_t bytes_max) {
  take(digest);
  bytes += blob.size();
  in_order.emplace_back(digest, std::move(blob));
  blobs[digest] = std::prev(in_order.end());
  while (bytes > bytes_max) take(BlobDigest(in_order.front().first));
}

std::optional<std::string> PackReader::Kept::take(const BlobDigest& digest) {
  const auto found = blobs.find(digest);
  if (found == blobs.end()) return std::nullopt;
  std::string blob = std::move(found->second->second);
  in_order.erase(found->second);
  blobs.erase(found);
  bytes -= blob.size();
  return blob;
}

}  // namespace cairn::remote
