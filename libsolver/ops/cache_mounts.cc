// SPDX-License-Identifier: Apache-2.0
#include "libsolver/ops/cache_mounts.h"

#include "libbase/codec.h"
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

Status keep_cache_mount(cache::Cache& cache, const KeyDigest& key, const std::string& description,
                        cache::MutableRef fork) {
  cache::Publication publication;
  cache::RecordFacts facts;
  facts.type = cache::RecordType::exec_cache_mount;
  facts.description = description;
  cache::ImmutableRef head = TRY(std::move(fork).commit(publication, std::move(facts)));
  if (head.info().usage.inodes <= 1) return {};  // its root is all it has of its own
  publication.add_result(key, std::move(head));
  TRY(cache.publish(std::move(publication)));
  return {};
}

}  // namespace cairn::solver
