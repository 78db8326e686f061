// SPDX-License-Identifier: Apache-2.0
// States that come from outside, and those made of other states.
#include "libsolver/identifier.h"
#include "libsolver/llb/node.h"
#include "libsolver/wire/go_json.h"

namespace cairn::solver::llb {
namespace {

struct NewSource {
  std::shared_ptr<Node> node = std::make_shared<Node>();
  wire::SourceOp op;

  void attr(const char* key, std::string value) { op.attrs[key] = std::move(value); }
  void list(const char* key, const std::vector<std::string>& values, const char* capability) {
    if (values.empty()) return;
    attr(key, wire::go_json(values));
    node->need_capability(capability);
  }
  State finish(std::string identifier, std::string_view name) {
    op.identifier = std::move(identifier);
    node->op.op = std::move(op);
    node->name(name);
    return Node::state(std::move(node));
  }
};

}  // namespace

State image(std::string_view reference, const ImageOptions& options) {
  auto full = normalize_image_reference(reference);
  if (!full) return wrong(full.error().message);
  NewSource source;
  source.node->platform_use = PlatformUse::wanted;
  source.node->platform = options.platform;
  source.node->need_capability("source.image");
  if (!options.resolve_mode.empty()) {
    source.attr("image.resolvemode", options.resolve_mode);
    // The other modes only save work; a daemon that ignores them is still right.
    if (options.resolve_mode == "pull") source.node->need_capability("source.image.resolvemode");
  }
  if (options.layer_limit != 0) {
    source.attr("image.layerlimit", std::to_string(options.layer_limit));
    source.node->need_capability("source.image.layerlimit");
  }
  if (!options.checksum.empty()) {
    source.attr("image.checksum", options.checksum);
    source.node->need_capability("source.image.checksum");
  }
  return source.finish("docker-image://" + *full, options.name);
}

State oci_layout(std::string_view reference, const OciLayoutOptions& options) {
  if (reference_digest(reference).empty()) {
    return wrong(fmt::format("OCI layout reference \"{}\" has no digest", reference));
  }
  NewSource source;
  source.node->platform_use = PlatformUse::wanted;
  source.node->platform = options.platform;
  source.node->need_capability("source.ocilayout");
  if (!options.session_id.empty()) source.attr("oci.session", options.session_id);
  if (!options.store_id.empty()) source.attr("oci.store", options.store_id);
  if (options.layer_limit != 0) source.attr("oci.layerlimit", std::to_string(options.layer_limit));
  return source.finish(fmt::format("oci-layout://{}", reference), options.name);
}

State local(std::string_view name, const LocalOptions& options) {
  NewSource source;
  source.node->need_capability("source.local");
  if (!options.session_id.empty()) {
    source.attr("local.session", options.session_id);
    source.node->need_capability("source.local.sessionid");
  }
  source.list("local.includepattern", options.include_patterns, "source.local.includepatterns");
  source.list("local.followpaths", options.follow_paths, "source.local.followpaths");
  source.list("local.excludepatterns", options.exclude_patterns, "source.local.excludepatterns");
  if (!options.shared_key_hint.empty()) {
    source.attr("local.sharedkeyhint", options.shared_key_hint);
    source.node->need_capability("source.local.sharedkeyhint");
  }
  if (!options.unique_id.empty()) source.attr("local.unique", options.unique_id);
  source.node->needs_unique_id = options.session_id.empty() && options.unique_id.empty();
  if (source.node->needs_unique_id || !options.unique_id.empty()) source.node->need_capability("source.local.unique");
  return source.finish(fmt::format("local://{}", name), options.name);
}

State merge(const std::vector<State>& states, std::string_view name) {
  std::vector<State> used;
  for (const auto& state : states) {
    if (!state.is_scratch()) used.push_back(state);
  }
  if (used.empty()) return scratch();
  if (used.size() == 1) return used.front();
  auto node = std::make_shared<Node>();
  wire::MergeOp op;
  for (const auto& state : used) {
    wire::InputNumber number;
    number.input = static_cast<std::int64_t>(op.inputs.size());
    op.inputs.push_back(number);
    node->inputs.push_back(node->need_state(state));
  }
  node->op.op = std::move(op);
  node->need_capability("mergeop");
  node->name(name);
  return Node::state(std::move(node));
}

State build(const State& source, std::string_view filename, std::string_view name) {
  if (source.is_scratch()) return wrong("the empty tree holds no definition to build");
  auto node = std::make_shared<Node>();
  wire::BuildOp op;
  op.builder = -1;  // the one of LLB
  op.inputs["buildkit.llb.definition"] = {};
  if (!filename.empty()) {
    op.attrs["llbbuild.filename"] = filename;
    node->need_capability("source.buildop.llbfilename");
  }
  node->inputs = {node->need_state(source)};
  node->platform_use = PlatformUse::wanted;
  node->op.op = std::move(op);
  node->name(name);
  return Node::state(std::move(node));
}

std::vector<State> passthrough(const std::vector<State>& inputs, const std::vector<std::size_t>& outputs, std::string_view id) {
  auto node = std::make_shared<Node>();
  wire::PassthroughOp op;
  op.id = id;
  for (const State& input : inputs) {
    if (input.is_scratch()) node->error = base::Error{base::ErrorCode::invalid_argument, "an input of a passthrough is scratch", {}};
    else node->inputs.push_back(node->need_state(input));
  }
  for (const std::size_t output : outputs) {
    op.outputs.push_back(static_cast<std::int64_t>(output));
    if (output < inputs.size()) continue;
    node->error = base::Error{base::ErrorCode::invalid_argument, fmt::format("a passthrough of {} inputs has no input {}", inputs.size(), output), {}};
  }
  node->op.op = std::move(op);
  node->need_capability("passthroughop");
  std::vector<State> states;
  for (std::size_t i = 0; i < outputs.size(); ++i) states.push_back(Node::state(node, static_cast<std::int64_t>(i)));
  return states;
}

State diff(const State& lower, const State& upper, std::string_view name) {
  if (upper.is_scratch()) return scratch();
  if (lower.is_scratch()) return upper;
  auto node = std::make_shared<Node>();
  wire::DiffOp op;
  op.lower.emplace();
  op.upper.emplace().input = 1;
  node->inputs = {node->need_state(lower), node->need_state(upper)};
  node->op.op = std::move(op);
  node->need_capability("diffop");
  node->name(name);
  return Node::state(std::move(node));
}

}  // namespace cairn::solver::llb
