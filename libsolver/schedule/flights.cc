// SPDX-License-Identifier: Apache-2.0
#include "libsolver/schedule/flights.h"

#include <algorithm>

namespace cairn::solver {

// Guarded by Flights::state_.
struct Flights::Flight {
  std::vector<Joiner> joiners;  // the first is the leader
  std::vector<Joiner> later;    // came when the work had been asked to stop
  std::stop_source stop;
  bool started = false;
};

bool Flights::any_interested(const std::vector<Joiner>& joiners) {
  return std::any_of(joiners.begin(), joiners.end(), [](const Joiner& joiner) { return joiner.interested; });
}

Flights::Ticket Flights::join(const base::Sha256Bytes& identity, Work work, Listener listener) {
  const std::string name(reinterpret_cast<const char*>(identity.data()), identity.size());
  std::shared_ptr<Flight> created;
  std::function<void()> already_started;
  Ticket ticket;
  {
    auto state = state_.lock();
    ticket = state->next_ticket++;
    state->tickets[ticket] = name;
    std::shared_ptr<Flight>& flight = state->flights[name];
    if (!flight) created = flight = std::make_shared<Flight>();
    if (flight->started && !flight->stop.stop_requested()) already_started = listener.started;
    auto& line = flight->stop.stop_requested() ? flight->later : flight->joiners;
    line.push_back(Joiner{ticket, std::move(work), std::move(listener)});
  }
  if (already_started) already_started();
  if (created) launch(name, created);
  return ticket;
}

Flights::Left Flights::leave(Ticket ticket) {
  std::stop_source stop(std::nostopstate);
  {
    auto state = state_.lock();
    const auto name = state->tickets.find(ticket);
    if (name == state->tickets.end()) return Left::landed;
    const std::shared_ptr<Flight>& flight = state->flights.at(name->second);
    for (auto* line : {&flight->joiners, &flight->later}) {
      for (Joiner& joiner : *line) {
        if (joiner.ticket == ticket) joiner.interested = false;
      }
    }
    if (any_interested(flight->joiners)) return Left::others_wait;
    stop = flight->stop;
  }
  stop.request_stop();  // outside the lock: stop callbacks run here
  return Left::last;
}

void Flights::launch(std::string identity, std::shared_ptr<Flight> flight) {
  const base::Status queued =
      pool_.submit([this, identity, flight](std::stop_token) { run(identity, flight); });
  if (!queued) land(identity, flight, tl::unexpected(queued.error()));
}

std::vector<Flights::Listener> Flights::listeners(const std::shared_ptr<Flight>& flight) {
  auto state = state_.lock();
  std::vector<Listener> all;
  for (const Joiner& joiner : flight->joiners) all.push_back(joiner.listener);
  return all;
}

void Flights::run(const std::string& identity, const std::shared_ptr<Flight>& flight) {
  Work work;
  std::vector<Listener> waiting;
  {
    auto state = state_.lock();
    flight->started = true;
    if (!any_interested(flight->joiners)) flight->stop.request_stop();  // no callback can be registered yet
    work = flight->joiners.front().work;
    for (const Joiner& joiner : flight->joiners) waiting.push_back(joiner.listener);
  }
  const std::stop_token stop = flight->stop.get_token();
  if (stop.stop_requested()) {
    work = nullptr;
    land(identity, flight, base::fail(base::ErrorCode::cancelled, "cancelled before it started"));
    return;
  }
  for (const Listener& listener : waiting) listener.started();
  Listener to_all;
  to_all.output = [this, flight](Stream stream, std::string_view bytes) {
    for (const Listener& listener : listeners(flight)) listener.output(stream, bytes);
  };
  to_all.bytes = [this, flight](std::uint64_t done, std::uint64_t total) {
    for (const Listener& listener : listeners(flight)) listener.bytes(done, total);
  };
  base::Result<OpOutputs> result = work(to_all, stop);
  work = nullptr;
  if (result) {
    land(identity, flight, std::make_shared<const OpOutputs>(std::move(*result)));
  } else {
    land(identity, flight, tl::unexpected(std::move(result).error()));
  }
}

void Flights::land(const std::string& identity, const std::shared_ptr<Flight>& flight, Outcome outcome) {
  std::vector<Joiner> landed;
  std::shared_ptr<Flight> next;
  {
    auto state = state_.lock();
    landed = std::move(flight->joiners);
    for (const Joiner& joiner : landed) state->tickets.erase(joiner.ticket);
    std::vector<Joiner> later = std::move(flight->later);
    if (later.empty()) {
      state->flights.erase(identity);
    } else {
      next = std::make_shared<Flight>();
      next->joiners = std::move(later);
      state->flights[identity] = next;
    }
  }
  // Who hears of the end may look at once whether anything is still held, so nothing is held here then.
  for (Joiner& joiner : landed) joiner.work = nullptr;
  for (std::size_t i = 0; i < landed.size(); ++i) {
    Outcome told = i + 1 < landed.size() ? outcome : std::move(outcome);
    landed[i].listener.done(std::move(told), i == 0 ? Listener::Role::leader : Listener::Role::joiner);
  }
  if (next) launch(identity, next);
}

}  // namespace cairn::solver
