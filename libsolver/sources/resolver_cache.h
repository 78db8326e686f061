// SPDX-License-Identifier: Apache-2.0
// What the remote sides have said during one solve: a question (what is this tag, this branch) is asked once, by the first
// source that has it; others wait for it and take its answer, so that one solve never sees two states of one ref. An error
// is no answer: the next one asks itself.
#pragma once

#include <condition_variable>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "libbase/result.h"
#include "libbase/sync.h"
#include "libcache/digests.h"

namespace cairn::solver {

class SharedDownload;

// Thread-safe. Remembers as long as it lives.
class ResolverCache {
 public:
  static constexpr std::size_t answers_max_usual = 10'000;
  explicit ResolverCache(std::size_t answers_max = answers_max_usual) : answers_max_(answers_max) {}

  // The right to ask a question. Given back when it dies, without an answer.
  class Turn {
   public:
    Turn() = default;
    Turn(Turn&& other) noexcept;
    Turn& operator=(Turn&& other) noexcept;
    ~Turn() { end(); }
    // Of earlier turns, the oldest first.
    const std::vector<std::string>& answers() const { return answers_; }
    // Gives the turn back, with an answer unless nullopt. Errors: no_space (it remembers as many as it
    // may: the next one asks itself); the turn is given back all the same.
    base::Status release(std::optional<std::string> answer);

    // What an earlier turn has left for those who have the same question, the newest; null: nothing.
    std::shared_ptr<SharedDownload> download() const;
    void keep(std::shared_ptr<SharedDownload> download);

   private:
    friend class ResolverCache;
    void end();
    ResolverCache* cache_ = nullptr;
    KeyDigest question_;
    std::vector<std::string> answers_;
  };

  // Waits for whoever has the turn, in order of arrival. Errors: cancelled.
  base::Result<Turn> lock(const KeyDigest& question, std::stop_token stop);
  // Drops all downloads, and keeps none from now on: the solve has ended, which holds nothing any more.
  void let_go();

 private:
  struct Question {
    std::list<std::uint64_t> turns;  // the first has it
    std::vector<std::string> answers;
  };
  struct State {
    std::map<KeyDigest, Question> questions;
    std::uint64_t next = 0;
    std::size_t answers = 0;
    std::map<KeyDigest, std::shared_ptr<SharedDownload>> downloads;
    bool has_let_go = false;
  };
  base::Status give_back(const KeyDigest& question, std::optional<std::string> answer);

  const std::size_t answers_max_;
  base::Guarded<State> state_;
  std::condition_variable_any changed_;
};

// Those of all solves that an op works for.
using ResolverCaches = std::vector<std::shared_ptr<ResolverCache>>;

// The turns of one question in several caches, taken together: no two who want the same ones can wait for each other.
class CombinedTurn {
 public:
  // Errors: as lock; then none is taken.
  static base::Result<CombinedTurn> lock(const ResolverCaches& caches, const KeyDigest& question, std::stop_token stop);
  const std::vector<std::string>& answers() const { return answers_; }
  // As of a turn: the first that there is; for all of them.
  std::shared_ptr<SharedDownload> download() const;
  void keep(const std::shared_ptr<SharedDownload>& download);
  // Gives all back, whatever becomes of one. Errors: the first.
  base::Status release(const std::optional<std::string>& answer);

 private:
  ResolverCaches caches_;  // outlive the turns
  std::vector<ResolverCache::Turn> turns_;
  std::vector<std::string> answers_;
};

}  // namespace cairn::solver
