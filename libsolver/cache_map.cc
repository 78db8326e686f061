// SPDX-License-Identifier: Apache-2.0
// The CacheMaps of the simple ops, and the choice among all of them.
#include "libsolver/cache_map.h"

#include <algorithm>

#include "libbase/hash/sha256.h"
#include "libsolver/ops/cache_maps.h"
#include "libsolver/wire/go_json.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

CacheMap typed_cache_map(std::string_view type, std::string_view field, std::string_view op_json, std::size_t deps) {
  CacheMap map = hashed_cache_map(wire::GoJsonObject().text("Type", type).raw(field, op_json).take());
  map.deps.resize(deps);
  return map;
}

struct Mapper {
  const Vertex& vertex;
  std::string_view session;

  Result<CacheMap> operator()(const std::monostate&) const {
    return fail(ErrorCode::invalid_argument, "an op of a kind that this engine does not know");
  }
  Result<CacheMap> operator()(const wire::SourceOp& op) const { return source_cache_map(vertex, op, session); }
  Result<CacheMap> operator()(const wire::ExecOp& op) const { return exec_cache_map(vertex, op); }
  Result<CacheMap> operator()(const wire::FileOp& op) const { return file_cache_map(vertex, op); }
  Result<CacheMap> operator()(const wire::MergeOp& op) const {
    return typed_cache_map("buildkit.merge.v0", "Merge", wire::go_json(op), op.inputs.size());
  }
  Result<CacheMap> operator()(const wire::DiffOp& op) const {
    const auto used = [](const std::optional<wire::InputNumber>& side) {
      return side && side->input != wire::no_input ? std::size_t{1} : std::size_t{0};
    };
    return typed_cache_map("buildkit.diff.v0", "Diff", wire::go_json(op), used(op.lower) + used(op.upper));
  }
  // The field is called Exec; so BuildKit has it.
  Result<CacheMap> operator()(const wire::BuildOp& op) const {
    return typed_cache_map("buildkit.build.v0", "Exec", wire::go_json(op), vertex.inputs.size());
  }
  Result<CacheMap> operator()(const wire::PassthroughOp& op) const {
    return typed_cache_map("buildkit.passthrough.v0", "Passthrough", wire::go_json(op), vertex.inputs.size());
  }
};

}  // namespace

CacheMap hashed_cache_map(std::string hashed) {
  CacheMap map;
  map.digest.hash = base::sha256(hashed);
  map.hashed = std::move(hashed);
  return map;
}

Result<std::vector<CacheMap>> pure_cache_maps(const Vertex& vertex, std::string_view session) {
  CacheMap map = TRY(std::visit(Mapper{vertex, session}, vertex.op.op), "cache map of {} ({})", vertex.name, vertex.digest);
  std::vector<CacheMap> maps;
  maps.push_back(std::move(map));
  return maps;
}

}  // namespace cairn::solver
