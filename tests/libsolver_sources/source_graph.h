// SPDX-License-Identifier: Apache-2.0
// Definitions of a source, and of a step whose graph only a file knows.
#pragma once

#include <map>
#include <string>

#include "libbase/hash/sha256.h"
#include "libsolver/wire/codec.h"

namespace cairn::test {

// The bytes of a pb.Definition of these ops, of which each has the one before as its input; the last is the result.
inline std::string chain_of_ops(std::vector<solver::wire::Op> ops) {
  solver::wire::DefinitionMessage definition;
  ops.emplace_back();
  std::string before;
  for (solver::wire::Op& op : ops) {
    if (!before.empty()) {
      solver::wire::Input input;
      input.digest = "sha256:" + base::to_hex(base::sha256(before));
      op.inputs.push_back(std::move(input));
    }
    before = solver::wire::encode(op);
    definition.def.push_back({before});
  }
  return solver::wire::encode(definition);
}

inline std::string source_graph(const std::string& identifier, std::map<std::string, std::string> attrs = {}) {
  solver::wire::SourceOp source;
  source.identifier = identifier;
  source.attrs = std::move(attrs);
  solver::wire::Op op;
  op.op = std::move(source);
  return chain_of_ops({std::move(op)});
}

// A build step that solves this graph.
inline std::string nested_graph(const std::string& inner) {
  solver::wire::FileActionMkFile file;
  file.path = "/buildkit.llb.definition";
  file.mode = 0644;
  file.data = {inner};
  solver::wire::FileAction action;
  action.input = action.secondary_input = solver::wire::no_input;
  action.output = 0;
  action.action = std::move(file);
  solver::wire::FileOp files;
  files.actions.push_back(std::move(action));
  solver::wire::BuildOp build;
  build.builder = -1;
  build.inputs["buildkit.llb.definition"].input = 0;
  solver::wire::Op first, second;
  first.op = std::move(files);
  second.op = std::move(build);
  return chain_of_ops({std::move(first), std::move(second)});
}

}  // namespace cairn::test
