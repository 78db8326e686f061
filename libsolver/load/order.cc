// SPDX-License-Identifier: Apache-2.0
#include "libsolver/load/order.h"

#include <cstdint>

namespace cairn::solver {

base::Result<std::vector<std::size_t>> post_order(
    std::size_t count, std::span<const std::size_t> roots,
    const std::function<std::span<const std::size_t>(std::size_t)>& inputs_of) {
  enum class Mark : std::uint8_t { fresh, open, done };
  struct Frame {
    std::size_t node;
    std::size_t next_input;
  };
  std::vector<Mark> marks(count, Mark::fresh);
  std::vector<std::size_t> order;
  std::vector<Frame> stack;
  for (const std::size_t root : roots) {
    if (marks[root] != Mark::fresh) continue;
    marks[root] = Mark::open;
    stack.push_back({root, 0});
    while (!stack.empty()) {
      Frame& frame = stack.back();
      const auto inputs = inputs_of(frame.node);
      if (frame.next_input == inputs.size()) {
        marks[frame.node] = Mark::done;
        order.push_back(frame.node);
        stack.pop_back();
        continue;
      }
      const std::size_t input = inputs[frame.next_input++];
      if (marks[input] == Mark::open) {
        return base::fail(base::ErrorCode::invalid_argument, "op {} needs itself (a cycle)", input);
      }
      if (marks[input] == Mark::fresh) {
        marks[input] = Mark::open;
        stack.push_back({input, 0});
      }
    }
  }
  return order;
}

}  // namespace cairn::solver
