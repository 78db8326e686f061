// SPDX-License-Identifier: Apache-2.0
// A socket that a step may talk to its client's agent through. It is in a file system of its own in memory, with the owner
// and mode that the step asks for; each connection to it becomes one to the agent, byte for byte.
#pragma once

#include <memory>

#include "libbase/path.h"
#include "libbase/result.h"
#include "libsnapshot/snapshotter.h"
#include "libsolver/exec/secret_tree.h"

namespace cairn::solver {

class AgentSocket {
 public:
  static constexpr const char* file = "agent";  // in the tree
  static constexpr std::size_t connections_max = 64;  // at a time; more wait

  // Errors: not_found (there is no agent at that path now), io.
  static base::Result<AgentSocket> open(const base::HostPath& agent, const SecretFile& file);
  AgentSocket(AgentSocket&&) noexcept;
  AgentSocket& operator=(AgentSocket&&) noexcept;
  ~AgentSocket();  // closes all connections

  snapshot::MountedTree take_tree();  // once

 private:
  struct State;
  explicit AgentSocket(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace cairn::solver
