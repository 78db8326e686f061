// SPDX-License-Identifier: Apache-2.0
// What a solve hands to the pool: asking a source what it is, taking the content digest of an input, running a step. A
// job captures what it needs by value and answers by an event; it never touches the run. What it captured that may hold a
// record is gone before it answers: the solve may end with that answer, and nothing is held after a solve.
#include "libsolver/cache_key.h"
#include "libsolver/schedule/run.h"

namespace cairn::solver {

OpContext Run::context(NodeIndex node, std::stop_token stop) {
  return OpContext{
      .cache = shared_.cache,
      .executor = shared_.executor,
      .output = [mailbox = mailbox_, node](Stream stream, std::string_view bytes) {
        mailbox->progress([&](ProgressSink& sink) { sink.on_output(node, stream, bytes); });
      },
      .bytes = [mailbox = mailbox_, node](std::uint64_t done, std::uint64_t total) {
        mailbox->progress([&](ProgressSink& sink) { sink.on_bytes(node, done, total); });
      },
      .stop = std::move(stop),
      .fetcher = shared_.fetcher,
      .solve = {},
      .cache_mounts = shared_.cache_mounts,
      .origins = &shared_.origins,
      .resolved = {resolved_},
  };
}

void Run::identify(NodeIndex index, std::uint32_t at) {
  Step& step = steps_[index];
  if (step.op->identify_cost() == Op::Cost::pure) {
    return take_identity(index, step.op->identify(at, context(index, jobs_stop_.get_token())));
  }
  const auto together = step.op->identify_together(at);
  return together ? identify_together(index, at, *together) : identify_here(index, at);
}

void Run::identify_here(NodeIndex index, std::uint32_t at) {
  report_started(index);
  auto job = [mailbox = mailbox_, op = steps_[index].op, context = context(index, jobs_stop_.get_token()), this, index,
              at](std::stop_token) mutable {
    auto identity = std::make_shared<base::Result<OpIdentity>>(op->identify(at, context));
    op.reset();
    mailbox->post([this, index, identity] {
      finish_job([&] { take_identity(index, std::move(*identity)); });
    });
  };
  const base::Status queued = shared_.pool.submit(std::move(job));
  if (!queued) return fail_step(index, queued.error());
  ++outstanding_;
}

void Run::identify_together(NodeIndex index, std::uint32_t at, const base::Sha256Bytes& identity) {
  IdentityFlights::Listener listener;
  const OpContext talk = context(index, {});
  listener.started = [mailbox = mailbox_, this, index] { mailbox->post([this, index] { report_started(index); }); };
  listener.output = talk.output;
  listener.bytes = talk.bytes;
  listener.resolved = talk.resolved;
  listener.done = [mailbox = mailbox_, this, index](IdentityFlights::Outcome outcome, IdentityFlights::Listener::Role) {
    mailbox->post([this, index, outcome = std::move(outcome)] {
      if (!steps_[index].asking) return;  // we left it to others
      steps_[index].asking.reset();
      finish_job([&] {
        if (!outcome) return take_identity(index, tl::unexpected(outcome.error()));
        take_identity(index, **outcome);
      });
    });
  };
  auto work = [shared = &shared_, op = steps_[index].op, at](
                  const IdentityFlights::Listener& to_all, std::stop_token stop) -> base::Result<OpIdentity> {
    const OpContext context{.cache = shared->cache, .executor = shared->executor, .output = to_all.output,
                            .bytes = to_all.bytes, .stop = std::move(stop), .fetcher = shared->fetcher, .solve = {},
                            .cache_mounts = shared->cache_mounts, .origins = &shared->origins,
                            .resolved = to_all.resolved};
    return op->identify(at, context);
  };
  ++outstanding_;
  steps_[index].asking = shared_.identities.join(identity, std::move(work), std::move(listener));
}

void Run::take_identity(NodeIndex index, base::Result<OpIdentity> identity) {
  if (!identity) return fail_step(index, identity.error());
  const std::size_t inputs = graph_.node(index).inputs.size();
  if (identity->map.deps.size() != inputs) {
    return fail_step(index, base::Error{base::ErrorCode::invalid_argument,
                                        fmt::format("its cache map does not fit its {} inputs", inputs), {}});
  }
  graph_.mapped(index, std::move(*identity));
}

void Run::digest(NodeIndex index, std::uint32_t input) {
  auto job = [mailbox = mailbox_, op = steps_[index].op, ref = refs_[graph_.node(index).inputs[input]],
              dep = graph_.node(index).maps.back().deps[input], talk = context(index, jobs_stop_.get_token()), this, index,
              input](std::stop_token) mutable {
    const base::Status here = unlazy(talk, {&ref, 1});
    auto digest = std::make_shared<base::Result<TreeDigest>>(
        here ? op->content_digest(input, dep, ref, talk.stop) : base::Result<TreeDigest>(tl::unexpected(here.error())));
    op.reset();
    ref.reset();
    mailbox->post([this, index, input, digest] {
      finish_job([&] { take_digest(index, input, *digest); });
    });
  };
  const base::Status queued = shared_.pool.submit(std::move(job));
  if (!queued) return fail_step(index, queued.error());
  ++outstanding_;
}

void Run::take_digest(NodeIndex index, std::uint32_t input, const base::Result<TreeDigest>& digest) {
  if (digest) return graph_.digested(index, input, content_key(*digest));
  const EdgeIndex edge = graph_.node(index).inputs[input];
  const std::string& name = steps_[graph_.edge(edge).node].vertex->name;
  failed_input_ = SolveOutcome::FailedInput{index, input, refs_[edge]};
  fail_step(index, base::add_context(digest.error(), fmt::format("look into its input \"{}\"", name)));
}

void Run::execute(NodeIndex index) {
  Step& step = steps_[index];
  step.stopping = false;
  std::vector<OptionalRef> inputs;
  for (EdgeIndex input : graph_.node(index).inputs) inputs.push_back(refs_[input]);

  Flights::Listener listener;
  listener.started = [mailbox = mailbox_, this, index] { mailbox->post([this, index] { report_started(index); }); };
  OpContext talk = context(index, {});
  listener.output = talk.output;
  listener.bytes = talk.bytes;
  listener.kept = [mailbox = mailbox_, this, index](const KeptTree& tree) {
    mailbox->post([this, index, tree] { steps_[index].kept.push_back(tree); });
  };
  listener.resolved = talk.resolved;
  listener.done = [mailbox = mailbox_, this, index, attempt = ++step.attempt](Flights::Outcome outcome, Role role) {
    mailbox->post([this, index, attempt, outcome = std::move(outcome), role] {
      finish_execute(index, attempt, outcome, role);
    });
  };
  const base::Sha256Bytes identity = step.op->work_identity(inputs);
  const auto wants = graph_.node(index).use_cache == UseCache::no ? Flights::Wants::anew : Flights::Wants::any;
  ++outstanding_;
  step.running = shared_.flights.join(identity, make_work(index, graph_.plan_keys(index, step.op->outputs()), std::move(inputs)),
                                      std::move(listener), wants, step.op->place());
}

void Run::stop_execution(NodeIndex index) {
  Step& step = steps_[index];
  if (!step.running) return;
  step.stopping = true;
  if (shared_.flights.leave(*step.running) != Flights::Left::others_wait) return;  // its end will be told
  step.running.reset();
  --outstanding_;
  graph_.execution_stopped(index);
}

}  // namespace cairn::solver
