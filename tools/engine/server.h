// SPDX-License-Identifier: Apache-2.0
// The owner's side of <root>/engine.sock: other processes' solves and prunes run in this engine, beside its own.
#pragma once

#include <memory>

#include "libbase/result.h"
#include "tools/engine/engine.h"

namespace cairn::engine {

// Thread-safe.
class Server {
 public:
  // Listens and serves. Only processes of this process's user (and root) are answered. The engine outlives the server.
  static base::Result<std::unique_ptr<Server>> start(Engine& engine);
  ~Server();  // cancels what is being served, and waits

  // No request is taken any more; returns when those being served have ended. A client that comes too late finds no
  // socket and becomes the owner itself.
  void drain();
  std::size_t being_served() const;

 private:
  Server();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cairn::engine
