// SPDX-License-Identifier: Apache-2.0
#include "tools/engine/cache_mounts.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "libbase/fs/beneath.h"
#include "libcache/cache_mounts.h"
#include "libcache/policy.h"
#include "tools/engine/find_record.h"
#include "tools/engine/message_fields.h"

namespace cairn::engine {

using base::ErrorCode;
using base::fail;
using base::Fd;
using base::Result;

namespace {

constexpr std::int64_t block_bytes = 512;  // of st_blocks

Result<CacheMountAnswer::Entry> measure_entry(int directory, const std::string& name) {
  const auto path = TRY(base::TreePath::parse(name));
  const auto stat = TRY(base::find_stat_beneath(directory, path));
  if (!stat) return fail(ErrorCode::io, "{} went away", name);
  if (!S_ISDIR(stat->st_mode)) return CacheMountAnswer::Entry{name, stat->st_blocks * block_bytes, 1};
  const Fd inside = TRY(base::open_beneath(directory, path, O_RDONLY | O_DIRECTORY));
  const base::TreeSize size = TRY(base::measure_tree(inside.get()));
  return CacheMountAnswer::Entry{name + "/", size.bytes, static_cast<std::uint64_t>(size.inodes)};
}

Result<CacheMountAnswer> measure(Engine& engine, const CacheMountOrder& order, const std::stop_token& stop) {
  const cache::ImmutableRef version = TRY(find_newest_version(engine, order.key));
  const snapshot::MountedTree tree = TRY(version.mount());
  const auto path = TRY(base::TreePath::parse(order.path));
  const Fd directory = TRY(base::open_beneath(tree.fd(), path, O_RDONLY | O_DIRECTORY), "open {} in it", order.path.empty() ? "." : order.path);
  CacheMountAnswer answer;
  for (const base::DirEntry& entry : TRY(base::list_dir(directory.get()))) {
    if (stop.stop_requested()) return fail(ErrorCode::cancelled, "cancelled");
    answer.entries.push_back(TRY(measure_entry(directory.get(), entry.name)));
  }
  std::sort(answer.entries.begin(), answer.entries.end(), [](const auto& a, const auto& b) {
    return a.bytes != b.bytes ? a.bytes > b.bytes : a.name < b.name;
  });
  return answer;
}

std::vector<cache::RecordId> versions_of(const std::vector<cache::CacheMountInfo>& mounts, const KeyDigest& key) {
  std::vector<cache::RecordId> versions;
  for (const cache::CacheMountInfo& mount : mounts)
    for (const cache::RecordInfo& version : mount.versions)
      if (mount.key == key) versions.push_back(version.id);
  return versions;
}

// Ends the mount, and takes its versions and nothing else.
Result<CacheMountAnswer> end(Engine& engine, const CacheMountOrder& order, const std::stop_token& stop) {
  const auto mounts = TRY(engine.cache().cache_mounts().list());
  const auto versions = versions_of(mounts, order.key);
  CacheMountAnswer answer;
  if (order.dry_run) {
    for (const cache::CacheMountInfo& mount : mounts)
      if (mount.key == order.key) answer = {{}, mount.versions.size(), mount.bytes()};
    return answer;
  }
  cache::Cache& cache = engine.cache();
  TRY(cache.cache_mounts().end(order.key), "end the cache mount");
  if (versions.empty()) return answer;
  std::string filters;
  for (const cache::RecordId version : versions) filters += fmt::format("{}\"id=={}\"", filters.empty() ? "" : ", ", version);
  const std::string rule = fmt::format("only_these_rules = true\n[[rule]]\nfilter = [{}]\nall = true\n", filters);
  const cache::PruneReport pruned = TRY(cache.prune({.policy = TRY(cache::parse_policy(rule, "the cache mount"))}, stop));
  answer.records = pruned.records.size();
  answer.freed_bytes = pruned.freed_bytes;
  return answer;
}

}  // namespace

Result<CacheMountAnswer> run_order(Engine& engine, const CacheMountOrder& order, std::stop_token stop) {
  switch (order.action) {
    case CacheMountOrder::Action::measure: return measure(engine, order, stop);
    case CacheMountOrder::Action::end: return end(engine, order, stop);
    case CacheMountOrder::Action::limit: break;
  }
  cache::Cache& cache = engine.cache();
  TRY(cache.writer().wait_durable(TRY(cache.cache_mounts().set_limit(order.key, order.limit))));
  return CacheMountAnswer{};
}

Message encode(const CacheMountOrder& order) {
  Message message = {{"action", static_cast<int>(order.action)}, {"key", bytes_of(order.key.raw())}, {"path", bytes_of(order.path)}, {"dry_run", order.dry_run}};
  if (order.limit) message["limit"] = *order.limit;
  return message;
}

Result<CacheMountOrder> decode_cache_mount_order(const Message& message) {
  CacheMountOrder order;
  const auto action = TRY(take<std::uint8_t>(message, "action"));
  if (action > static_cast<std::uint8_t>(CacheMountOrder::Action::end)) return fail(ErrorCode::corrupt, "message with a strange \"action\"");
  order.action = static_cast<CacheMountOrder::Action>(action);
  order.key = TRY(KeyDigest::from_raw(TRY(take<std::string>(message, "key"))));
  order.path = TRY(take<std::string>(message, "path"));
  order.dry_run = TRY(take<bool>(message, "dry_run"));
  if (message.contains("limit")) order.limit = TRY(take<std::int64_t>(message, "limit"));
  return order;
}

Message encode(const CacheMountAnswer& answer) {
  Message entries = Message::array();
  for (const CacheMountAnswer::Entry& entry : answer.entries)
    entries.push_back({{"name", bytes_of(entry.name)}, {"bytes", entry.bytes}, {"inodes", entry.inodes}});
  return {{"entries", std::move(entries)}, {"records", answer.records}, {"freed_bytes", answer.freed_bytes}};
}

Result<CacheMountAnswer> decode_cache_mount_answer(const Message& message) {
  CacheMountAnswer answer;
  for (const Message& entry : *TRY(take_array(message, "entries")))
    answer.entries.push_back({TRY(take<std::string>(entry, "name")), TRY(take<std::int64_t>(entry, "bytes")), TRY(take<std::uint64_t>(entry, "inodes"))});
  answer.records = TRY(take<std::uint64_t>(message, "records"));
  answer.freed_bytes = TRY(take<std::int64_t>(message, "freed_bytes"));
  return answer;
}

}  // namespace cairn::engine
