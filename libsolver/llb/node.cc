// SPDX-License-Identifier: Apache-2.0
#include "libsolver/llb/node.h"

#include <atomic>

namespace cairn::solver::llb {

Node::~Node() {
  std::vector<NodeInput> dying = std::move(needs);
  while (!dying.empty()) {
    const std::shared_ptr<const Node> node = std::move(dying.back().node);
    dying.pop_back();
    if (node.use_count() > 1) continue;
    std::atomic_thread_fence(std::memory_order_acquire);  // after what the other owners did before they let go
    // Nobody else can see it, so what it needs may be taken from it.
    auto& last = const_cast<Node&>(*node);
    for (auto& need : last.needs) dying.push_back(std::move(need));
    last.needs.clear();
  }
}

std::size_t Node::need_state(const State& state) {
  const NodeInput wanted = input(state);
  for (std::size_t i = 0; i < needs.size(); ++i) {
    if (needs[i] == wanted) return i;
  }
  needs.push_back(wanted);
  return needs.size() - 1;
}

void Node::name(std::string_view custom_name) {
  if (!custom_name.empty()) metadata.description["llb.customname"] = custom_name;
}

void Node::note(const StepNotes& notes) {
  for (const auto& [key, value] : notes.description) metadata.description[key] = value;
  for (const auto& capability : notes.capabilities) metadata.caps[capability] = true;
  metadata.progress_group = notes.progress_group;
  metadata.linux_resources = notes.resources;
  metadata.ignore_cache = notes.ignore_cache;
  lines = notes.lines;
}

Pending::Pending() : node_(std::make_shared<Node>()) {
  node_->error = base::Error{base::ErrorCode::invalid_argument, "a tree is used that was never said", {}};
}

State Pending::state() const { return Node::state(node_); }

void Pending::become(const State& tree) {
  CHECK(!tree.is_scratch());
  const NodeInput from = Node::input(tree);
  CHECK(from.output == 0);
  const Node& source = *from.node;
  node_->op = source.op;
  node_->needs = source.needs;
  node_->inputs = source.inputs;
  node_->folds_inputs = source.folds_inputs;
  node_->platform_use = source.platform_use;
  node_->platform = source.platform;
  node_->metadata = source.metadata;
  node_->lines = source.lines;
  node_->needs_unique_id = source.needs_unique_id;
  node_->error = source.error;
}

State wrong(std::string message) {
  auto node = std::make_shared<Node>();
  node->error = base::Error{base::ErrorCode::invalid_argument, std::move(message), {}};
  return Node::state(std::move(node));
}

}  // namespace cairn::solver::llb
