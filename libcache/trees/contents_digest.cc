// SPDX-License-Identifier: Apache-2.0
#include "libcache/trees/contents_digest.h"

#include <utility>

namespace cairn::cache {
namespace {

using namespace std::string_view_literals;

bool is_below(std::string_view key, std::string_view directory) {
  return key.size() > directory.size() && key.starts_with(directory) && key[directory.size()] == '\0';
}

bool is_hashed_again(std::string_view name) { return name.starts_with("\0\xff"sv); }

}  // namespace

void ContentsDigest::add(Level& level, Child child) {
  level.hash.update(child.name).update(child.digest.str());
  if (is_hashed_again(child.name)) level.again.push_back(std::move(child));
}

base::Status ContentsDigest::close_level() {
  Level done = std::move(levels_.back());
  levels_.pop_back();
  if (!done.has_header) {
    return base::fail(base::ErrorCode::not_found, "\"{}/\": not found", path_of(done.key));
  }
  const TreeDigest digest(done.hash.finish());
  if (levels_.empty()) {
    result_ = digest;
    is_done_ = true;
    return {};
  }
  Level& above = levels_.back();
  const std::string name = done.key.substr(above.key.size());
  add(above, {name, digest});
  for (Child& child : done.again) add(above, {name + child.name, child.digest});
  return {};
}

base::Result<Step> ContentsDigest::visit(const RecordView& record) {
  while (!levels_.empty() && !is_below(record.key, levels_.back().key)) TRY(close_level());
  if (is_done_) return Step::stop;
  if (record.type == RecordType::directory) {
    levels_.emplace_back();
    levels_.back().key = record.key;
    return Step::next;
  }
  if (levels_.empty()) {
    return base::fail(base::ErrorCode::io, "\"{}\" is no directory any more", path_of(record.key));
  }
  Level& level = levels_.back();
  std::string name(record.key.substr(level.key.size()));
  if (name == "\0"sv) level.has_header = true;
  add(level, {std::move(name), TRY(record.digest())});
  return Step::next;
}

base::Result<TreeDigest> ContentsDigest::finish() {
  while (!levels_.empty()) TRY(close_level());
  if (!is_done_) return base::fail(base::ErrorCode::not_found, "contents of a directory: not found");
  return result_;
}

}  // namespace cairn::cache
