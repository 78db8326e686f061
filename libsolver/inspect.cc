// SPDX-License-Identifier: Apache-2.0
#include "libsolver/inspect.h"

#include <unordered_map>

#include <nlohmann/json.hpp>

#include "libsolver/cache_map.h"
#include "libsolver/load/load.h"

namespace cairn::solver {
namespace {

using base::Result;
using nlohmann::ordered_json;

std::vector<CacheMap> maps_of(const Vertex* vertex) {
  if (vertex == nullptr) return {};
  auto maps = pure_cache_maps(*vertex, "");
  return maps ? std::move(*maps) : std::vector<CacheMap>();
}

const Vertex* vertex_of(const LoadedDefinition& loaded, const LoadedStep& step) {
  return step.vertex ? loaded.definition.vertices[*step.vertex].get() : nullptr;
}

ordered_json map_json(const CacheMap& map) {
  auto deps = ordered_json::array();
  for (const auto& dep : map.deps) {
    ordered_json entry;
    entry["selector"] = dep.selector ? dep.selector->str() : "";
    entry["selectors"] = dep.selectors;
    entry["content"] = dep.content.has_value();
    deps.push_back(std::move(entry));
  }
  ordered_json out;
  out["digest"] = map.digest.str();
  out["deps"] = std::move(deps);
  return out;
}

ordered_json step_json(std::size_t index, const LoadedStep& step, const Vertex* vertex) {
  ordered_json out;
  out["index"] = index;
  out["vertex_digest"] = step.digest.str();
  out["kind"] = step.kind;
  out["name"] = vertex == nullptr ? "" : vertex->name;
  out["inputs"] = ordered_json::array();
  for (const auto& input : step.inputs) {
    ordered_json entry;
    entry["digest"] = input.digest.str();
    entry["index"] = input.output;
    out["inputs"].push_back(std::move(entry));
  }
  out["cache_maps"] = ordered_json::array();
  for (const auto& map : maps_of(vertex)) out["cache_maps"].push_back(map_json(map));
  return out;
}

std::string short_digest(const std::string& text) { return text.substr(0, text.find(':') + 13); }

// Names are the client's text: control characters must not reach a terminal.
std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) out += fmt::format("\\x{:02x}", byte);
    else out += c;
  }
  return out;
}

}  // namespace

Result<std::string> inspect_json(std::string_view definition_bytes) {
  const LoadedDefinition loaded = TRY(load_with_steps(definition_bytes, {}, ProxyNetwork::off));
  ordered_json out;
  out["format"] = 1;
  out["ops"] = ordered_json::array();
  for (std::size_t i = 0; i < loaded.steps.size(); ++i) {
    out["ops"].push_back(step_json(i, loaded.steps[i], vertex_of(loaded, loaded.steps[i])));
  }
  return out.dump();
}

Result<std::string> inspect_text(std::string_view definition_bytes) {
  const LoadedDefinition loaded = TRY(load_with_steps(definition_bytes, {}, ProxyNetwork::off));
  std::string out = fmt::format("{:>5}  {:<11}  {:<19}  {:<19}  {:<15}  {}\n", "OP", "KIND", "VERTEX", "CACHE MAP", "INPUTS", "NAME");
  std::unordered_map<VertexDigest, std::size_t> positions;
  for (std::size_t i = 0; i < loaded.steps.size(); ++i) positions.emplace(loaded.steps[i].digest, i);
  for (std::size_t i = 0; i < loaded.steps.size(); ++i) {
    const LoadedStep& step = loaded.steps[i];
    const Vertex* vertex = vertex_of(loaded, step);
    const auto maps = maps_of(vertex);
    std::string inputs;
    for (const auto& input : step.inputs) inputs += fmt::format("{}{}:{}", inputs.empty() ? "" : " ", positions.at(input.digest), input.output);
    out += fmt::format("{:>5}  {:<11}  {:<19}  {:<19}  {:<15}  {}\n", i, step.kind, short_digest(step.digest.str()),
                       maps.empty() ? "-" : short_digest(maps.front().digest.str()), inputs.empty() ? "-" : inputs,
                       vertex == nullptr ? "" : printable(vertex->name));
  }
  return out;
}

}  // namespace cairn::solver
