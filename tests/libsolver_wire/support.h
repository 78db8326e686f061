// SPDX-License-Identifier: Apache-2.0
// Hand-made definitions, also such as no client writes.
#pragma once

#include <string>
#include <vector>

#include "libbase/hash/sha256.h"
#include "libsolver/digests.h"
#include "libsolver/wire/codec.h"

namespace cairn::solver::test {

inline std::string digest_text(std::string_view bytes) { return base::digest_of<VertexDigest>(bytes).str(); }

inline wire::Op source_op(std::string identifier) {
  wire::SourceOp source;
  source.identifier = std::move(identifier);
  wire::Op op;
  op.op = std::move(source);
  return op;
}

inline wire::Op exec_op(std::string input, std::vector<std::string> args = {"x"}) {
  wire::ExecOp exec;
  exec.meta.emplace().args = std::move(args);
  exec.mounts.emplace_back().dest = "/";
  wire::Op op;
  op.inputs.push_back({std::move(input), 0, {}});
  op.op = std::move(exec);
  return op;
}

inline wire::Op head_op(std::string input, std::int64_t index = 0) {
  wire::Op op;
  op.inputs.push_back({std::move(input), index, {}});
  return op;
}

inline std::string definition_of(const std::vector<std::string>& ops) {
  wire::DefinitionMessage message;
  for (const auto& op : ops) message.def.push_back({op});
  return wire::encode(message);
}

// The op, and a head that names it as the result.
inline std::string definition_with(const wire::Op& op) {
  const std::string bytes = wire::encode(op);
  return definition_of({bytes, wire::encode(head_op(digest_text(bytes)))});
}

}  // namespace cairn::solver::test
