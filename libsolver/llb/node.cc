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

State wrong(std::string message) {
  auto node = std::make_shared<Node>();
  node->error = base::Error{base::ErrorCode::invalid_argument, std::move(message), {}};
  return Node::state(std::move(node));
}

}  // namespace cairn::solver::llb
