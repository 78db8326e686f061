// SPDX-License-Identifier: Apache-2.0
#include "libcache/sharded_tier.h"

#include <algorithm>
#include <map>
#include <set>

#include "libbase/read_full.h"
#include "libcache/blobs/piece_source.h"
#include "libcache/tiers/mirrored_blob.h"
#include "libcache/tiers/peer_race.h"
#include "libcache/tiers/rendezvous.h"
#include "libcache/tiers/tee.h"

namespace cairn::cache {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;

namespace {

constexpr std::size_t races_at_once = 32;
constexpr std::uint64_t whole_bytes_max = 1 << 20;  // of a blob that is verified before anybody sees it

Result<std::string> read_verified(base::ByteSource& source, const SizedBlob& blob, std::string_view peer) {
  std::string bytes(static_cast<std::size_t>(blob.size) + 1, '\0');  // one more: there must not be any
  bytes.resize(TRY(base::read_full(source, std::span<char>(bytes))));
  if (bytes.size() != blob.size || base::digest_of<BlobDigest>(bytes) != blob.digest)
    return fail(ErrorCode::corrupt, "{}: it has other bytes of {}", peer, blob.digest);
  return bytes;
}

// What leaves, counted: peers are not to blame for a source of another size.
class CountedSource final : public base::ByteSource {
 public:
  explicit CountedSource(base::ByteSource& source) : source_(source) {}
  Result<std::size_t> read(std::span<std::byte> out) override {
    auto got = source_.read(out);
    if (got) bytes_ += *got;
    has_ended_ = got && *got == 0 && !out.empty();
    return got;
  }
  std::uint64_t bytes() const { return bytes_; }
  bool is_wrong(std::uint64_t size) const { return bytes_ > size || (has_ended_ && bytes_ < size); }

 private:
  base::ByteSource& source_;
  std::uint64_t bytes_ = 0;
  bool has_ended_ = false;
};

// Entries of which a peer had not what a mirror had, until somebody puts them again. Thread-safe.
class MissedEntries {
 public:
  void add(const EntryName& name) {
    auto keys = keys_.lock();
    if (keys->size() < kept) keys->insert(key_of(name));
  }
  bool take(const EntryName& name) { return keys_.lock()->erase(key_of(name)) > 0; }

 private:
  static constexpr std::size_t kept = 4096;
  base::Guarded<std::set<KeyDigest>> keys_;
};

class ShardedTier final : public RemoteTier {
 public:
  ShardedTier(std::vector<TierPeer> peers, const base::Clock& clock, ShardedOptions options)
      : clock_(clock), options_(std::move(options)), watch_(options_.stall_time) {
    abilities_ = peers.front().tier->abilities();
    for (TierPeer& peer : peers) {
      const TierAbilities& its = peer.tier->abilities();
      name_ += (name_.empty() ? "" : ",") + peer.tier->name();
      abilities_.keeps_blobs = abilities_.keeps_blobs && its.keeps_blobs;
      abilities_.packs = abilities_.packs || its.packs;
      abilities_.blob_bytes_max = std::min(abilities_.blob_bytes_max, its.blob_bytes_max);
      abilities_.value_bytes_max = std::min(abilities_.value_bytes_max, its.value_bytes_max);
      places_.push_back(rendezvous(peer.tier->name(), peer.weight));
      peers_.push_back(std::make_unique<Peer>(std::move(peer.tier), options_.rests));
    }
  }

  const std::string& name() const override { return name_; }
  const TierAbilities& abilities() const override { return abilities_; }

  Result<std::vector<bool>> has_blobs(std::span<const SizedBlob> blobs, const TierCall& call) override {
    TRY(expect_time(call));
    // Of each peer, which blobs belong there.
    std::vector<std::vector<std::size_t>> of_peer(peers_.size());
    for (std::size_t i = 0; i < blobs.size(); ++i)
      for (const std::size_t peer : mirrors_of(key_for(blobs[i], call))) of_peer[peer].push_back(i);
    std::vector<bool> there(blobs.size(), true), was_asked(blobs.size(), false);
    std::optional<base::Error> error;
    for (std::size_t peer = 0; peer < peers_.size(); ++peer) {
      if (of_peer[peer].empty()) continue;
      std::vector<SizedBlob> wanted;
      for (const std::size_t i : of_peer[peer]) wanted.push_back(blobs[i]);
      const auto said = ask(*peers_[peer], [&](RemoteTier& tier) -> Result<std::vector<bool>> {
        auto each = TRY(tier.has_blobs(wanted, call));
        if (each.size() != wanted.size()) return fail(ErrorCode::io, "{}: it answers of other blobs", tier.name());
        return each;
      });
      if (!said) error = said.error();
      for (std::size_t i = 0; said && i < wanted.size(); ++i) {
        const std::size_t blob = of_peer[peer][i];
        was_asked[blob] = true;
        there[blob] = there[blob] && (*said)[i];
      }
    }
    // Of a peer that could not be asked nothing is known; the others have it or get it.
    if (std::find(was_asked.begin(), was_asked.end(), false) == was_asked.end()) return there;
    return tl::unexpected(error ? std::move(*error) : all_rest());
  }

  Result<std::unique_ptr<base::ByteSource>> open_blob(const SizedBlob& blob, const TierCall& call) override {
    const bool is_where = options_.by == ShardBy::digest || call.entry;  // else it may be with any entry
    std::vector<Peer*> order = order_of(key_for(blob, call));
    std::stable_partition(order.begin(), order.end(), [&](Peer* peer) { return !wrong_.has(*peer, blob.digest); });
    const std::size_t enough = is_where ? options_.mirrors : peers_.size();
    auto [found, without_it] = TRY(PeerRace<OpenedBlob>::run(
        order, {enough, options_.hedge_time, hedges_, name_}, call, races_, clock_,
        [blob](Peer& peer, const std::shared_ptr<Attempt>& attempt) { return open_at(peer, attempt, blob); }));
    if (!found) return nullptr;
    if (is_where && call.entry) note_missed(without_it, key_for(blob, call), *call.entry);
    if (blob.size <= whole_bytes_max) return std::move(found->bytes);
    std::erase(order, found->peer);
    return std::make_unique<MirroredBlob>(blob, call, std::move(*found), std::move(order), clock_, wrong_, watch_);
  }

  Status put_blob(const SizedBlob& blob, base::ByteSource& bytes, const TierCall& call) override {
    TRY(expect_time(call));
    CountedSource source(bytes);
    struct Put {
      Peer* peer = nullptr;
      std::unique_ptr<Attempt> attempt;
      Status outcome;
    };
    std::vector<Put> puts;
    for (const std::size_t each : mirrors_of(key_for(blob, call)))
      if (peers_[each]->begin(clock_.steady_now()))
        puts.push_back({peers_[each].get(), std::make_unique<Attempt>(call), Status()});
    if (puts.empty()) return tl::unexpected(all_rest());
    std::vector<TeeReader> readers;
    for (Put& put : puts)
      readers.push_back({[&put, &blob](base::ByteSource& its) {
                           CountedSource counted(its);
                           put.outcome = put.peer->tier->put_blob(blob, counted, put.attempt->call);
                           put.peer->bytes_out += counted.bytes();
                         },
                         [&put] { put.attempt->own.request_stop(); }});
    Status read;
    if (puts.size() == 1)
      readers.front().read(source);
    else
      read = tee(source, readers, options_.stall_time);
    const bool is_ours = !read || source.is_wrong(blob.size);
    Status outcome = puts.front().outcome;
    for (Put& put : puts) {
      if (put.outcome)
        put.peer->breaker.succeeded();
      else if (is_ours)
        put.peer->breaker.abandoned();
      else
        put.peer->note(blame(put.outcome.error(), call), clock_.steady_now());
      if (put.outcome) outcome = Status();
    }
    return read ? outcome : read;
  }

  Result<std::optional<TierEntry>> find_entry(const EntryName& entry, const TierCall& call) override {
    const std::string key(key_of(entry).raw());
    const auto find_at = [entry](Peer& peer, const std::shared_ptr<Attempt>& attempt) {
      auto found = peer.tier->find_entry(entry, attempt->call);
      if (found && *found) peer.bytes_in += (*found)->value.size();
      return found;
    };
    auto [found, without_it] = TRY(PeerRace<TierEntry>::run(
        order_of(key), {options_.mirrors, options_.hedge_time, hedges_, name_}, call, races_, clock_, find_at));
    if (found) note_missed(without_it, key, entry);
    return std::move(found);
  }

  Status put_entry(const EntryName& entry, const TierEntry& what, const TierCall& call) override {
    TRY(expect_time(call));
    if (options_.by == ShardBy::digest) TRY(flush(call));  // its blobs are in other peers
    Status outcome = tl::unexpected(all_rest());
    bool is_put = false;
    for (const std::size_t each : mirrors_of(key_of(entry).raw())) {
      Status put = ask(*peers_[each], [&](RemoteTier& tier) { return tier.put_entry(entry, what, call); });
      if (put) peers_[each]->bytes_out += what.value.size();
      is_put = is_put || put;
      outcome = std::move(put);
    }
    return is_put ? Status() : outcome;
  }

  Status flush(const TierCall& call) override {
    Status outcome;
    for (const auto& peer : peers_) {
      Status flushed = peer->tier->flush(call);
      if (!flushed) outcome = std::move(flushed);
    }
    return outcome;
  }

  Status read_ahead(std::span<const SizedBlob> blobs, const TierCall& call) override {
    if (options_.by == ShardBy::entry && !call.entry) return {};  // nobody knows where they are
    // Of each peer, those that it is going to be asked for first.
    std::map<std::size_t, std::vector<SizedBlob>> of_peer;
    for (const SizedBlob& blob : blobs)
      if (const auto mirrors = mirrors_of(key_for(blob, call)); !mirrors.empty())
        of_peer[mirrors.front()].push_back(blob);
    Status outcome;
    for (const auto& [index, its] : of_peer) {
      Peer& peer = *peers_[index];
      if (!peer.tier->abilities().packs || !peer.begin(clock_.steady_now())) continue;
      Status read = peer.tier->read_ahead(its, call);
      if (read)
        peer.breaker.abandoned();  // maybe there was nothing to ask for
      else
        peer.note(read.error(), clock_.steady_now());
      if (!read) outcome = std::move(read);
    }
    return outcome;
  }

  TierPacking packing() const override {
    TierPacking sum;
    for (const auto& peer : peers_) {
      const TierPacking its = peer->tier->packing();
      sum.packs_out += its.packs_out;
      sum.pack_bytes_out += its.pack_bytes_out;
      sum.objects_known += its.objects_known;
      sum.lookups_spared += its.lookups_spared;
      sum.puts_spared += its.puts_spared;
    }
    return sum;
  }

  std::vector<TierPeerStatistics> peers() const override {
    std::vector<TierPeerStatistics> all;
    for (const auto& peer : peers_) all.push_back(peer->statistics(clock_.steady_now()));
    return all;
  }

  bool take_missed(const EntryName& entry) override { return missed_.take(entry); }

 private:
  std::string key_for(const SizedBlob& blob, const TierCall& call) const {
    return std::string(options_.by == ShardBy::entry && call.entry ? key_of(*call.entry).raw() : blob.digest.raw());
  }
  std::vector<Peer*> order_of(std::string_view digest) const {
    std::vector<Peer*> order;
    for (const std::size_t each : ranked(places_, digest)) order.push_back(peers_[each].get());
    return order;
  }
  // As many as there are to be, of those that do not rest.
  std::vector<std::size_t> mirrors_of(std::string_view digest) const {
    std::vector<std::size_t> mirrors;
    for (const std::size_t each : ranked(places_, digest)) {
      if (mirrors.size() == options_.mirrors) break;
      if (peers_[each]->breaker.state(clock_.steady_now()) != BreakerState::open) mirrors.push_back(each);
    }
    return mirrors;
  }

  // Those said no of what a mirror had. What only stands in for one that rests need not have it.
  void note_missed(const std::vector<Peer*>& without_it, std::string_view digest, const EntryName& entry) {
    if (without_it.empty()) return;
    bool should_have = false;
    for (const std::size_t each : mirrors_of(digest)) {
      Peer* const peer = peers_[each].get();
      if (std::find(without_it.begin(), without_it.end(), peer) == without_it.end()) continue;
      ++peer->missed;
      should_have = true;
    }
    if (should_have) missed_.add(entry);
  }

  template <class Call>
  auto ask(Peer& peer, Call call) -> decltype(call(*peer.tier)) {
    if (!peer.begin(clock_.steady_now())) return fail(ErrorCode::busy, "{}: it rests", peer.tier->name());
    auto answer = call(*peer.tier);
    if (answer)
      peer.breaker.succeeded();
    else
      peer.note(answer.error(), clock_.steady_now());
    return answer;
  }

  static Result<std::optional<OpenedBlob>> open_at(Peer& peer, const std::shared_ptr<Attempt>& attempt,
                                                   const SizedBlob& blob) {
    auto bytes = TRY(peer.tier->open_blob(blob, attempt->call));
    if (bytes == nullptr) return std::nullopt;
    if (blob.size <= whole_bytes_max) {
      bytes = std::make_unique<MemorySource>(TRY(read_verified(*bytes, blob, peer.tier->name())), 0);
      peer.bytes_in += blob.size;
    }
    return OpenedBlob{&peer, attempt, std::move(bytes)};
  }

  // A put that was ended because it took nothing any more.
  static base::Error blame(base::Error error, const TierCall& call) {
    if (error.code == ErrorCode::cancelled && !call.stop.stop_requested()) error.code = ErrorCode::io;
    return error;
  }
  base::Error all_rest() const { return fail(ErrorCode::busy, "{}: all of them rest", name_).value(); }
  Status expect_time(const TierCall& call) const {
    if (call.stop.stop_requested()) return fail(ErrorCode::cancelled, "{}: nobody waits for it any more", name_);
    if (clock_.steady_now() < call.deadline) return {};
    return fail(ErrorCode::io, "{}: not done in the time that there was", name_);
  }

  const base::Clock& clock_;
  const ShardedOptions options_;
  std::string name_;
  TierAbilities abilities_;
  std::vector<Rendezvous> places_;
  std::vector<std::unique_ptr<Peer>> peers_;
  WrongBlobs wrong_;
  MissedEntries missed_;
  HedgeBudget hedges_{options_.rests.hedge_share, options_.rests.hedges_at_once};
  StallWatch watch_;
  base::ThreadPool races_{{.threads = races_at_once}};  // last: its tasks use the rest
};

}  // namespace

Result<std::unique_ptr<RemoteTier>> make_sharded_tier(std::vector<TierPeer> peers, const base::Clock& clock,
                                                      ShardedOptions options) {
  const auto wrong = [](std::string_view what) {
    return fail(ErrorCode::invalid_argument, "peers of a tier: {}", what);
  };
  if (peers.empty()) return wrong("there are none");
  if (options.mirrors < 1 || options.mirrors > peers.size()) return wrong("as many mirrors as peers are the most");
  std::set<std::string> names;
  for (const TierPeer& peer : peers) {
    if (!names.insert(peer.tier->name()).second) return wrong(peer.tier->name() + " is there twice");
    if (!(peer.weight > 0) || peer.weight > 1e6) return wrong("a weight is more than 0, and at most a million");
    if (peer.tier->abilities().only_door != peers.front().tier->abilities().only_door)
      return wrong("they are for different doors");
  }
  return std::make_unique<ShardedTier>(std::move(peers), clock, std::move(options));
}

}  // namespace cairn::cache
