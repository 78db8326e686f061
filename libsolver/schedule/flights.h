// SPDX-License-Identifier: Apache-2.0
// Work in flight: equal work that several solves want at one time is done once (I7). Who joins while it runs gets the
// same outcome; when nobody is interested any more the work is asked to stop; who comes after that waits for its end and
// it is begun anew.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <unordered_map>
#include <vector>

#include "libbase/digest.h"
#include "libbase/result.h"
#include "libbase/sync.h"
#include "libbase/thread_pool.h"
#include "libsolver/op.h"

namespace cairn::solver {

// Thread-safe.
class Flights {
 public:
  using Outcome = base::Result<std::shared_ptr<const OpOutputs>>;

  // What a joiner hears while the work runs, and once at its end. All of it on pool threads. When `done` is called, what
  // the work captured is gone, and the outcome given to the last one is the only one.
  struct Listener {
    std::function<void()> started;
    std::function<void(Stream, std::string_view)> output;
    std::function<void(std::uint64_t, std::uint64_t)> bytes;
    enum class Role { leader, joiner };  // the leader's work it was
    std::function<void(Outcome, Role)> done;
  };
  using Work = std::function<base::Result<OpOutputs>(const Listener& to_all, std::stop_token stop)>;
  using Ticket = std::uint64_t;

  explicit Flights(base::ThreadPool& pool) : pool_(pool) {}

  Ticket join(const base::Sha256Bytes& identity, Work work, Listener listener);
  // The ticket's holder is no longer interested. `done` will still be called, with whatever comes out; soon if the holder
  // was the last one interested, for then the work is asked to stop.
  enum class Left { last, others_wait, landed };
  Left leave(Ticket ticket);

 private:
  struct Flight;
  struct Joiner {
    Ticket ticket;
    Work work;
    Listener listener;
    bool interested = true;
  };
  struct State {
    std::unordered_map<std::string, std::shared_ptr<Flight>> flights;
    std::unordered_map<Ticket, std::string> tickets;
    Ticket next_ticket = 1;
  };
  static bool any_interested(const std::vector<Joiner>& joiners);
  void launch(std::string identity, std::shared_ptr<Flight> flight);
  void run(const std::string& identity, const std::shared_ptr<Flight>& flight);
  void land(const std::string& identity, const std::shared_ptr<Flight>& flight, Outcome outcome);
  std::vector<Listener> listeners(const std::shared_ptr<Flight>& flight);

  base::ThreadPool& pool_;
  base::Guarded<State> state_;
};

}  // namespace cairn::solver
