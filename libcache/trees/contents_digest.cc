// SPDX-License-Identifier: Apache-2.0
#include "libcache/trees/contents_digest.h"

#include <utility>

namespace cairn::cache {
namespace {

using namespace std::string_view_literals;

bool is_below(std::string_view key, std::string_view directory) {
  return key.size() > directory.size() && key.starts_with(directory) && key[directory.size()] == '\0';
}

}  // namespace

base::Status ContentsDigest::close_level() {
  Level done = std::move(levels_.back());
  levels_.pop_back();
  if (!done.has_header) {
    return base::fail(base::ErrorCode::not_found, "\"{}/\": not found", path_of(done.key));
  }
  const Contents contents = done.hash.finish();
  if (levels_.empty()) {
    result_ = contents.digest;
    is_done_ = true;
    return {};
  }
  Level& above = levels_.back();
  above.hash.add_directory(std::string_view(done.key).substr(above.key.size() + 1), contents);
  return {};
}

base::Result<Step> ContentsDigest::visit(const RecordView& record) {
  while (!levels_.empty() && !is_below(record.key, levels_.back().key)) TRY(close_level());
  if (is_done_) return Step::stop;
  if (record.type == TreeRecordType::directory) {
    levels_.emplace_back();
    levels_.back().key = record.key;
    return Step::next;
  }
  if (levels_.empty()) {
    return base::fail(base::ErrorCode::io, "\"{}\" is no directory any more", path_of(record.key));
  }
  Level& level = levels_.back();
  const std::string_view name = record.key.substr(level.key.size() + 1);
  const TreeDigest digest = TRY(record.digest());
  if (name.empty()) {
    level.has_header = true;
    level.hash.add_header(digest);
  } else {
    level.hash.add_name(name, digest);
  }
  return Step::next;
}

base::Result<TreeDigest> ContentsDigest::finish() {
  while (!levels_.empty()) TRY(close_level());
  if (!is_done_) return base::fail(base::ErrorCode::not_found, "contents of a directory: not found");
  return result_;
}

}  // namespace cairn::cache
