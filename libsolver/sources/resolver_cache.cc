// SPDX-License-Identifier: Apache-2.0
#include "libsolver/sources/resolver_cache.h"

#include <algorithm>

#include "libsolver/sources/shared_download.h"

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;

ResolverCache::Turn::Turn(Turn&& other) noexcept
    : cache_(std::exchange(other.cache_, nullptr)), question_(other.question_), answers_(std::move(other.answers_)) {}

ResolverCache::Turn& ResolverCache::Turn::operator=(Turn&& other) noexcept {
  if (this == &other) return *this;
  end();
  cache_ = std::exchange(other.cache_, nullptr);
  question_ = other.question_;
  answers_ = std::move(other.answers_);
  return *this;
}

Status ResolverCache::Turn::release(std::optional<std::string> answer) {
  CHECK(cache_ != nullptr);
  return std::exchange(cache_, nullptr)->give_back(question_, std::move(answer));
}

void ResolverCache::Turn::end() {
  // Without an answer there is nothing that could be lost.
  if (cache_ != nullptr) (void)release(std::nullopt);
}

std::shared_ptr<SharedDownload> ResolverCache::Turn::download() const {
  CHECK(cache_ != nullptr);
  auto state = cache_->state_.lock();
  const auto found = state->downloads.find(question_);
  return found == state->downloads.end() ? nullptr : found->second;
}

void ResolverCache::Turn::keep(std::shared_ptr<SharedDownload> download) {
  CHECK(cache_ != nullptr);
  auto state = cache_->state_.lock();
  // What is replaced is dropped by the caller, after the lock.
  if (!state->has_let_go) state->downloads[question_].swap(download);
}

void ResolverCache::let_go() {
  decltype(State::downloads) dropped;
  auto state = state_.lock();
  state->has_let_go = true;
  dropped.swap(state->downloads);
}

Result<ResolverCache::Turn> ResolverCache::lock(const KeyDigest& question, std::stop_token stop) {
  auto state = state_.lock();
  const std::uint64_t ticket = state->next++;
  Question& asked = state->questions[question];  // a node of the map: it stays where it is while we wait in it
  asked.turns.push_back(ticket);
  const bool has_it = changed_.wait(state.lock(), stop, [&] { return asked.turns.front() == ticket; });
  if (!has_it) {
    asked.turns.remove(ticket);
    if (asked.turns.empty() && asked.answers.empty()) state->questions.erase(question);
    changed_.notify_all();
    return fail(ErrorCode::cancelled, "wait for what another source of this solve is told: cancelled");
  }
  Turn turn;
  turn.cache_ = this;
  turn.question_ = question;
  turn.answers_ = asked.answers;
  return turn;
}

Status ResolverCache::give_back(const KeyDigest& question, std::optional<std::string> answer) {
  auto state = state_.lock();
  const auto found = state->questions.find(question);
  Question& asked = found->second;
  asked.turns.pop_front();
  const bool has_room = state->answers < answers_max_;
  if (answer && has_room) {
    asked.answers.push_back(std::move(*answer));
    ++state->answers;
  }
  if (asked.turns.empty() && asked.answers.empty()) state->questions.erase(found);
  changed_.notify_all();
  if (answer && !has_room) return fail(ErrorCode::no_space, "remember what a source was told: {} answers are the most", answers_max_);
  return {};
}

Result<CombinedTurn> CombinedTurn::lock(const ResolverCaches& caches, const KeyDigest& question, std::stop_token stop) {
  CombinedTurn combined;
  combined.caches_ = caches;
  // In one order for everybody.
  std::sort(combined.caches_.begin(), combined.caches_.end());
  combined.caches_.erase(std::unique(combined.caches_.begin(), combined.caches_.end()), combined.caches_.end());
  for (const auto& cache : combined.caches_) {
    combined.turns_.push_back(TRY(cache->lock(question, stop)));
    const auto& answers = combined.turns_.back().answers();
    combined.answers_.insert(combined.answers_.end(), answers.begin(), answers.end());
  }
  return combined;
}

std::shared_ptr<SharedDownload> CombinedTurn::download() const {
  for (const ResolverCache::Turn& turn : turns_) {
    if (auto kept = turn.download()) return kept;
  }
  return nullptr;
}

void CombinedTurn::keep(const std::shared_ptr<SharedDownload>& download) {
  for (ResolverCache::Turn& turn : turns_) turn.keep(download);
}

Status CombinedTurn::release(const std::optional<std::string>& answer) {
  Status first;
  for (ResolverCache::Turn& turn : turns_) {
    const Status given = turn.release(answer);
    if (!given && first) first = given;
  }
  turns_.clear();
  return first;
}

}  // namespace cairn::solver
