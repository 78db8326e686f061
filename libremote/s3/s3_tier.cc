// SPDX-License-Identifier: Apache-2.0
#include "libremote/s3_tier.h"

#include <stdlib.h>

#include <atomic>
#include <unordered_map>

#include "libbase/hash/sha256.h"
#include "libremote/bodies/bodies.h"
#include "libremote/entries/tier_entry.h"
#include "libremote/s3/pack_reader.h"
#include "libremote/s3/pack_writer.h"
#include "libremote/s3/s3_client.h"

namespace cairn::remote {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;
using cache::EntryName;
using cache::FetchAnswer;
using cache::SizedBlob;
using cache::TierCall;
using cache::TierEntry;

namespace {

constexpr std::uint64_t object_bytes_max = std::uint64_t{5} << 30;  // of one PUT
constexpr std::uint64_t looked_for_above = 1 << 20;  // bytes: sending fewer takes no longer than asking
constexpr int refreshes_until_again = 12;

// It is always there.
bool is_empty(const SizedBlob& blob) {
  static const auto digest = base::digest_of<BlobDigest>("");
  return blob.size == 0 && blob.digest == digest;
}

template <class Meaning>
std::string object_of(std::string_view kind, const base::Digest<Meaning>& digest) {
  const std::string hex = digest.hex();
  return fmt::format("{}/sha256/{}/{}", kind, hex.substr(0, 2), hex);
}

std::string variable(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (const char* value = ::getenv(name); value != nullptr && *value != '\0') return value;
  }
  return {};
}

// An entry that was found says where its blobs are: kept until they are asked for, or others come in between.
class ClaimedPlaces {
 public:
  void add(const BlobDigest& digest, const PackPlace& place) {
    if (newer_.size() == generation_max) older_ = std::exchange(newer_, {});
    newer_[digest] = place;
  }
  std::optional<PackPlace> find(const BlobDigest& digest) const {
    for (const auto* places : {&newer_, &older_})
      if (const auto found = places->find(digest); found != places->end()) return found->second;
    return std::nullopt;
  }

 private:
  static constexpr std::size_t generation_max = 16'384;
  std::unordered_map<BlobDigest, PackPlace> newer_, older_;
};

class S3Tier final : public cache::RemoteTier {
 public:
  S3Tier(S3Client client, const base::Clock& clock, const S3Options& options)
      : client_(std::move(client)),
        clock_(clock),
        options_(options),
        index_(options.known_objects_max),
        reader_(client_, clock, index_,
                {.refresh_time = options.refresh_time,
                 .relist_time = options.relist_time,
                 .at_once = options.lookups_at_once}),
        writer_(clock, options.pack_bytes) {
    abilities_.blob_bytes_max = object_bytes_max;
    abilities_.packs = options.pack_below > 0;
  }

  const std::string& name() const override { return client_.name(); }
  const cache::TierAbilities& abilities() const override { return abilities_; }

  Result<std::vector<bool>> has_blobs(std::span<const SizedBlob> blobs, const TierCall& call) override;
  Result<std::unique_ptr<base::ByteSource>> open_blob(const SizedBlob& blob, const TierCall& call) override;
  Status put_blob(const SizedBlob& blob, base::ByteSource& bytes, const TierCall& call) override;
  Result<std::optional<TierEntry>> find_entry(const EntryName& entry_name, const TierCall& call) override;
  Status put_entry(const EntryName& entry_name, const TierEntry& entry, const TierCall& call) override;
  Status read_ahead(std::span<const SizedBlob> blobs, const TierCall& call) override;
  Status flush(const TierCall& call) override;
  cache::TierPacking packing() const override;

 private:
  bool is_packed(const SizedBlob& blob) const { return blob.size < options_.pack_below; }
  Status check_time(const TierCall& call) const;
  // In the bucket, and going to stay there for a while.
  std::optional<PackPlace> proven_place(const SizedBlob& blob);
  std::optional<PackPlace> place_of(const SizedBlob& blob);
  Result<bool> has_blob(const SizedBlob& blob, const TierCall& call);
  Result<std::optional<TierEntry>> read_packed_entry(const KeyDigest& key, const PackPlace& place,
                                                     const TierCall& call);
  Result<bool> may_be_alone(const SizedBlob& blob, const TierCall& call);
  Status put_alone(const SizedBlob& blob, base::ByteSource& bytes, const TierCall& call);
  Status put_in_pack(const KeyDigest& key, const TierEntry& entry, const std::string& bytes, const TierCall& call);
  Status make_room(std::size_t bytes, const TierCall& call);
  Status put_answer(FetchAnswer& answer, S3Client::Condition condition, std::string_view request) const;
  Result<S3Client::Condition> learn_condition(const TierCall& call);

  enum class Knows { unasked, yes, no };
  static S3Client::Condition condition_of(Knows known) {
    return known == Knows::yes ? S3Client::Condition::if_absent : S3Client::Condition::none;
  }

  S3Client client_;
  const base::Clock& clock_;
  const S3Options options_;
  cache::TierAbilities abilities_;
  std::atomic<Knows> knows_{Knows::unasked};
  mutable BucketIndex index_;
  PackReader reader_;
  PackWriter writer_;
  Turn send_turn_;
  base::Guarded<ClaimedPlaces> claimed_;
  std::atomic<std::uint64_t> packs_out_{0}, pack_bytes_out_{0}, lookups_spared_{0}, puts_spared_{0};
};

Status S3Tier::check_time(const TierCall& call) const {
  if (call.stop.stop_requested()) return fail(ErrorCode::cancelled, "{}: nobody waits for it", name());
  if (clock_.steady_now() >= call.deadline) return fail(ErrorCode::io, "{}: not done in the time that there was", name());
  return {};
}

std::optional<PackPlace> S3Tier::proven_place(const SizedBlob& blob) {
  const auto place = index_.blob(blob.digest);
  if (!place || place->size != blob.size) return std::nullopt;
  const auto written = base::WallTime(std::chrono::milliseconds(place->pack.time_ms));
  return clock_.now() - written < options_.renew_time ? place : std::nullopt;
}

std::optional<PackPlace> S3Tier::place_of(const SizedBlob& blob) {
  auto place = index_.blob(blob.digest);
  if (!place) place = claimed_.lock()->find(blob.digest);
  return place && place->size == blob.size ? place : std::nullopt;
}

Result<bool> S3Tier::has_blob(const SizedBlob& blob, const TierCall& call) {
  if (is_empty(blob) || writer_.has_blob(blob.digest) || proven_place(blob)) return ++puts_spared_, true;
  // To pack it again costs less than to ask for it; so does to put it, for a server that knows the condition.
  if (is_packed(blob) || (abilities_.packs && blob.size <= looked_for_above && knows_ == Knows::yes))
    return ++lookups_spared_, false;
  FetchAnswer answer = TRY(client_.get(S3Client::Method::head, object_of("blobs", blob.digest), call));
  if (TRY(client_.is_absent(answer, "look for a blob"))) return false;
  read_small(answer);
  const bool is_there = !answer.size || *answer.size == blob.size;
  if (is_there && abilities_.packs) writer_.add_loose(blob);
  return is_there;
}

Result<std::vector<bool>> S3Tier::has_blobs(std::span<const SizedBlob> blobs, const TierCall& call) {
  TRY(check_time(call));
  if (blobs.empty()) return std::vector<bool>();
  TRY(reader_.refresh(call));
  return ask_of_each(blobs, options_.lookups_at_once,
                     [&](const SizedBlob& blob) -> Result<bool> { return has_blob(blob, call); });
}

Result<bool> S3Tier::may_be_alone(const SizedBlob& blob, const TierCall& call) {
  if (!is_packed(blob) || TRY(reader_.has_single_entries(call))) return true;
  ++lookups_spared_;
  return false;
}

Result<std::unique_ptr<base::ByteSource>> S3Tier::open_blob(const SizedBlob& blob, const TierCall& call) {
  TRY(check_time(call));
  if (is_empty(blob)) return std::make_unique<StringBody>("");
  if (auto kept = reader_.kept(blob.digest); kept && kept->size() == blob.size)
    return std::make_unique<StringBody>(std::move(*kept));
  auto place = place_of(blob);
  if (!place && is_packed(blob)) {
    TRY(reader_.refresh(call));
    place = place_of(blob);
  }
  if (place && !place->is_loose) {
    if (auto bytes = TRY(reader_.read_blob(blob.digest, *place, call)))
      return std::make_unique<StringBody>(std::move(*bytes));
    place.reset();
  }
  if (!place && !TRY(may_be_alone(blob, call))) return nullptr;
  FetchAnswer answer = TRY(client_.get(S3Client::Method::get, object_of("blobs", blob.digest), call));
  if (TRY(client_.is_absent(answer, "read a blob"))) return nullptr;
  return blob_body(std::move(answer), blob, name());
}

Status S3Tier::read_ahead(std::span<const SizedBlob> blobs, const TierCall& call) {
  std::vector<std::pair<BlobDigest, PackPlace>> wanted;
  for (const SizedBlob& blob : blobs)
    if (const auto place = place_of(blob); place && !place->is_loose && blob.size > 0)
      wanted.emplace_back(blob.digest, *place);
  return reader_.read_ahead(std::move(wanted), call);
}

Status S3Tier::put_alone(const SizedBlob& blob, base::ByteSource& bytes, const TierCall& call) {
  const auto condition = TRY(learn_condition(call));
  FetchAnswer answer =
      TRY(client_.put(object_of("blobs", blob.digest), {bytes, blob.size, blob.digest.hex()}, condition, call));
  return put_answer(answer, condition, "put a blob");
}

Status S3Tier::put_blob(const SizedBlob& blob, base::ByteSource& bytes, const TierCall& call) {
  TRY(check_fits(*this, blob));
  TRY(check_time(call));
  if (!is_packed(blob)) {
    TRY(put_alone(blob, bytes, call));
    if (abilities_.packs) writer_.add_loose(blob);
    return {};
  }
  const std::string text = TRY(read_sized(bytes, static_cast<std::size_t>(blob.size)), "{}", name());
  if (base::digest_of<BlobDigest>(text) != blob.digest)
    return fail(ErrorCode::corrupt, "{}: what is to be put is not blob {}", name(), blob.digest);
  TRY(make_room(text.size(), call));
  writer_.add_blob(blob.digest, text);
  return {};
}

Result<std::optional<TierEntry>> S3Tier::read_packed_entry(const KeyDigest& key, const PackPlace& place,
                                                           const TierCall& call) {
  const auto bytes = TRY(reader_.read(place, call));
  if (!bytes) return std::nullopt;
  auto placed = decode_placed_entry(*bytes);
  auto entry = placed ? decode_tier_entry(key, placed->entry) : tl::unexpected(placed.error());
  if (!entry) {
    index_.condemn(place.pack);
    return tl::unexpected(base::add_context(std::move(entry).error(), name()));
  }
  if (!entry->closure || placed->places.size() != entry->closure->size()) return std::move(*entry);
  auto claimed = claimed_.lock();
  for (std::size_t i = 0; i < placed->places.size(); ++i) {
    const PlacedEntry::Place& at = placed->places[i];
    const SizedBlob& blob = (*entry->closure)[i];
    if (at.pack == 0) continue;
    const PackName& pack = at.pack == 1 ? place.pack : placed->packs[at.pack - 2];
    claimed->add(blob.digest, {pack, at.offset, blob.size, false, true});
  }
  return std::move(*entry);
}

Result<std::optional<TierEntry>> S3Tier::find_entry(const EntryName& entry_name, const TierCall& call) {
  TRY(check_time(call));
  const KeyDigest key = key_of(entry_name);
  auto place = index_.entry(key);
  // What was put again is seen later than what is new.
  TRY(reader_.refresh(call, place ? options_.refresh_time * refreshes_until_again : options_.refresh_time));
  place = index_.entry(key);
  if (place)
    if (auto entry = TRY(read_packed_entry(key, *place, call))) return entry;
  if (!TRY(reader_.has_single_entries(call))) return ++lookups_spared_, std::nullopt;
  FetchAnswer answer = TRY(client_.get(S3Client::Method::get, object_of("entries", key), call));
  if (TRY(client_.is_absent(answer, "read an entry"))) return std::nullopt;
  const std::string bytes = TRY(bounded_body(answer, tier_entry_bytes_max, name()));
  return TRY(decode_tier_entry(key, bytes), "{}", name());
}

Status S3Tier::put_entry(const EntryName& entry_name, const TierEntry& entry, const TierCall& call) {
  TRY(check_fits(*this, entry));
  TRY(check_time(call));
  const KeyDigest key = key_of(entry_name);
  const std::string bytes = TRY(encode_tier_entry(key, entry), "{}", name());
  if (abilities_.packs) return put_in_pack(key, entry, bytes, call);
  FetchAnswer answer = TRY(client_.put(object_of("entries", key), bytes, S3Client::Condition::none, call));
  return put_answer(answer, S3Client::Condition::none, "put an entry");
}

Status S3Tier::put_in_pack(const KeyDigest& key, const TierEntry& entry, const std::string& bytes,
                           const TierCall& call) {
  TRY(make_room(bytes.size(), call));
  const auto closure = entry.closure ? std::span<const SizedBlob>(*entry.closure) : std::span<const SizedBlob>();
  std::vector<std::optional<PackPlace>> known;
  for (const SizedBlob& blob : closure) {
    // In this order: a pack is in the index before it leaves the writer.
    const bool is_taken = writer_.has_blob(blob.digest);
    known.push_back(index_.blob(blob.digest));
    if (is_packed(blob) && !is_empty(blob) && !is_taken && !known.back())
      return fail(ErrorCode::io, "{}: blob {} of entry {} is not there any more", name(), blob.digest, key);
  }
  writer_.add_entry(key, bytes, closure, known);
  return {};
}

Status S3Tier::make_room(std::size_t bytes, const TierCall& call) {
  return writer_.is_full_with(bytes) ? flush(call) : Status();
}

Status S3Tier::flush(const TierCall& call) {
  writer_.close();
  if (writer_.first_closed() == nullptr) return {};
  const auto turn = send_turn_.take(call, clock_);
  if (turn == nullptr) return fail(ErrorCode::io, "{}: a pack was not sent in time", name());
  while (const auto pack = writer_.first_closed()) {
    const auto condition = TRY(learn_condition(call));
    FetchAnswer answer = TRY(client_.put(remote::object_of(pack->name), pack->bytes, condition, call));
    TRY(put_answer(answer, condition, "put a pack"));
    index_.add(pack->name, pack->items, clock_.steady_now());
    writer_.sent(pack->name);
    ++packs_out_;
    pack_bytes_out_ += pack->bytes.size();
  }
  return {};
}

cache::TierPacking S3Tier::packing() const {
  return {.packs_out = packs_out_,
          .pack_bytes_out = pack_bytes_out_,
          .objects_known = index_.size(),
          .lookups_spared = lookups_spared_,
          .puts_spared = puts_spared_};
}

// A body is read once, so whether the server knows the condition has to be known before.
Result<S3Client::Condition> S3Tier::learn_condition(const TierCall& call) {
  if (const Knows known = knows_; known != Knows::unasked) return condition_of(known);
  FetchAnswer answer = TRY(client_.put("cairn", "a cache of cairn, layout 1\n", S3Client::Condition::if_absent, call));
  if (answer.status == 501) {
    read_small(answer);
    knows_ = Knows::no;
  } else {
    TRY(put_answer(answer, S3Client::Condition::if_absent, "put the mark"));
    knows_ = Knows::yes;
  }
  return condition_of(knows_);
}

Status S3Tier::put_answer(FetchAnswer& answer, S3Client::Condition condition, std::string_view request) const {
  const bool there_already = answer.status == 412 && condition == S3Client::Condition::if_absent;
  if (answer.status != 200 && !there_already) {
    base::Error error = client_.refusal(answer, request);
    // Somebody else puts the same at this moment.
    if (answer.status == 409) error.code = ErrorCode::busy;
    return tl::unexpected(std::move(error));
  }
  read_small(answer);
  return {};
}

}  // namespace

S3Options with_environment(S3Options options) {
  if (options.endpoint.empty()) options.endpoint = variable({"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"});
  if (options.region.empty()) options.region = variable({"AWS_REGION", "AWS_DEFAULT_REGION"});
  if (options.access_key_id.empty() && options.secret_access_key.empty()) {
    options.access_key_id = variable({"AWS_ACCESS_KEY_ID"});
    options.secret_access_key = variable({"AWS_SECRET_ACCESS_KEY"});
    options.session_token = variable({"AWS_SESSION_TOKEN"});
  }
  return options;
}

Result<std::unique_ptr<cache::RemoteTier>> make_s3_tier(cache::Fetcher& fetcher, const base::Clock& clock,
                                                        S3Options options) {
  if (options.pack_below > options.pack_bytes || options.pack_bytes > pack_bytes_max / 4)
    return fail(ErrorCode::invalid_argument, "a tier on S3: blobs below {} bytes in packs of {} bytes",
                options.pack_below, options.pack_bytes);
  S3Client client = TRY(S3Client::make(fetcher, clock, options));
  return std::make_unique<S3Tier>(std::move(client), clock, options);
}

}  // namespace cairn::remote
