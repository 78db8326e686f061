// SPDX-License-Identifier: Apache-2.0
// Which records of a tree a selection with a wildcard or with patterns takes, and the digest of those
// (spec/storage 3.5). Directories count by their headers only: a header is taken if it is selected itself, or as soon
// as something below is.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "libcache/pattern.h"
#include "libcache/trees/records.h"

namespace cairn::cache {

class SelectionFilter {
 public:
  // Compiles the patterns and resolves the part of the path before any wildcard. source outlives the filter.
  // Errors: invalid_argument (bad pattern, too many links).
  static base::Result<SelectionFilter> prepare(RecordSource& source, const Selection& selection);

  // What to walk: this path and all below it; nullopt if the path leads nowhere, so that nothing is selected.
  const std::optional<std::string>& scope() const { return scope_; }
  base::Result<Step> visit(const RecordView& record);
  // After the walk: what was taken, in order: each record's name as the digest sees it, its path in the tree, and its digest.
  void each_taken(const std::function<void(std::string_view name, const std::string& path, const TreeDigest&)>& visit) const;
  // After the walk: the digest of what was taken. Errors: not_found (a required path, the end of a link to be followed).
  base::Result<TreeDigest> finish();

 private:
  struct Matches {
    PatternList::MatchInfo include, exclude;
  };
  enum class Verdict { take, leave, leave_all_below };
  struct Header {  // a directory that the visit is in
    std::string path;
    TreeDigest digest;
    bool is_taken = false;
    Matches matches;
  };
  struct Taken {
    std::string path;
    TreeDigest digest;
    bool is_followed = false;
    const TreeDigest* later = nullptr;  // where the digest is by the end of the walk
    const TreeDigest& get() const { return later != nullptr ? *later : digest; }
  };

  SelectionFilter(RecordSource& source, const Selection& selection) : source_(&source), selection_(&selection) {}
  base::Status resolve_wildcard();
  base::Status resolve_plain();
  std::string shown_path(std::string_view key) const;
  base::Result<Verdict> judge_wildcard(std::string_view path, TreeRecordType type);
  bool takes_all_below(Verdict verdict) const;
  base::Result<Verdict> judge_patterns(std::string_view candidate, Matches& matches) const;
  void take(Taken taken);
  base::Status check_required() const;

  RecordSource* source_;
  const Selection* selection_;
  std::optional<PatternList> include_, exclude_;
  std::string path_;            // cleaned; "" is the root
  bool ends_in_slash_ = false;  // as written; then the header of the path itself does not count
  std::optional<std::string> scope_;
  std::string start_key_;        // records before it do not count
  std::string written_prefix_;   // what is before any wildcard, as written ...
  std::string resolved_prefix_;  // ... and where it led: paths are shown and matched as written
  std::string matched_path_;     // what the wildcard matched last; all below it is in
  std::vector<Header> headers_;
  std::vector<Taken> taken_;
  std::deque<TreeDigest> later_;
};

}  // namespace cairn::cache
