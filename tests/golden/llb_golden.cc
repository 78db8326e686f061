// SPDX-License-Identifier: Apache-2.0
// The llb family: definitions marshalled by BuildKit's client, and what BuildKit's loader and ops made of them. What is
// not checked is printed as "pending:", with the case and the reason; it is never skipped in silence.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "libbase/hash/sha256.h"
#include "libsolver/cache_map.h"
#include "libsolver/definition.h"
#include "libsolver/identifier.h"
#include "libsolver/ops/git_spec.h"
#include "libsolver/source_policy.h"
#include "libsolver/wire/codec.h"
#include "libsolver/wire/go_json.h"
#include "tests/golden/fixture_remote.h"
#include "tests/support/vectors.h"

namespace cairn::solver {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

std::string hash_text(std::string_view text) { return "sha256:" + base::to_hex(base::sha256(text)); }

json parse_go(const std::string& text) { return json::parse(text); }

// BuildKit's JSON view of an action; that of a symlink is missing there.
json action_view(const wire::FileAction& action) {
  struct View {
    json operator()(const std::monostate&) const { return json::object(); }
    json operator()(const wire::FileActionCopy& a) const { return {{"copy", parse_go(wire::go_json(a))}}; }
    json operator()(const wire::FileActionMkFile& a) const { return {{"mkfile", parse_go(wire::go_json(a))}}; }
    json operator()(const wire::FileActionMkDir& a) const { return {{"mkdir", parse_go(wire::go_json(a))}}; }
    json operator()(const wire::FileActionRm& a) const { return {{"rm", parse_go(wire::go_json(a))}}; }
    json operator()(const wire::FileActionSymlink&) const { return json::object(); }
  };
  return {{"input", action.input},
          {"secondaryInput", action.secondary_input},
          {"output", action.output},
          {"Action", std::visit(View{}, action.action)}};
}

json source_view(const wire::SourceOp& source) {
  json view = {{"identifier", source.identifier}};
  if (!source.attrs.empty()) view["attrs"] = source.attrs;
  return view;
}

json file_view(const wire::FileOp& file) {
  json view = json::object();
  for (const auto& action : file.actions) view["actions"].push_back(action_view(action));
  return view;
}

json platform_view(const wire::Platform& platform) {
  json view = json::object();
  if (!platform.architecture.empty()) view["Architecture"] = platform.architecture;
  if (!platform.os.empty()) view["OS"] = platform.os;
  if (!platform.variant.empty()) view["Variant"] = platform.variant;
  if (!platform.os_version.empty()) view["OSVersion"] = platform.os_version;
  if (!platform.os_features.empty()) view["OSFeatures"] = platform.os_features;
  return view;
}

json op_view(const wire::Op& op) {
  struct View {
    json operator()(const std::monostate&) const { return json::object(); }
    json operator()(const wire::ExecOp& o) const { return {{"exec", parse_go(wire::go_json(o))}}; }
    json operator()(const wire::SourceOp& o) const { return {{"source", source_view(o)}}; }
    json operator()(const wire::FileOp& o) const { return {{"file", file_view(o)}}; }
    json operator()(const wire::BuildOp& o) const { return {{"build", parse_go(wire::go_json(o))}}; }
    json operator()(const wire::MergeOp& o) const { return {{"merge", parse_go(wire::go_json(o))}}; }
    json operator()(const wire::DiffOp& o) const { return {{"diff", parse_go(wire::go_json(o))}}; }
    json operator()(const wire::PassthroughOp& o) const { return {{"passthrough", parse_go(wire::go_json(o))}}; }
  };
  json view = {{"Op", std::visit(View{}, op.op)}};
  for (const auto& input : op.inputs) {
    json entry = {{"digest", input.digest}};
    if (input.index != 0) entry["index"] = input.index;
    view["inputs"].push_back(entry);
  }
  if (op.platform) view["platform"] = platform_view(*op.platform);
  if (op.constraints) {
    view["constraints"] = json::object();
    if (!op.constraints->filter.empty()) view["constraints"]["filter"] = op.constraints->filter;
  }
  return view;
}

json selection_view(const cache::Selection& selection) {
  json view = {{"path", selection.path}, {"wildcard", selection.wildcard}, {"followLinks", selection.follow_links}};
  if (!selection.include_patterns.empty()) view["includePatterns"] = selection.include_patterns;
  if (!selection.exclude_patterns.empty()) view["excludePatterns"] = selection.exclude_patterns;
  if (!selection.required_paths.empty()) view["requiredPaths"] = selection.required_paths;
  return view;
}

class Case {
 public:
  Case(std::string name, json expected, std::string bytes, const json& fixtures, FixtureRemote& remote)
      : name_(std::move(name)), expected_(std::move(expected)), bytes_(std::move(bytes)), fixtures_(fixtures), remote_(remote) {}

  void check() {
    same("definition_sha256", base::to_hex(base::sha256(bytes_)), expected_.at("definition_sha256"));
    check_wire();
    const auto proxy = expected_.value("proxy_network", false) ? ProxyNetwork::on : ProxyNetwork::off;
    std::vector<SourcePolicy> policies;
    for (const json& each : expected_.value("source_policies", json::array())) {
      auto policy = SourcePolicy::parse(each.dump());
      if (!policy) return wrong("source policy", policy.error().message);
      policies.push_back(std::move(*policy));
    }
    const auto loaded = load_definition_under(bytes_, policies, {}, proxy);
    if (expected_.contains("load_error")) return check_load_error(loaded);
    if (!loaded) return wrong("load", loaded.error().message);
    check_loaded(*loaded);
  }

  const std::vector<std::string>& failures() const { return failures_; }
  const std::vector<std::string>& pending_checks() const { return pending_; }

 private:
  void wrong(const std::string& what, const std::string& why) { failures_.push_back(name_ + ": " + what + ": " + why); }
  void pending(const std::string& what, const std::string& why) { pending_.push_back(name_ + " " + what + " " + why); }
  void same(const std::string& what, const json& got, const json& want) {
    if (got != want) wrong(what, "got " + got.dump(-1, ' ', false, json::error_handler_t::replace) + ", want " + want.dump());
  }

  void check_wire() {
    wire::DecodeBudget budget;
    const auto message = wire::decode_definition(bytes_, budget);
    if (!message) return wrong("wire", message.error().message);
    same("wire round trip of the definition", hash_text(wire::encode(*message)), hash_text(bytes_));
    same("num_ops", message->def.size(), expected_.at("num_ops"));
    for (const json& op : expected_.at("ops")) {
      const std::size_t position = op.at("position");
      if (position >= message->def.size()) return wrong("wire", "an op is missing");
      check_wire_op(op, message->def[position].value);
      check_metadata(op, *message);
    }
  }

  void check_wire_op(const json& op, const std::string& raw) {
    const std::string what = "op " + op.at("position").dump();
    same(what + " digest_in_definition", hash_text(raw), op.at("digest_in_definition"));
    wire::DecodeBudget budget;
    const auto decoded = wire::decode_op(raw, budget);
    const bool undecodable = op.at("kind").get<std::string>().starts_with("undecodable");
    if (undecodable == decoded.has_value()) return wrong(what, undecodable ? "it was decoded" : decoded.error().message);
    if (!decoded) return;
    const std::string encoded = wire::encode(*decoded);
    if (name_.find("raw-") == std::string::npos) {
      same(what + " wire round trip", hash_text(encoded), hash_text(raw));
    } else {  // written by hand, maybe not canonical: encoding must at least reach a fixed point
      const auto again = wire::decode_op(encoded, budget);
      same(what + " wire fixed point", again ? wire::encode(*again) : again.error().message, encoded);
    }
    if (op.contains("op_as_decoded")) same(what + " op_as_decoded", op_view(*decoded), op.at("op_as_decoded"));
    else pending(what, "has no op_as_decoded");
  }

  void check_metadata(const json& op, const wire::DefinitionMessage& message) {
    if (!op.contains("metadata")) return;
    const auto found = message.metadata.find(op.at("digest_in_definition").get<std::string>());
    const wire::OpMetadata metadata = found == message.metadata.end() ? wire::OpMetadata{} : found->second;
    json view = {{"caps", json::array()}};
    for (const auto& [cap, needed] : metadata.caps) view["caps"].push_back(cap);
    if (!metadata.description.empty()) view["description"] = metadata.description;
    if (metadata.export_cache) {
      view["export_cache"] = json::object();
      if (metadata.export_cache->value) view["export_cache"]["Value"] = true;
    }
    json want = json::object();
    for (const auto& [key, value] : op.at("metadata").items()) {
      if (key == "caps" || key == "description" || key == "export_cache") want[key] = value;
      else if (key != "ignore_cache") pending("op " + op.at("position").dump(), "metadata " + key);
    }
    same("op " + op.at("position").dump() + " metadata", view, want);
    same("op " + op.at("position").dump() + " ignore_cache", metadata.ignore_cache, op.at("ignore_cache"));
  }

  void check_load_error(const base::Result<Definition>& loaded) {
    // BuildKit's loader refuses a definition without ops because its caller has answered "scratch" before.
    const bool scratch = loaded && expected_.at("num_ops") == 0 && loaded->vertices.empty() && !loaded->result;
    if (loaded && !scratch) wrong("load", "it should fail with: " + expected_.at("load_error").get<std::string>());
  }

  void check_loaded(const Definition& definition) {
    if (expected_.contains("head_after_load") && definition.result) {
      same("head_after_load",
           {{"digest", definition.vertices[definition.result->vertex]->digest.str()}, {"index", definition.result->output}},
           expected_.at("head_after_load"));
    } else if (expected_.contains("head_after_load")) {
      wrong("head_after_load", "there is no result");
    }
    std::map<std::string, const Vertex*> vertices;
    for (const auto& vertex : definition.vertices) vertices[vertex->digest.str()] = vertex.get();
    std::set<std::string> wanted;
    for (const json& op : expected_.at("ops")) {
      if (!op.contains("digest_after_load")) continue;
      const std::string digest = op.at("digest_after_load");
      wanted.insert(digest);
      const auto found = vertices.find(digest);
      if (found == vertices.end()) wrong("op " + op.at("position").dump(), "no vertex " + digest);
      else check_vertex(op, *found->second, definition);
    }
    same("number of vertices", vertices.size(), wanted.size());
  }

  void check_vertex(const json& op, const Vertex& vertex, const Definition& definition) {
    const std::string what = "op " + op.at("position").dump() + " ";
    same(what + "kind", kind_of(vertex.op), op.at("kind"));
    same(what + "name", vertex.name, op.at("name"));
    same(what + "ignore_cache", vertex.ignore_cache, op.at("ignore_cache"));
    json inputs = json::array();
    for (const auto& input : vertex.inputs) {
      inputs.push_back({{"digest", definition.vertices[input.vertex]->digest.str()}, {"index", input.output}});
    }
    same(what + "inputs_after_load", inputs, op.at("inputs_after_load"));
    if (op.contains("platform_after_load")) {
      same(what + "platform_after_load", platform_view(*vertex.op.platform), op.at("platform_after_load"));
    }
    check_cache_maps(what + std::string(kind_of(vertex.op)), op, vertex);
  }

  void check_cache_maps(const std::string& what, const json& op, const Vertex& vertex) {
    const auto maps = pure_cache_maps(vertex, fixtures_.at("session_id").get<std::string>());
    if (!maps && maps.error().code == base::ErrorCode::unavailable) return check_given_facts(what, op, vertex);
    if (op.contains("cache_map_error")) {
      if (maps) wrong(what, "the cache map should fail with: " + op.at("cache_map_error").get<std::string>());
      return;
    }
    if (!maps) return wrong(what, maps.error().message);
    const json want = op.value("cache_maps", json::array());
    same(what + " number of cache maps", maps->size(), want.size());
    for (std::size_t i = 0; i < std::min(maps->size(), want.size()); ++i) check_cache_map(what, (*maps)[i], want[i]);
  }

  void check_cache_map(const std::string& what, const CacheMap& map, const json& want) {
    if (want.at("hashed").contains("text")) same(what + " hashed text", map.hashed, want.at("hashed").at("text"));
    else pending(what, "hashed bytes are not text");
    same(what + " digest", map.digest.str(), want.at("digest"));
    const json deps = want.value("deps", json::array());
    same(what + " number of deps", map.deps.size(), deps.size());
    for (std::size_t i = 0; i < std::min(map.deps.size(), deps.size()); ++i) check_dep(what, map.deps[i], deps[i]);
  }

  void check_dep(const std::string& what, const CacheMapDep& dep, const json& want) {
    same(what + " selector", dep.selector ? dep.selector->str() : "", want.value("selector", ""));
    if (want.contains("selector_hashed")) {
      std::string joined;
      for (std::size_t i = 0; i < dep.selectors.size(); ++i) joined += (i ? std::string(1, '\0') : "") + dep.selectors[i];
      same(what + " selector text", joined, want.at("selector_hashed").at("text"));
    }
    same(what + " compute_digest_func", dep.content.has_value(), want.at("compute_digest_func"));
    same(what + " preprocess_func", dep.unlazy, want.at("preprocess_func"));
    if (!dep.content) return;
    json selections = json::array();
    for (const auto& selection : *dep.content) selections.push_back(selection_view(selection));
    same(what + " content_selectors", selections, want.at("content_selectors"));
  }

  // Sources that depend on what a remote side answers: asked as a solve asks them. Git's answers are given as facts.
  void check_given_facts(const std::string& what, const json& op, const Vertex& vertex) {
    const auto& source = std::get<wire::SourceOp>(vertex.op.op);
    const json want = op.value("cache_maps", json::array());
    const auto identifier = parse_source_identifier(source.identifier);
    if (identifier && identifier->scheme == "git" && !want.empty() && expected_.contains("git_resolution_given")) {
      return check_git(what, source, want[0]);
    }
    const auto maps = remote_.identify(vertex);
    if (op.contains("cache_map_error")) {
      if (maps) wrong(what, "it should fail with: " + op.at("cache_map_error").get<std::string>());
      return;
    }
    if (!maps) return wrong(what, maps.error().message);
    if (want.empty() || maps->size() > want.size()) return wrong(what, fmt::format("{} cache maps", maps->size()));
    // BuildKit says what an image without layers is twice.
    for (std::size_t i = 0; i < want.size(); ++i) check_cache_map(what, (*maps)[std::min(i, maps->size() - 1)], want[i]);
  }

  // Given what the remote side says of the ref, the map is a function of the op.
  void check_git(const std::string& what, const wire::SourceOp& source, const json& map) {
    const auto spec = parse_git_source(source);
    if (!spec) return wrong(what, spec.error().message);
    const json& given = expected_.at("git_resolution_given").at(spec->remote + "#" + spec->ref);
    const GitResolved resolved{given.at("checksum"), given.at("commit_checksum"), given.at("ref")};
    check_cache_map(what, git_cache_map(*spec, resolved), map);
  }

  std::string name_;
  json expected_;
  std::string bytes_;
  const json& fixtures_;
  FixtureRemote& remote_;
  std::vector<std::string> failures_;
  std::vector<std::string> pending_;
};

fs::path vectors() {
  return cairn::test::vector_folder("llb");
}

TEST(GoldenLlb, EveryCase) {
  ASSERT_TRUE(fs::exists(vectors() / "fixtures.json")) << vectors();
  const json fixtures = json::parse(read_file(vectors() / "fixtures.json"));
  FixtureRemote remote(fixtures);
  std::set<fs::path> definitions;
  for (const auto& entry : fs::directory_iterator(vectors())) {
    if (entry.path().extension() == ".pb") definitions.insert(entry.path());
  }
  std::size_t passed = 0, pending = 0;
  for (const auto& path : definitions) {
    fs::path described = path;
    described.replace_extension(".json");
    Case one(path.stem(), json::parse(read_file(described)), read_file(path), fixtures, remote);
    one.check();
    for (const auto& failure : one.failures()) ADD_FAILURE() << failure;
    for (const auto& check : one.pending_checks()) std::printf("pending: %s\n", check.c_str());
    passed += one.failures().empty() ? 1 : 0;
    pending += one.pending_checks().size();
  }
  std::printf("golden.llb: %zu cases, %zu passed, %zu pending checks\n", definitions.size(), passed, pending);
  EXPECT_GT(definitions.size(), 0u) << "no cases in " << vectors();
}

}  // namespace
}  // namespace cairn::solver
