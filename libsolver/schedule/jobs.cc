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
  };
}

bool Run::await_identity(EdgeIndex index) {
  const NodeIndex node_index = edges_[index].node;
  Node& node = nodes_[node_index];
  if (node.identify == Phase::idle) start_identify(node_index);
  return node.identify == Phase::done;
}

void Run::start_identify(NodeIndex index) {
  Node& node = nodes_[index];
  const auto finish = [this, index](base::Result<OpIdentity> identity) {
    Node& done = nodes_[index];
    if (!identity) return fail_node(index, identity.error());
    if (identity->maps.empty() || identity->maps.front().deps.size() != done.inputs.size()) {
      return fail_node(index, base::Error{base::ErrorCode::invalid_argument,
                                          fmt::format("its cache map does not fit its {} inputs", done.inputs.size()), {}});
    }
    done.identity = std::move(*identity);
    done.identify = Phase::done;
  };
  if (node.op->identify_cost() == Op::Cost::pure) {
    finish(node.op->identify(context(index, jobs_stop_.get_token())));
    return;
  }
  node.identify = Phase::running;
  report_started(index);
  auto job = [mailbox = mailbox_, op = node.op, context = context(index, jobs_stop_.get_token()), finish, this,
              index](std::stop_token) mutable {
    auto identity = std::make_shared<base::Result<OpIdentity>>(op->identify(context));
    op.reset();
    mailbox->post([this, index, finish, identity] {
      --outstanding_;
      finish(std::move(*identity));
      if (!giving_up_) {
        for (const auto& [output, edge] : nodes_[index].edges) wake(edge);
      }
    });
  };
  const base::Status queued = shared_.pool.submit(std::move(job));
  if (!queued) return fail_node(index, queued.error());
  ++outstanding_;
}

bool Run::await_content(EdgeIndex index, const std::function<bool(std::size_t)>& wanted) {
  const NodeIndex node_index = edges_[index].node;
  Node& node = nodes_[node_index];
  const auto has_content = [&](std::size_t i) {
    return wanted(i) && node.identity.maps.front().deps[i].content.has_value() &&
           node.content[i].phase != Phase::done;
  };
  if (!await_inputs(index, Level::complete, has_content)) return false;
  bool all_done = true;
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    if (!has_content(i)) continue;
    if (node.content[i].phase == Phase::idle) start_content(node_index, i);
    all_done = false;
  }
  return all_done;
}

void Run::start_content(NodeIndex index, std::size_t input) {
  Node& node = nodes_[index];
  node.content[input].phase = Phase::running;
  auto job = [mailbox = mailbox_, ref = edges_[node.inputs[input]].result,
              selections = *node.identity.maps.front().deps[input].content, stop = jobs_stop_.get_token(), this, index,
              input](std::stop_token) mutable {
    auto digest = std::make_shared<base::Result<TreeDigest>>(
        ref ? ref->content_digest(selections, stop) : cache::content_digest_of_nothing(selections));
    ref.reset();
    mailbox->post([this, index, input, digest] {
      --outstanding_;
      if (!*digest) {
        const std::string& name = nodes_[edges_[nodes_[index].inputs[input]].node].vertex->name;
        return fail_node(index, base::add_context(digest->error(), fmt::format("look into its input \"{}\"", name)));
      }
      nodes_[index].content[input] = {Phase::done, content_key(**digest)};
      if (!giving_up_) {
        for (const auto& [output, edge] : nodes_[index].edges) wake(edge);
      }
    });
  };
  const base::Status queued = shared_.pool.submit(std::move(job));
  if (!queued) return fail_node(index, queued.error());
  ++outstanding_;
}

void Run::start_execute(NodeIndex index) {
  Node& node = nodes_[index];
  node.execute = Phase::running;
  std::vector<OptionalRef> inputs;
  for (EdgeIndex input : node.inputs) inputs.push_back(edges_[input].result);

  Flights::Listener listener;
  listener.started = [mailbox = mailbox_, this, index] { mailbox->post([this, index] { report_started(index); }); };
  OpContext talk = context(index, {});
  listener.output = talk.output;
  listener.bytes = talk.bytes;
  listener.done = [mailbox = mailbox_, this, index](Flights::Outcome outcome, Role role) {
    mailbox->post([this, index, outcome = std::move(outcome), role] { finish_execute(index, outcome, role); });
  };
  const base::Sha256Bytes identity = node.op->work_identity(inputs);
  ++outstanding_;
  node.ticket = shared_.flights.join(identity, make_work(index, plan_keys(index), std::move(inputs)), std::move(listener));
}

}  // namespace cairn::solver
