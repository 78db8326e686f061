// SPDX-License-Identifier: Apache-2.0
#include "libcache/patterns/clean.h"
#include "libcache/trees/contents_digest.h"
#include "libcache/trees/records.h"
#include "libcache/trees/selection_filter.h"

namespace cairn::cache {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

Result<TreeDigest> digest_record(RecordSource& source, std::string_view path) {
  TreeDigest digest;
  TRY(source.walk(path, [&digest](const RecordView& record) -> Result<Step> {
    digest = TRY(record.digest());
    return Step::stop;
  }));
  // Zero is the digest of nothing: the record was there when it was looked up, and is not any more.
  if (digest.is_zero()) return fail(ErrorCode::io, "\"{}\" vanished while its digest was computed", path);
  return digest;
}

}  // namespace

Result<TreeDigest> RecordSource::contents(std::string_view path) {
  ContentsDigest contents;
  TRY(walk(path, [&contents](const RecordView& record) { return contents.visit(record); }));
  return contents.finish();
}

Result<TreeDigest> digest_path(RecordSource& source, std::string_view path, FollowLast follow) {
  const Resolved resolved = TRY(resolve(source, path, follow));
  if (!resolved.found) return fail(ErrorCode::not_found, "\"{}\": not found", path);
  return resolved.found->type == TreeRecordType::directory ? source.contents(resolved.path)
                                                       : digest_record(source, resolved.path);
}

Result<TreeDigest> digest_selection(RecordSource& source, const Selection& selection) {
  if (selection.path.find('\0') != std::string::npos) {
    return fail(ErrorCode::invalid_argument, "digest of a path with a NUL byte in it");
  }
  const bool filters = selection.wildcard || !selection.include_patterns.empty() || !selection.exclude_patterns.empty();
  if (!filters) {
    return digest_path(source, clean_rooted(selection.path), selection.follow_links ? FollowLast::yes : FollowLast::no);
  }
  SelectionFilter filter = TRY(SelectionFilter::prepare(source, selection));
  if (filter.scope()) {
    TRY(source.walk(*filter.scope(), [&filter](const RecordView& record) { return filter.visit(record); }));
  }
  return filter.finish();
}

}  // namespace cairn::cache
