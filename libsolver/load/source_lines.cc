// SPDX-License-Identifier: Apache-2.0
#include "libsolver/source_lines.h"

#include <algorithm>

#include "libsolver/wire/codec.h"

namespace cairn::solver {
namespace {

int line_of(const std::optional<wire::Position>& position) { return position ? position->line : 0; }

}  // namespace

std::vector<SourceLines> source_lines(const Definition& definition, std::string_view bytes, const VertexDigest& step) {
  const auto vertex = std::find_if(definition.vertices.begin(), definition.vertices.end(),
                                   [&](const auto& each) { return each->digest == step; });
  wire::DecodeBudget budget;
  const auto message = wire::decode_definition(bytes, budget);
  if (vertex == definition.vertices.end() || !message || !message->source) return {};
  const auto found = message->source->locations.find((*vertex)->wire_digest.str());
  if (found == message->source->locations.end()) return {};
  std::vector<SourceLines> lines;
  for (const wire::Location& location : found->second.locations) {
    const auto index = static_cast<std::size_t>(location.source_index);
    if (index >= message->source->infos.size()) continue;
    const wire::SourceInfo& info = message->source->infos[index];
    for (const wire::Range& range : location.ranges)
      lines.push_back({info.filename, info.data.value, line_of(range.start), line_of(range.end)});
  }
  return lines;
}

}  // namespace cairn::solver
