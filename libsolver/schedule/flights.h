// SPDX-License-Identifier: Apache-2.0
// Work in flight: equal work that several solves want at one time is done once (I7). Who joins while it runs gets the
// same outcome; when nobody is interested any more the work is asked to stop; who comes after that waits for its end and
// it is begun anew.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <unordered_map>
#include <vector>

#include "libbase/digest.h"
#include "libbase/result.h"
#include "libbase/sync.h"
#include "libbase/thread_pool.h"
#include "libsolver/op.h"

namespace cairn::solver {

// Thread-safe.
template <class Output>
class FlightsOf {
 public:
  using Outcome = base::Result<std::shared_ptr<const Output>>;

  // What a joiner hears while the work runs, and once at its end. All of it on pool threads. When `done` is called, what
  // the work captured is gone, and the outcome given to the last one is the only one.
  struct Listener {
    std::function<void()> started;
    std::function<void(Stream, std::string_view)> output;
    std::function<void(std::uint64_t, std::uint64_t)> bytes;
    std::function<void(const KeptTree&)> kept{};  // of work that fails; may be empty
    // What its solve has been told; of to_all: what all have who are there when the work begins.
    std::vector<std::shared_ptr<ResolverCache>> resolved{};
    enum class Role { leader, joiner };  // the leader's work it was
    std::function<void(Outcome, Role)> done;
  };
  using Work = std::function<base::Result<Output>(const Listener& to_all, std::stop_token stop)>;
  using Ticket = std::uint64_t;
  // Runs a task somewhere else, soon.
  using Submit = std::function<base::Status(base::ThreadPool::Task, Op::Place)>;
  // anew: work that somebody began who would have taken a stored result will not do. Who wants it so waits for the end of
  // that, and begins anew. The other way round it will do.
  enum class Wants { any, anew };

  explicit FlightsOf(base::ThreadPool& pool)
      : submit_([&pool](base::ThreadPool::Task task, Op::Place) { return pool.submit(std::move(task)); }) {}
  explicit FlightsOf(Submit submit) : submit_(std::move(submit)) {}

  Ticket join(const base::Sha256Bytes& identity, Work work, Listener listener, Wants wants = Wants::any,
              Op::Place place = Op::Place::pool);
  // The ticket's holder is no longer interested. `done` will still be called, with whatever comes out; soon if the holder
  // was the last one interested, for then the work is asked to stop.
  enum class Left { last, others_wait, landed };
  Left leave(Ticket ticket);

 private:
  struct Joiner {
    Ticket ticket;
    Work work;
    Listener listener;
    Wants wants = Wants::any;
    Op::Place place = Op::Place::pool;
    bool interested = true;
  };
  // Guarded by state_.
  struct Flight {
    std::vector<Joiner> joiners;  // the first is the leader
    std::vector<Joiner> later;    // came when the work had been asked to stop, or want it anew
    std::stop_source stop;
    bool started = false;
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

  Submit submit_;
  base::Guarded<State> state_;
};

using Flights = FlightsOf<OpOutputs>;
using IdentityFlights = FlightsOf<OpIdentity>;

}  // namespace cairn::solver
