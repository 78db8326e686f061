// SPDX-License-Identifier: Apache-2.0
// Matching an expression: the set of steps that are reachable after each rune of the text.
#include "libcache/patterns/expression.h"

#include <algorithm>
#include <optional>

#include "libcache/patterns/utf8.h"

namespace cairn::cache {

void RuneSet::add_all_but(const RuneSet& other) {
  auto sorted = other.ranges;
  std::sort(sorted.begin(), sorted.end());
  char32_t next = 0;
  for (const auto& [low, high] : sorted) {
    if (low > next) add(next, low - 1);
    next = std::max<char32_t>(next, high + 1);
  }
  if (next <= last_rune) add(next, last_rune);
}

bool RuneSet::contains(char32_t rune) const {
  const bool found = std::any_of(ranges.begin(), ranges.end(),
                                 [rune](const auto& range) { return range.first <= rune && rune <= range.second; });
  return found != negated;
}

namespace {
bool is_word(std::optional<char32_t> rune) {
  if (!rune) return false;
  const char32_t c = *rune;
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}
}  // namespace

// One match: the steps that wait for the next rune.
class Expression::Run {
 public:
  explicit Run(const Expression& expression) : expression_(expression), seen_at_(expression.steps_.size(), 0) {}

  bool match(std::string_view text) {
    std::optional<char32_t> before;
    while (true) {
      const Rune rune = decode_rune(text);
      const std::optional<char32_t> after = rune.width > 0 ? std::optional(rune.value) : std::nullopt;
      ++position_;
      waiting_.clear();
      if (!before) enter(0, before, after);
      for (const std::uint32_t step : arrived_) enter(step, before, after);
      arrived_.clear();
      if (accepted_) return true;
      if (!after || waiting_.empty()) return false;
      for (const std::uint32_t step : waiting_) {
        if (takes(expression_.steps_[step], *after)) arrived_.push_back(step + 1);
      }
      text.remove_prefix(rune.width);
      before = after;
    }
  }

 private:
  bool takes(const Step& step, char32_t rune) const {
    return step.kind == Kind::rune ? step.rune == rune : expression_.sets_[step.index].contains(rune);
  }

  // Follows what needs no rune from here: assertions and splits.
  void enter(std::uint32_t start, std::optional<char32_t> before, std::optional<char32_t> after) {
    pending_.push_back(start);
    while (!pending_.empty()) {
      const std::uint32_t index = pending_.back();
      pending_.pop_back();
      if (seen_at_[index] == position_) continue;
      seen_at_[index] = position_;
      const Step& step = expression_.steps_[index];
      const bool boundary = is_word(before) != is_word(after);
      switch (step.kind) {
        case Kind::rune:
        case Kind::set: waiting_.push_back(index); break;
        case Kind::split:
          pending_.push_back(step.index);
          pending_.push_back(index + 1);
          break;
        case Kind::begin:
          if (!before) pending_.push_back(index + 1);
          break;
        case Kind::end:
          if (!after) pending_.push_back(index + 1);
          break;
        case Kind::word_boundary:
          if (boundary) pending_.push_back(index + 1);
          break;
        case Kind::no_word_boundary:
          if (!boundary) pending_.push_back(index + 1);
          break;
        case Kind::accept: accepted_ = true; break;
      }
    }
  }

  const Expression& expression_;
  std::vector<std::size_t> seen_at_;
  std::vector<std::uint32_t> waiting_, arrived_, pending_;
  std::size_t position_ = 0;
  bool accepted_ = false;
};

bool Expression::matches_start_of(std::string_view text) const { return Run(*this).match(text); }

}  // namespace cairn::cache
