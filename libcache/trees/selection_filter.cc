// SPDX-License-Identifier: Apache-2.0
#include "libcache/trees/selection_filter.h"

#include <algorithm>
#include <utility>

#include "libbase/hash/sha256.h"
#include "libcache/patterns/clean.h"

namespace cairn::cache {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;

// Whether path is directory itself or below it.
bool is_within(std::string_view path, std::string_view directory) {
  return path.starts_with(directory) && (path.size() == directory.size() || path[directory.size()] == '/');
}

// path as seen from directory; "" for the directory itself. A path elsewhere is left as it is.
std::string_view relative_to(std::string_view path, std::string_view directory) {
  if (!is_within(path, directory)) return path;
  path.remove_prefix(std::min(directory.size() + 1, path.size()));
  return path;
}

// The components before the first one with a wildcard: of "/a/b*/c" it is "/a"; of "/b*" it is "".
std::string literal_prefix(std::string_view path) {
  std::size_t end = 0;
  while (end < path.size()) {
    const std::size_t next = std::min(path.find('/', end + 1), path.size());
    if (has_wildcard(path.substr(end, next - end))) break;
    end = next;
  }
  return std::string(path.substr(0, end));
}

Result<std::optional<PatternList>> compile(const std::vector<std::string>& patterns, std::string_view kind) {
  using Compiled = std::optional<PatternList>;
  if (patterns.empty()) return Compiled();
  return Compiled(TRY(PatternList::compile(patterns), "{} patterns", kind));
}

}  // namespace

Result<SelectionFilter> SelectionFilter::prepare(RecordSource& source, const Selection& selection) {
  SelectionFilter filter(source, selection);
  filter.path_ = clean_rooted(selection.path);
  filter.ends_in_slash_ = selection.path.ends_with('/');
  filter.include_ = TRY(compile(selection.include_patterns, "include"));
  filter.exclude_ = TRY(compile(selection.exclude_patterns, "exclude"));
  if (selection.wildcard) {
    TRY(filter.resolve_wildcard());
  } else {
    TRY(filter.resolve_plain());
  }
  return filter;
}

Status SelectionFilter::resolve_plain() {
  written_prefix_ = path_;
  Resolved resolved = TRY(resolve(*source_, path_, FollowLast::no));
  resolved_prefix_ = resolved.path;
  start_key_ = key_of(resolved.path);
  if (resolved.found) scope_ = std::move(resolved.path);
  return {};
}

Status SelectionFilter::resolve_wildcard() {
  const std::string prefix = literal_prefix(path_);
  if (prefix.empty()) {
    scope_ = "";
    return {};
  }
  written_prefix_ = prefix;
  const bool is_all = prefix.size() == path_.size();
  Resolved resolved = TRY(resolve(*source_, prefix, is_all ? FollowLast::no : FollowLast::yes));
  resolved_prefix_ = resolved.path;
  start_key_ = key_of(resolved.path);
  if (!resolved.found) return {};
  // The prefix is looked up as it is written but matched as a pattern. Without a backslash both mean the same, and
  // nothing outside can match; with one, something that comes later in the tree may.
  scope_ = prefix.find('\\') == std::string::npos ? std::move(resolved.path) : "";
  return {};
}

std::string SelectionFilter::shown_path(std::string_view key) const {
  std::string path = path_of(key);
  if (!path.starts_with(resolved_prefix_)) return path;
  return written_prefix_ + path.substr(resolved_prefix_.size());
}

Result<Step> SelectionFilter::visit(const RecordView& record) {
  if (record.key < start_key_) return Step::next;
  std::string path = shown_path(record.key);
  const bool is_header = record.key.ends_with('\0');
  if (is_header) path.pop_back();
  while (!headers_.empty() && !path.starts_with(headers_.back().path + "/")) headers_.pop_back();
  if (is_header && ends_in_slash_ && path == path_) return Step::next;
  if (!selection_->wildcard && !is_within(path, path_)) return Step::stop;

  if (selection_->wildcard) {
    const Verdict verdict = TRY(judge_wildcard(path, record.type));
    if (verdict == Verdict::leave) return Step::next;
    if (verdict == Verdict::leave_all_below) return Step::skip_below;
  }
  Matches matches;
  const std::string_view candidate = relative_to(path, selection_->wildcard ? matched_path_ : path_);
  const Verdict verdict = TRY(judge_patterns(candidate, matches));
  if (record.type == TreeRecordType::directory) {
    // The names right below a directory whose header does not count are judged without it.
    const bool counts = !(ends_in_slash_ && path == path_);
    if (verdict == Verdict::leave_all_below && counts) return Step::skip_below;
    return takes_all_below(verdict) ? Step::all_below : Step::next;
  }
  if (verdict != Verdict::take && !is_header) return Step::next;
  if (!is_header && record.digest_later != nullptr) {
    const bool is_followed = headers_.empty() && selection_->follow_links && record.type == TreeRecordType::symlink;
    TreeDigest& later = later_.emplace_back();
    (*record.digest_later)(&later);
    take({path, {}, is_followed, &later});
    return Step::next;
  }
  const TreeDigest digest = TRY(record.digest());
  const bool is_top = headers_.empty();
  if (verdict == Verdict::take) {
    take({path, digest, is_top && selection_->follow_links && record.type == TreeRecordType::symlink});
  }
  if (is_header) headers_.push_back({std::move(path), digest, verdict == Verdict::take, std::move(matches)});
  return Step::next;
}

// Whether the path is below what the wildcard matched last, or is matched itself.
Result<SelectionFilter::Verdict> SelectionFilter::judge_wildcard(std::string_view path, TreeRecordType type) {
  if (path_.empty()) return Verdict::take;
  if (!matched_path_.empty() && path.starts_with(matched_path_ + "/")) return Verdict::take;
  if (TRY(path_match(path_, path))) {
    matched_path_ = path;
    return Verdict::take;
  }
  // Only brackets match a '/', so without them a pattern matches nothing that is deeper than itself.
  const bool may_match_deeper = path_.find('[') != std::string::npos ||
                                std::count(path.begin(), path.end(), '/') < std::count(path_.begin(), path_.end(), '/');
  return type == TreeRecordType::directory && !may_match_deeper ? Verdict::leave_all_below : Verdict::leave;
}

Result<SelectionFilter::Verdict> SelectionFilter::judge_patterns(std::string_view candidate, Matches& matches) const {
  static const Matches nothing_known;
  const Matches& above = headers_.empty() ? nothing_known : headers_.back().matches;
  if (include_ && !TRY(include_->matches(candidate, above.include, matches.include))) return Verdict::leave;
  if (!exclude_ || !TRY(exclude_->matches(candidate, above.exclude, matches.exclude))) return Verdict::take;
  return exclude_->has_exclusions() ? Verdict::leave : Verdict::leave_all_below;
}

// What is in a directory that patterns match is matched by them, unless later ones take it back.
bool SelectionFilter::takes_all_below(Verdict verdict) const {
  return verdict == Verdict::take && !exclude_ && (!include_ || !include_->has_exclusions());
}

// The headers above come first, in order, unless they are taken already.
void SelectionFilter::take(Taken taken) {
  for (Header& header : headers_) {
    if (!header.is_taken) taken_.push_back({header.path, header.digest});
    header.is_taken = true;
  }
  taken_.push_back(std::move(taken));
}

Status SelectionFilter::check_required() const {
  for (const std::string& required : selection_->required_paths) {
    const bool found =
        std::any_of(taken_.begin(), taken_.end(), [&](const Taken& taken) { return taken.path.starts_with(required); });
    if (!found) return fail(ErrorCode::not_found, "\"{}\": not found", required);
  }
  return {};
}

void SelectionFilter::each_taken(
    const std::function<void(std::string_view name, const std::string& path, const TreeDigest&)>& visit) const {
  for (const Taken& taken : taken_) {
    std::string_view name = taken.path;
    const bool is_below = name.starts_with(written_prefix_);
    if (is_below) name.remove_prefix(written_prefix_.size());
    visit(name, is_below ? resolved_prefix_ + std::string(name) : taken.path, taken.get());
  }
}

Result<TreeDigest> SelectionFilter::finish() {
  TRY(check_required());
  for (Taken& taken : taken_) {
    if (!taken.is_followed) continue;
    taken.digest = TRY(digest_path(*source_, taken.path, FollowLast::yes));
    taken.later = nullptr;
  }
  if (taken_.empty()) return base::digest_of<TreeDigest>("");
  if (taken_.size() == 1 && base_name(selection_->path) == base_name(taken_.front().path)) {
    return taken_.front().get();
  }
  base::Sha256 hash;
  for (const Taken& taken : taken_) {
    std::string_view name = taken.path;
    if (name.starts_with(written_prefix_)) name.remove_prefix(written_prefix_.size());
    hash.update(name.empty() ? std::string(1, '\0') : key_of(name)).update(taken.get().str());
  }
  return TreeDigest(hash.finish());
}

}  // namespace cairn::cache
