// SPDX-License-Identifier: Apache-2.0
#include "libsolver/sources/path_filter.h"

#include <algorithm>

#include "libsolver/sources/follow_paths.h"

namespace cairn::solver {
namespace {

using base::Result;

std::string_view trim(std::string_view text) {
  constexpr std::string_view blanks = " \t\n\v\f\r";
  const auto first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

bool is_exception(std::string_view pattern) { return pattern.starts_with('!'); }

}  // namespace

// Pruning is only a shortcut, so whatever is not obviously plain text gives nullopt.
std::optional<PathFilter::Start> PathFilter::start_of(std::string_view pattern) {
  if (is_exception(pattern)) pattern.remove_prefix(1);
  while (pattern.ends_with('/')) pattern.remove_suffix(1);
  if (pattern.find_first_of("\\[](){}|+^$") != std::string_view::npos) return std::nullopt;
  // Whatever cleaning would change is left alone.
  if (("/" + std::string(pattern) + "/").find("//") != std::string::npos) return std::nullopt;
  if (("/" + std::string(pattern) + "/").find("/./") != std::string::npos) return std::nullopt;
  if (pattern.find("..") != std::string_view::npos) return std::nullopt;
  const auto wildcard = pattern.find_first_of("*?");
  return Start{std::string(pattern.substr(0, wildcard)), wildcard != std::string_view::npos};
}

bool PathFilter::may_match_below(const std::optional<std::vector<Start>>& starts, std::string_view path) {
  if (!starts) return true;
  const std::string folder = std::string(path) + "/";
  return std::any_of(starts->begin(), starts->end(), [&](const Start& start) {
    return start.text.starts_with(folder) || (start.open && folder.starts_with(start.text));
  });
}

Result<PathFilter> PathFilter::compile(int dir, const LocalFilter& filter) {
  PathFilter out;
  std::vector<std::string> includes = filter.include_patterns;
  bool everything = includes.empty() && filter.follow_paths.empty();
  if (!filter.follow_paths.empty()) {
    const auto followed = TRY(follow_paths(dir, filter.follow_paths), "follow paths");
    if (followed) includes.insert(includes.end(), followed->begin(), followed->end());
    everything = (!followed && filter.include_patterns.empty()) ||
                 std::find(includes.begin(), includes.end(), ".") != includes.end();
  }
  const auto add_start = [](std::optional<std::vector<Start>>& starts, std::string_view pattern) {
    if (!starts) return;
    auto start = start_of(pattern);
    if (start) {
      starts->push_back(std::move(*start));
    } else {
      starts.reset();
    }
  };
  if (!everything) {
    out.include_ = TRY(cache::PatternList::compile(includes), "include patterns");
    out.include_starts_.emplace();
    for (const auto& pattern : includes) {
      if (!is_exception(trim(pattern))) add_start(out.include_starts_, trim(pattern));
    }
  }
  if (!filter.exclude_patterns.empty()) {
    out.exclude_ = TRY(cache::PatternList::compile(filter.exclude_patterns), "exclude patterns");
    out.exception_starts_.emplace();
    for (const auto& pattern : filter.exclude_patterns) {
      if (is_exception(trim(pattern))) add_start(out.exception_starts_, trim(pattern));
    }
  }
  return out;
}

Result<PathFilter::Verdict> PathFilter::judge(std::string_view path, Kind kind, const Level& parent, Level& own) const {
  Verdict verdict = Verdict::take;
  if (include_ && !TRY(include_->matches(path, parent.include, own.include))) {
    if (kind == Kind::directory && !may_match_below(include_starts_, path)) return Verdict::prune;
    verdict = Verdict::pass;
  }
  if (exclude_ && TRY(exclude_->matches(path, parent.exclude, own.exclude))) {
    if (kind == Kind::directory && !may_match_below(exception_starts_, path)) return Verdict::prune;
    verdict = Verdict::pass;
  }
  return verdict;
}

}  // namespace cairn::solver
