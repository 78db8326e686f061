// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "libsolver/llb/node.h"
#include "libsolver/ops/cache_maps.h"

namespace cairn::solver::llb {

const State::Values& State::values() const {
  static const Values none;
  return values_ == nullptr ? none : *values_;
}

State State::with_values(Values values) const {
  State state = *this;
  state.values_ = std::make_shared<const Values>(std::move(values));
  return state;
}

State State::on(std::shared_ptr<const Node> node, std::int64_t output) const {
  State state(std::move(node), output);
  state.values_ = values_;
  return state;
}

State State::env(std::string_view key, std::string_view value) const {
  Values next = values();
  std::erase_if(next.env, [&](const auto& entry) { return entry.first == key; });
  next.env.emplace_back(key, value);
  return with_values(std::move(next));
}

State State::dir(std::string_view path) const {
  Values next = values();
  next.dir = rooted_path(path.starts_with('/') ? std::string(path) : fmt::format("{}/{}", next.dir, path));
  return with_values(std::move(next));
}

State State::user(std::string_view name) const {
  Values next = values();
  next.user = name;
  return with_values(std::move(next));
}

State State::platform(Platform platform) const {
  Values next = values();
  next.platform = std::move(platform);
  return with_values(std::move(next));
}

}  // namespace cairn::solver::llb
