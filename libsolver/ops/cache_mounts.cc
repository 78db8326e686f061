// SPDX-License-Identifier: Apache-2.0
#include "libsolver/ops/cache_mounts.h"

#include <sys/stat.h>

#include <algorithm>
#include <chrono>

#include "libbase/codec.h"
#include "libbase/fs/beneath.h"
#include "libcache/cache_mounts.h"
#include "libsnapshot/changes.h"
#include "libsnapshot/diff.h"
#include "libsolver/cache_key.h"

namespace cairn::solver {

using base::Result;
using base::Status;

CacheMountTurns::Turn& CacheMountTurns::Turn::operator=(Turn&& other) noexcept {
  if (this == &other) return *this;
  end();
  turns_ = std::exchange(other.turns_, nullptr);
  key_ = other.key_;
  ticket_ = other.ticket_;
  return *this;
}

void CacheMountTurns::Turn::end() {
  if (turns_ == nullptr) return;
  {
    auto state = turns_->state_.lock();
    const auto found = state->waiting.find(key_);
    found->second.remove(ticket_);
    if (found->second.empty()) state->waiting.erase(found);
  }
  turns_->changed_.notify_all();
  turns_ = nullptr;
}

Result<CacheMountTurns::Turn> CacheMountTurns::take(const KeyDigest& key, std::stop_token stop) {
  Turn turn;
  auto state = state_.lock();
  turn.key_ = key;
  turn.ticket_ = state->next++;
  state->waiting[key].push_back(turn.ticket_);
  const bool has_turn = changed_.wait(state.lock(), stop, [&] { return state->waiting.at(key).front() == turn.ticket_; });
  turn.turns_ = this;
  if (has_turn) return turn;
  return base::fail(base::ErrorCode::cancelled, "waiting for a locked cache mount was cancelled");
}

KeyDigest cache_mount_key(const std::string& id, const OptionalRef& base) {
  base::ByteWriter name;
  name.raw("cairn.cache_mount.v1:").string(id).u64(base ? base->id().value() : 0);
  return private_key(name.take());
}

Result<OptionalRef> find_cache_mount(cache::Cache& cache, const KeyDigest& key) {
  std::vector<cache::KeyResult> results;
  TRY(cache.keys().read([&](cache::KeyStore::Reader& reader) -> Status {
    results = TRY(reader.results(key));
    return {};
  }));
  for (const cache::KeyResult& result : results) {
    auto ref = TRY(cache.find(result.record));
    if (ref) return OptionalRef(std::move(*ref));
  }
  return OptionalRef();
}

namespace {

// A fork in which nothing has changed has a directory of its own, and in it the root, where forks stack. (A fork that is a
// copy has more, and is kept for nothing.)
constexpr std::int64_t inodes_of_nothing = 2;

bool is_newer(const struct ::timespec& a, const struct ::timespec& b) {
  return a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec : a.tv_nsec > b.tv_nsec;
}

// What of `ours` is to be brought into `theirs`: what only we have, and what is newer with us. What they have below a file
// of theirs that stays cannot be.
class Union {
 public:
  Union(int theirs, const snapshot::ChangeVisitor& visitor) : theirs_(theirs), visitor_(visitor) {}

  Status operator()(const snapshot::Change& change) {
    using snapshot::ChangeKind;
    if (change.kind == ChangeKind::remove || change.kind == ChangeKind::relink) return {};
    const std::string& path = change.path.str();
    if (!kept_.empty() && path.starts_with(kept_) && path.size() > kept_.size() && path[kept_.size()] == '/') return {};
    if (change.kind == ChangeKind::modify) {
      const auto stat = TRY(base::find_stat_beneath(theirs_, change.path));
      if (stat && !is_newer(change.status.st_mtim, stat->st_mtim)) {
        if (!S_ISDIR(stat->st_mode)) kept_ = path;
        return {};
      }
      if (stat && S_ISDIR(stat->st_mode) && !S_ISDIR(change.status.st_mode)) return {};  // a file would take away all they have
    }
    return visitor_(change);
  }

 private:
  const int theirs_;
  const snapshot::ChangeVisitor& visitor_;
  std::string kept_;  // a file of theirs
};

Status join(const snapshot::MountedTree& ours, const snapshot::MountedTree& theirs, const snapshot::MountedTree& target) {
  snapshot::ChangeOptions options;
  options.replay = snapshot::Replay::hard_links;
  options.contents = snapshot::Contents::trust_times;
  return snapshot::apply_changes(target, [&](const snapshot::ChangeVisitor& visitor) {
    Union both(theirs.fd(), visitor);
    return snapshot::changes_between(theirs.fd(), ours.fd(), [&](const snapshot::Change& change) { return both(change); }, options);
  });
}

}  // namespace

struct CacheMountUse::Live {
  OptionalRef head;  // what it is a fork of
  std::optional<cache::MutableRef> fork;
  snapshot::MountedTree tree;
  std::size_t users = 1;  // as is torn: changed in turn
  bool torn = false;      // some step was killed while it wrote
  const std::chrono::steady_clock::time_point opened = std::chrono::steady_clock::now();
};

Result<std::shared_ptr<CacheMountUse::Live>> CacheMountUse::make(const Place& place, std::stop_token stop) {
  auto live = std::make_shared<Live>();
  live->head = TRY(find_cache_mount(place.cache, place.key));
  live->fork = TRY(live->head ? place.cache.reopen(*live->head, std::move(stop)) : place.cache.create(place.begin));
  live->tree = TRY(live->fork->mount(snapshot::Access::read_write));
  return live;
}

Result<CacheMountUse> CacheMountUse::open(Place place, std::stop_token stop) {
  if (!place.live) {
    auto live = TRY(make(place, stop));
    return CacheMountUse(std::move(place), std::move(live));
  }
  const auto turn = TRY(place.live->turns_.take(place.key, stop));
  std::shared_ptr<Live> live;
  {
    auto trees = place.live->trees_.lock();
    if (const auto found = trees->find(place.key); found != trees->end()) live = found->second;
  }
  if (live) {
    ++live->users;
  } else {
    live = TRY(make(place, stop));
    place.live->trees_.lock()->emplace(place.key, live);
  }
  return CacheMountUse(std::move(place), std::move(live));
}

CacheMountUse::CacheMountUse(CacheMountUse&&) noexcept = default;

CacheMountUse::~CacheMountUse() {
  if (!live_ || !place_.live) return;
  const auto turn = place_.live->turns_.take(place_.key, {});
  live_->torn = true;
  if (--live_->users == 0) place_.live->trees_.lock()->erase(place_.key);
}

const snapshot::MountedTree& CacheMountUse::tree() const { return live_->tree; }

Status CacheMountUse::keep(const std::string& description) {
  if (!place_.live) return publish(description);
  const auto turn = TRY(place_.live->turns_.take(place_.key, {}));
  if (--live_->users > 0) {
    live_.reset();
    return {};
  }
  place_.live->trees_.lock()->erase(place_.key);
  return publish(description);
}

Status CacheMountUse::check_limit(const snapshot::MountedTree& tree, std::optional<std::int64_t> limit) const {
  if (!limit) return {};
  const std::int64_t bytes = TRY(base::measure_tree(tree.fd())).bytes;
  if (bytes <= *limit) return {};
  TRY(place_.cache.cache_mounts().end(place_.key), "end it");
  return base::fail(base::ErrorCode::no_space, "it holds {} bytes, more than its limit of {}: the next use begins anew", bytes, *limit);
}

Status CacheMountUse::publish(const std::string& description) {
  const std::shared_ptr<Live> live = std::exchange(live_, nullptr);
  if (live->torn) return base::fail(base::ErrorCode::cancelled, "another step that shared it was killed");
  const auto turn = TRY(place_.queues.publishing.take(place_.key, {}));
  OptionalRef now = TRY(find_cache_mount(place_.cache, place_.key));
  if (live->head && !now) return base::fail(base::ErrorCode::cancelled, "the mount was ended meanwhile");
  cache::MutableRef fork = std::move(*live->fork);
  snapshot::MountedTree tree = std::move(live->tree);
  if (now && (!live->head || live->head->id() != now->id())) {
    const snapshot::MountedTree theirs = TRY(now->mount());
    cache::MutableRef joined = TRY(place_.cache.reopen(*now));
    snapshot::MountedTree target = TRY(joined.mount(snapshot::Access::read_write));
    TRY(join(tree, theirs, target), "join it with what others have left");
    tree = std::move(target);
    fork = std::move(joined);
  }
  const auto known = TRY(place_.cache.cache_mounts().find(place_.key));
  TRY(check_limit(tree, known ? known->limit : std::nullopt));
  tree = {};
  cache::Publication publication;
  cache::RecordFacts facts;
  facts.type = cache::RecordType::exec_cache_mount;
  facts.description = description;
  facts.owner = place_.owner;
  // A cold step says what losing it costs; a warm one is short because of it.
  facts.build_time = std::max<std::chrono::nanoseconds>(now ? now->info().facts.build_time : std::chrono::nanoseconds(0),
                                                        std::chrono::steady_clock::now() - live->opened);
  cache::ImmutableRef head = TRY(std::move(fork).commit(publication, std::move(facts)));
  if (head.info().usage.inodes <= inodes_of_nothing) return {};
  if (!known) {
    const cache::RecordId base = place_.begin ? place_.begin->id() : cache::RecordId();
    TRY(place_.cache.cache_mounts().remember({.key = place_.key, .id = place_.id, .base = base}));
  }
  publication.add_result(place_.key, std::move(head));
  TRY(place_.cache.publish(std::move(publication)));
  return {};
}

}  // namespace cairn::solver
