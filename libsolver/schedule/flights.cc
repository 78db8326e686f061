// SPDX-License-Identifier: Apache-2.0
#include "libsolver/schedule/flights.h"

#include <algorithm>

namespace cairn::solver {

template <class Output>
bool FlightsOf<Output>::any_interested(const std::vector<Joiner>& joiners) {
  return std::any_of(joiners.begin(), joiners.end(), [](const Joiner& joiner) { return joiner.interested; });
}

template <class Output>
typename FlightsOf<Output>::Ticket FlightsOf<Output>::join(const base::Sha256Bytes& identity, Work work,
                                                           Listener listener, Wants wants, Op::Place place) {
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
    const bool will_do = created || wants == Wants::any || flight->joiners.front().wants == Wants::anew;
    const bool joins = will_do && !flight->stop.stop_requested();
    if (flight->started && joins) already_started = listener.started;
    auto& line = joins ? flight->joiners : flight->later;
    line.push_back(Joiner{ticket, std::move(work), std::move(listener), wants, place, true});
  }
  if (already_started) already_started();
  if (created) launch(name, created);
  return ticket;
}

template <class Output>
typename FlightsOf<Output>::Left FlightsOf<Output>::leave(Ticket ticket) {
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

template <class Output>
void FlightsOf<Output>::launch(std::string identity, std::shared_ptr<Flight> flight) {
  const Op::Place place = [&] {
    auto state = state_.lock();
    return flight->joiners.front().place;
  }();
  const base::Status queued = submit_([this, identity, flight](std::stop_token) { run(identity, flight); }, place);
  if (!queued) land(identity, flight, tl::unexpected(queued.error()));
}

template <class Output>
std::vector<typename FlightsOf<Output>::Listener> FlightsOf<Output>::listeners(const std::shared_ptr<Flight>& flight) {
  auto state = state_.lock();
  std::vector<Listener> all;
  for (const Joiner& joiner : flight->joiners) all.push_back(joiner.listener);
  return all;
}

template <class Output>
void FlightsOf<Output>::run(const std::string& identity, const std::shared_ptr<Flight>& flight) {
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
  Listener to_all;
  for (const Listener& listener : waiting) {
    listener.started();
    to_all.resolved.insert(to_all.resolved.end(), listener.resolved.begin(), listener.resolved.end());
  }
  to_all.output = [this, flight](Stream stream, std::string_view bytes) {
    for (const Listener& listener : listeners(flight)) listener.output(stream, bytes);
  };
  to_all.bytes = [this, flight](std::uint64_t done, std::uint64_t total) {
    for (const Listener& listener : listeners(flight)) listener.bytes(done, total);
  };
  to_all.kept = [this, flight](const KeptTree& tree) {
    for (const Listener& listener : listeners(flight)) {
      if (listener.kept) listener.kept(tree);
    }
  };
  base::Result<Output> result = work(to_all, stop);
  work = nullptr;
  if (result) {
    land(identity, flight, std::make_shared<const Output>(std::move(*result)));
  } else {
    land(identity, flight, tl::unexpected(std::move(result).error()));
  }
}

template <class Output>
void FlightsOf<Output>::land(const std::string& identity, const std::shared_ptr<Flight>& flight, Outcome outcome) {
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
      // Who wants it anew leads: that will do for all.
      std::stable_partition(later.begin(), later.end(), [](const Joiner& joiner) { return joiner.wants == Wants::anew; });
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

template class FlightsOf<OpOutputs>;
template class FlightsOf<OpIdentity>;

}  // namespace cairn::solver
