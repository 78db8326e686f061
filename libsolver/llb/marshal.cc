// SPDX-License-Identifier: Apache-2.0
// A graph to bytes: each step after what it needs, equal steps once, then the head (spec/solver 1.4).
#include <sys/random.h>

#include <algorithm>
#include <unordered_map>

#include "libbase/hash/sha256.h"
#include "libsolver/digests.h"
#include "libsolver/llb/node.h"
#include "libsolver/load/order.h"
#include "libsolver/platform.h"
#include "libsolver/wire/codec.h"

namespace cairn::solver::llb {
namespace {

using base::Result;
using base::Status;

std::string random_id() {
  static constexpr char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
  std::uint8_t bytes[25] = {};
  CHECK(getrandom(bytes, sizeof bytes, 0) == static_cast<ssize_t>(sizeof bytes));
  std::string id;
  for (const auto byte : bytes) id += digits[byte % 36];
  return id;
}

class Marshaller {
 public:
  explicit Marshaller(const MarshalOptions& options)
      : platform_(options.platform ? *options.platform : host_platform()),
        unique_id_(options.local_unique_id.empty() ? random_id() : options.local_unique_id) {
    message_.source.emplace();
    if (options.source) source_error_ = add_source(*options.source);
  }

  Result<std::string> marshal(const NodeInput& result) {
    TRY(Status(source_error_));
    collect(result.node.get());
    const std::size_t root = 0;
    const auto order = TRY(post_order(nodes_.size(), std::span(&root, 1), [&](std::size_t i) { return std::span(edges_[i]); }));
    digests_.resize(nodes_.size());
    for (const std::size_t i : order) TRY(write(i));
    write_head(digests_[root], result.output);
    return wire::encode(message_);
  }

 private:
  // Numbers everything that the result needs; the result is 0.
  void collect(const Node* result) {
    numbers_.emplace(result, 0);
    nodes_.push_back(result);
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      std::vector<std::size_t> edges;
      for (const auto& need : nodes_[i]->needs) {
        const auto [found, fresh] = numbers_.emplace(need.node.get(), nodes_.size());
        if (fresh) nodes_.push_back(need.node.get());
        edges.push_back(found->second);
      }
      edges_.push_back(std::move(edges));
    }
  }

  Status write(std::size_t number) {
    const Node& node = *nodes_[number];
    if (node.error) return tl::unexpected(*node.error);
    wire::Op op = node.op;
    add_inputs(op, node);
    if (node.platform_use == PlatformUse::wanted) op.platform = node.platform ? *node.platform : platform_;
    op.constraints.emplace();
    if (node.needs_unique_id) std::get<wire::SourceOp>(op.op).attrs["local.unique"] = unique_id_;
    digests_[number] = append(op, node.metadata);
    wire::Locations& places = message_.source->locations[digests_[number]];
    if (!node.lines.empty()) places.locations.push_back({0, node.lines, {}});
    return {};
  }

  Status add_source(const SourceText& text) {
    wire::SourceInfo& info = message_.source->infos.emplace_back();
    info.filename = text.filename;
    info.data.value = text.data;
    info.language = text.language;
    if (text.definition.empty()) return {};
    wire::DecodeBudget budget;
    info.definition = wire::Box(TRY(wire::decode_definition(text.definition, budget)));
    return {};
  }

  void add_inputs(wire::Op& op, const Node& node) {
    std::vector<std::int64_t> numbers;  // by the number that the node gave
    for (const std::size_t need : node.inputs) {
      const auto& input = node.needs[need];
      const std::string& digest = digests_[numbers_.at(input.node.get())];
      const auto known = std::find_if(op.inputs.begin(), op.inputs.end(), [&](const wire::Input& other) {
        return node.folds_inputs && other.digest == digest && other.index == input.output;
      });
      numbers.push_back(known - op.inputs.begin());
      if (known == op.inputs.end()) op.inputs.push_back({digest, input.output, {}});
    }
    if (op.inputs.size() < numbers.size()) renumber(op, numbers);
  }

  static void renumber(wire::Op& op, const std::vector<std::int64_t>& numbers) {
    const auto before = static_cast<std::int64_t>(numbers.size());
    const auto after = static_cast<std::int64_t>(op.inputs.size());
    const auto change = [&](std::int64_t& input) {
      if (input >= before) input += after - before;  // of a file step: the result of an earlier action
      else if (input >= 0) input = numbers[static_cast<std::size_t>(input)];
    };
    if (auto* exec = std::get_if<wire::ExecOp>(&op.op)) {
      for (auto& mount : exec->mounts) change(mount.input);
    } else if (auto* file = std::get_if<wire::FileOp>(&op.op)) {
      for (auto& action : file->actions) {
        change(action.input);
        change(action.secondary_input);
      }
    }
  }

  std::string append(const wire::Op& op, const wire::OpMetadata& metadata) {
    std::string bytes = wire::encode(op);
    std::string digest = base::digest_of<VertexDigest>(bytes).str();
    const auto [known, fresh] = message_.metadata.try_emplace(digest);
    if (fresh) message_.def.push_back({std::move(bytes)});
    wire::OpMetadata& merged = known->second;
    merged.ignore_cache = merged.ignore_cache || metadata.ignore_cache;
    for (const auto& [key, value] : metadata.description) merged.description[key] = value;
    for (const auto& [capability, needed] : metadata.caps) merged.caps[capability] = true;
    if (metadata.progress_group) merged.progress_group = metadata.progress_group;
    if (metadata.linux_resources) merged.linux_resources = metadata.linux_resources;
    return digest;
  }

  void write_head(const std::string& result, std::int64_t output) {
    wire::OpMetadata metadata;
    metadata.caps = {{"constraints", true}, {"platform", true}};
    for (const auto& [digest, of_op] : message_.metadata) {
      if (of_op.ignore_cache) metadata.caps["meta.ignorecache"] = true;
      if (!of_op.description.empty()) metadata.caps["meta.description"] = true;
    }
    wire::Op head;
    head.inputs.push_back({result, output, {}});
    append(head, metadata);
  }

  Platform platform_;
  std::string unique_id_;
  std::unordered_map<const Node*, std::size_t> numbers_;
  std::vector<const Node*> nodes_;
  std::vector<std::vector<std::size_t>> edges_;
  std::vector<std::string> digests_;  // by number
  wire::DefinitionMessage message_;
  Status source_error_;
};

}  // namespace

Result<std::string> marshal(const State& state, const MarshalOptions& options) {
  if (state.is_scratch()) return std::string();
  return TRY(Marshaller(options).marshal(Node::input(state)), "marshal graph");
}

}  // namespace cairn::solver::llb
