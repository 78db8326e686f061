// SPDX-License-Identifier: Apache-2.0
// The loop of one solve, and how an edge climbs. An edge asks its inputs for as little as it can: first for the keys that
// definitions give; then, where nothing matched, for whatever further keys they have; then for the content of inputs
// whose content decides; and only when nothing is found at all for all inputs, to run.
#include "libsolver/schedule/run.h"

#include <algorithm>

namespace cairn::solver {

Run::Run(SolverShared& shared, const SolveRequest& request, ProgressSink& sink, std::stop_token stop)
    : shared_(shared), request_(request), mailbox_(std::make_shared<Mailbox>(sink)), stop_(std::move(stop)) {}

SolveOutcome Run::run() {
  const auto begun = shared_.clock.steady_now();
  std::vector<StepInfo> infos;
  for (const auto& vertex : request_.definition.vertices) infos.push_back({vertex->digest, vertex->name});
  mailbox_->progress([&](ProgressSink& sink) { sink.on_graph(infos); });

  const base::Status built = build();
  {
    std::stop_callback on_stop(stop_, [mailbox = mailbox_, this] {
      mailbox->post([this] {
        give_up(base::Error{base::ErrorCode::cancelled, "solve: cancelled", {}});
      });
    });
    if (!built) give_up(built.error());
    loop();
  }
  SolveOutcome result = outcome();
  mailbox_->close();
  result.duration = shared_.clock.steady_now() - begun;
  return result;
}

base::Status Run::build() {
  const Definition& definition = request_.definition;
  nodes_.resize(definition.vertices.size());
  for (NodeIndex i = 0; i < nodes_.size(); ++i) {
    Node& node = nodes_[i];
    node.vertex = definition.vertices[i];
    node.ignore_cache = node.vertex->ignore_cache || request_.use_cache == UseCache::no;
    for (const VertexInput& input : node.vertex->inputs) node.inputs.push_back(edge_of(input.vertex, input.output));
    node.content.resize(node.inputs.size());
  }
  if (definition.result) {
    target_ = edge_of(definition.result->vertex, definition.result->output);
    for (NodeIndex i = 0; i < nodes_.size(); ++i) {
      auto op = make_op(nodes_[i].vertex, request_);
      if (!op) {
        nodes_[i].failed = true;
        nodes_[i].error = op.error().message;
        return tl::unexpected(base::add_context(std::move(op).error(), nodes_[i].vertex->name));
      }
      nodes_[i].op = std::move(*op);
      for (const auto& [output, edge] : nodes_[i].edges) {
        if (output < nodes_[i].op->outputs()) continue;
        return base::fail(base::ErrorCode::invalid_argument, "{}: a step takes output {}, but it has {}",
                          nodes_[i].vertex->name, output, nodes_[i].op->outputs());
      }
    }
    for (Edge& edge : edges_) edge.probes.resize(nodes_[edge.node].inputs.size());
    raise(*target_, Level::complete);
  }
  return {};
}

EdgeIndex Run::edge_of(NodeIndex node, std::uint32_t output) {
  const auto [place, is_new] = nodes_[node].edges.try_emplace(output, edges_.size());
  if (is_new) {
    edges_.emplace_back();
    edges_.back().node = node;
    edges_.back().output = output;
  }
  return place->second;
}

void Run::loop() {
  while (true) {
    if (!giving_up_ && !line_.empty()) {
      const base::Status read = shared_.cache.keys().read([&](Reader& reader) -> base::Status {
        while (!line_.empty() && !giving_up_) {
          const EdgeIndex next = line_.front();
          line_.pop_front();
          edges_[next].queued = false;
          if (edges_[next].blocked == 0) TRY(advance(next, reader));
        }
        return {};
      });
      if (!read) give_up(read.error());
    }
    const bool reached = target_ && edges_[*target_].level == Level::complete;
    if ((reached || !target_) && !giving_up_) give_up(base::Error{});  // winds down what is still running
    if (outstanding_ == 0 && giving_up_) return;
    CHECK(outstanding_ > 0, "a solve has nothing left to do and no result");
    for (Mailbox::Event& event : mailbox_->wait()) event();
  }
}

void Run::wake(EdgeIndex edge) {
  if (edges_[edge].queued) return;
  edges_[edge].queued = true;
  line_.push_back(edge);
}

void Run::raise(EdgeIndex edge, Level desire) {
  if (edges_[edge].desire >= desire) return;
  edges_[edge].desire = desire;
  wake(edge);
}

void Run::reach(EdgeIndex index, Level level) {
  Edge& edge = edges_[index];
  if (edge.level >= level) return;
  edge.level = level;
  std::vector<Waiter> still;
  for (const Waiter& waiter : edge.waiters) {
    if (waiter.level > level) {
      still.push_back(waiter);
    } else if (--edges_[waiter.edge].blocked == 0) {
      wake(waiter.edge);
    }
  }
  edge.waiters = std::move(still);
}

void Run::complete(EdgeIndex edge, OptionalRef result) {
  if (result) use(*result);
  edges_[edge].result = std::move(result);
  reach(edge, Level::complete);
}

void Run::use(const cache::ImmutableRef& ref) {
  durable_after_ = std::max(durable_after_, shared_.cache.sequence_of(ref));
}

void Run::fail_node(NodeIndex index, const base::Error& error) {
  Node& node = nodes_[index];
  if (giving_up_) return;  // it ended because we are giving up
  node.failed = true;
  node.error = error.message;
  report_finished(index, StepState::failed);
  give_up(base::add_context(error, node.vertex->name));
}

void Run::give_up(const base::Error& error) {
  if (giving_up_) return;
  giving_up_ = true;
  if (!error.message.empty()) error_ = error;
  line_.clear();
  jobs_stop_.request_stop();
  for (Node& node : nodes_) {
    if (!node.ticket) continue;
    if (shared_.flights.leave(*node.ticket) == Flights::Left::others_wait) {
      node.ticket.reset();  // it goes on for others; we do not wait for it
      --outstanding_;
    }
  }
}

base::Status Run::advance(EdgeIndex index, Reader& reader) {
  Edge& edge = edges_[index];
  const Node& node = nodes_[edge.node];
  const auto all = [](std::size_t) { return true; };
  const auto unmatched = [&](std::size_t input) { return edge.probes[input].targets.empty(); };
  // Whether it has what it was asked for, so that nothing more need be asked of the inputs.
  const auto look = [&]() -> base::Result<bool> {
    if (!node.ignore_cache) {
      TRY(probe(index, reader));
      if (TRY(try_candidates(index))) return true;
    }
    if (edge.desire == Level::slow && !edge.keys.empty()) reach(index, Level::slow);
    return edge.level >= edge.desire;
  };

  if (edge.level >= edge.desire) return {};
  if (!await_identity(index)) return {};
  if (!await_inputs(index, Level::fast, all)) return {};
  if (TRY(look())) return {};
  reach(index, Level::fast);
  if (edge.level >= edge.desire) return {};

  if (!node.ignore_cache) {
    if (!await_inputs(index, Level::slow, unmatched)) return {};
    if (TRY(look())) return {};
    if (!match_impossible(edge)) {
      if (!await_content(index, unmatched)) return {};
      if (TRY(look())) return {};
    }
    if (!match_impossible(edge)) {
      // Every input leads somewhere, but to no common key: the inputs that did match may have further keys.
      if (!await_inputs(index, Level::slow, all)) return {};
      if (!await_content(index, all)) return {};
      if (TRY(look())) return {};
    }
  }
  reach(index, Level::slow);
  if (edge.desire < Level::complete) return {};

  if (!await_inputs(index, Level::complete, all)) return {};
  if (!await_content(index, all)) return {};  // also to store the result under it
  if (TRY(look())) return {};
  if (node.execute == Phase::idle) start_execute(edge.node);
  return {};
}

bool Run::await_inputs(EdgeIndex index, Level level, const std::function<bool(std::size_t)>& wanted) {
  Edge& edge = edges_[index];
  const std::vector<EdgeIndex>& inputs = nodes_[edge.node].inputs;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!wanted(i) || edges_[inputs[i]].level >= level) continue;
    raise(inputs[i], level);
    edges_[inputs[i]].waiters.push_back({index, level});
    ++edge.blocked;
  }
  return edge.blocked == 0;
}

bool Run::match_impossible(const Edge& edge) const {
  const Node& node = nodes_[edge.node];
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    if (!edge.probes[i].targets.empty()) continue;
    const bool content_may_match =
        node.identity.maps.front().deps[i].content.has_value() && node.content[i].phase != Phase::done;
    if (!content_may_match && edges_[node.inputs[i]].level >= Level::slow) return true;
  }
  return false;
}

}  // namespace cairn::solver
