// SPDX-License-Identifier: Apache-2.0
// States made of other states.
#include "libsolver/llb/node.h"

namespace cairn::solver::llb {

State merge(const std::vector<State>& states, std::string_view name, const StepNotes& notes) {
  std::vector<State> used;
  for (const auto& state : states) {
    if (!state.is_scratch()) used.push_back(state);
  }
  if (used.empty()) return scratch();
  if (used.size() == 1) return used.front();
  auto node = std::make_shared<Node>();
  wire::MergeOp op;
  for (const auto& state : used) {
    wire::InputNumber number;
    number.input = static_cast<std::int64_t>(op.inputs.size());
    op.inputs.push_back(number);
    node->inputs.push_back(node->need_state(state));
  }
  node->op.op = std::move(op);
  node->need_capability("mergeop");
  node->note(notes);
  node->name(name);
  return Node::state(std::move(node));
}

State build(const State& source, std::string_view filename, std::string_view name) {
  if (source.is_scratch()) return wrong("the empty tree holds no definition to build");
  auto node = std::make_shared<Node>();
  wire::BuildOp op;
  op.builder = -1;  // the one of LLB
  op.inputs["buildkit.llb.definition"] = {};
  if (!filename.empty()) {
    op.attrs["llbbuild.filename"] = filename;
    node->need_capability("source.buildop.llbfilename");
  }
  node->inputs = {node->need_state(source)};
  node->platform_use = PlatformUse::wanted;
  node->op.op = std::move(op);
  node->name(name);
  return Node::state(std::move(node));
}

std::vector<State> passthrough(const std::vector<State>& inputs, const std::vector<std::size_t>& outputs, std::string_view id) {
  auto node = std::make_shared<Node>();
  wire::PassthroughOp op;
  op.id = id;
  for (const State& input : inputs) {
    if (input.is_scratch()) node->error = base::Error{base::ErrorCode::invalid_argument, "an input of a passthrough is scratch", {}};
    else node->inputs.push_back(node->need_state(input));
  }
  for (const std::size_t output : outputs) {
    op.outputs.push_back(static_cast<std::int64_t>(output));
    if (output < inputs.size()) continue;
    node->error = base::Error{base::ErrorCode::invalid_argument, fmt::format("a passthrough of {} inputs has no input {}", inputs.size(), output), {}};
  }
  node->op.op = std::move(op);
  node->need_capability("passthroughop");
  std::vector<State> states;
  for (std::size_t i = 0; i < outputs.size(); ++i) states.push_back(Node::state(node, static_cast<std::int64_t>(i)));
  return states;
}

State diff(const State& lower, const State& upper, std::string_view name) {
  if (upper.is_scratch()) return scratch();
  if (lower.is_scratch()) return upper;
  auto node = std::make_shared<Node>();
  wire::DiffOp op;
  op.lower.emplace();
  op.upper.emplace().input = 1;
  node->inputs = {node->need_state(lower), node->need_state(upper)};
  node->op.op = std::move(op);
  node->need_capability("diffop");
  node->name(name);
  return Node::state(std::move(node));
}

}  // namespace cairn::solver::llb
