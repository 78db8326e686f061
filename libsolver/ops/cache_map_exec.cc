// SPDX-License-Identifier: Apache-2.0
// What an exec step is (spec/solver 3.3): its command, environment, mounts and platform, without what may differ between
// two builds of the same thing.
#include "libsolver/ops/cache_maps.h"
#include "libsolver/wire/go_json.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

// A cache mount's name counts only where it is its own path, perhaps in a namespace: then it was not chosen.
bool has_default_cache_id(const wire::Mount& mount) {
  if (mount.cache->sharing != wire::CacheSharing::shared) return false;
  const std::string& id = mount.cache->id;
  const std::size_t slash = id.find('/');
  return id == mount.dest || (slash != std::string::npos && std::string_view(id).substr(slash + 1) == mount.dest);
}

bool is_plain_root(const wire::Mount& mount) {
  return mount.dest == "/" && !mount.readonly && mount.type == wire::MountType::bind && !mount.cache && !mount.ssh &&
         !mount.secret && mount.result_id.empty();
}

wire::ExecOp normalized(wire::ExecOp exec) {
  exec = counted_of(std::move(exec));
  if (exec.mounts.size() == 1 && is_plain_root(exec.mounts.front())) exec.mounts.clear();
  return exec;
}

// Can the content of what is mounted decide, instead of how it was made?
Result<bool> by_content(const wire::Mount& mount, std::string_view selector) {
  const bool safe = mount.output == wire::no_output || mount.readonly || selector == "/";
  switch (mount.content_cache) {
    case wire::ContentCache::off: return false;
    case wire::ContentCache::on:
      if (!safe) {
        return fail(ErrorCode::invalid_argument,
                    "mount at {}: its content cannot be the key, for only \"{}\" of it is mounted and the output is used",
                    mount.dest, selector);
      }
      return true;
    case wire::ContentCache::by_default: break;
  }
  return safe && mount.dest != "/";
}

std::vector<cache::Selection> selections_of(const std::vector<std::string>& selectors) {
  std::vector<cache::Selection> selections;
  for (auto& path : dedupe_paths(selectors)) {
    if (path.empty() || path == "/") return {};
    cache::Selection selection;
    selection.path = std::move(path);
    selection.follow_links = true;
    selections.push_back(std::move(selection));
  }
  return selections;
}

}  // namespace

wire::ExecOp counted_of(wire::ExecOp exec) {
  if (exec.meta) {
    for (auto& host : exec.meta->extra_hosts) host.ip.clear();
    exec.meta->proxy_env.reset();
  }
  for (auto& mount : exec.mounts) {
    mount.selector.clear();  // selectors are in the deps
    if (mount.cache && !has_default_cache_id(mount)) mount.cache = wire::CacheOpt{};
  }
  return exec;
}

Result<CacheMap> exec_cache_map(const Vertex& vertex, const wire::ExecOp& exec) {
  const wire::Platform& platform = *vertex.op.platform;
  wire::GoJsonObject json;
  json.text("Type", "buildkit.exec.v0").raw("Exec", wire::go_json(normalized(exec)));
  json.text("OS", platform.os).text("Arch", platform.architecture);
  if (!platform.variant.empty()) json.text("Variant", platform.variant);
  if (!platform.os_version.empty()) json.text("OSVersion", platform.os_version);
  if (!platform.os_features.empty()) json.texts("OSFeatures", platform.os_features);
  CacheMap map = hashed_cache_map(json.take());

  map.deps.resize(vertex.inputs.size());
  std::vector<bool> content(map.deps.size(), false);
  for (const auto& mount : exec.mounts) {
    const bool takes_input = mount.type != wire::MountType::secret && mount.type != wire::MountType::ssh &&
                             mount.type != wire::MountType::tmpfs && mount.input >= 0;
    if (!takes_input) continue;
    if (mount.input >= static_cast<std::int64_t>(map.deps.size())) {
      return fail(ErrorCode::invalid_argument, "mount at {}: it is of input {}, but there are {}", mount.dest, mount.input,
                  map.deps.size());
    }
    const auto input = static_cast<std::size_t>(mount.input);
    std::string selector = rooted_path(mount.selector);
    content[input] = TRY(by_content(mount, selector));  // the last mount of an input decides
    map.deps[input].selectors.push_back(std::move(selector));
  }
  for (std::size_t i = 0; i < map.deps.size(); ++i) {
    CacheMapDep& dep = map.deps[i];
    dep.unlazy = true;
    if (!dep.selectors.empty()) dep.selector = selector_digest(dep.selectors);
    if (content[i]) dep.content = selections_of(dep.selectors);
  }
  return map;
}

}  // namespace cairn::solver
