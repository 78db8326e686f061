// SPDX-License-Identifier: Apache-2.0
// The cachekeys family: graphs of made-up steps that BuildKit's solver ran, with what was executed and what its exporters
// wrote; and scripts for its chain builder. BuildKit's own storage dump is informative and is not compared. Where BuildKit
// is not deterministic, any of the variants that it was seen to write is right.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iomanip>

#include "libsolver/cache_chains.h"
#include "libsolver/cache_key.h"
#include "libsolver/key_graph.h"
#include "libsolver/remote_cache.h"
#include "tests/golden/vector_tree.h"
#include "tests/libsolver_accept/fake_graph.h"

namespace cairn::solver::test {
namespace {

using golden::json;
using golden::fs::path;

path vectors() { return cairn::test::vector_folder("cachekeys"); }

std::string name_of(const ::testing::TestParamInfo<path>& info) {
  std::string name = info.param.stem().string();
  std::replace_if(name.begin(), name.end(), [](unsigned char c) { return !std::isalnum(c); }, '_');
  return name;
}

std::vector<path> files(bool chains) {
  std::vector<path> found;
  for (const auto& entry : golden::fs::directory_iterator(vectors())) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".json") && name.starts_with("chains-") == chains) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::string blob_of(const std::string& layer) { return "sha256:" + base::to_hex(base::sha256(layer)); }

base::WallTime time_of(const std::string& text) {
  std::tm parts{};
  std::istringstream in(text);
  in >> std::get_time(&parts, "%Y-%m-%dT%H:%M:%S");
  CHECK(!in.fail(), "time {}", text);
  return base::from_unix_ns(static_cast<std::int64_t>(timegm(&parts)) * 1'000'000'000);
}

// Everything that would have been right.
std::vector<json> variants(const json& of, const std::string& name) {
  std::vector<json> all;
  if (of.contains(name)) all.push_back(of.at(name).is_null() ? json::object() : of.at(name));
  for (const auto& [key, value] : of.items()) {
    if (!key.starts_with("all_") || !value.is_array()) continue;
    for (const json& each : value) all.push_back(each.is_object() && each.contains("config") ? each.at("config") : each);
  }
  for (json& each : all) {
    if (each.is_string()) each = json::parse(each.get<std::string>());
  }
  return all;
}

void expect_one_of(const json& got, const std::vector<json>& wanted, const std::string& what) {
  for (const json& each : wanted) {
    if (each == got) return;
  }
  ADD_FAILURE() << what << ": got\n" << got.dump(1) << "\nwanted (first of " << wanted.size() << ")\n"
                << (wanted.empty() ? "nothing" : wanted.front().dump(1));
}

class ChainVectors : public ::testing::TestWithParam<path> {};

TEST_P(ChainVectors, are_built_alike) {
  const json script = json::parse(golden::read_file(GetParam()));
  CacheChains chains;
  std::vector<std::optional<CacheChains::Record>> added;
  for (const json& add : script.at("adds")) {
    std::vector<std::vector<CacheChains::Source>> inputs;
    bool foreign = false;  // a source that was not accepted itself
    for (const json& dep : add.value("deps", json::array())) {
      auto& sources = inputs.emplace_back();
      for (const json& source : dep) {
        const auto& record = added.at(source.at("src").get<std::size_t>());
        foreign = foreign || !record;
        if (record) sources.push_back({*record, source.value("selector", "")});
      }
    }
    std::vector<ChainResult> results;
    for (const json& result : add.value("results", json::array())) {
      ChainResult& made = results.emplace_back();
      made.created = time_of(result.at("created_at"));
      if (!result.at("layers").is_null()) {
        for (const json& layer : result.at("layers")) made.layers.push_back(blob_of(layer));
      }
    }
    const auto record = chains.add(add.at("digest"), inputs, std::move(results));
    EXPECT_EQ(record && *record, add.at("accepted").get<bool>()) << add.dump();
    if (!foreign) {
      EXPECT_EQ(!record, add.contains("error")) << add.dump();
    }
    added.push_back(record ? *record : std::nullopt);
    if (add.contains("returned_same_record_as")) {
      EXPECT_EQ(added.back(), added.at(add.at("returned_same_record_as").get<std::size_t>())) << add.dump();
    }
  }
  const std::string text = chains.config().json();
  const auto read_back = parse_cache_config(text);
  EXPECT_TRUE(read_back && read_back->json() == text) << text;
  expect_one_of(json::parse(text), variants(script, "config"), script.at("name"));
  if (script.value("stable_over_200_runs", false)) {
    EXPECT_EQ(base::to_hex(base::sha256(text)), script.at("config_compact_json_sha256").get<std::string>()) << text;
  }
}
INSTANTIATE_TEST_SUITE_P(golden, ChainVectors, ::testing::ValuesIn(files(true)), name_of);

// The step's cache map digests and content are those of the vector.
class VectorOp final : public Op {
 public:
  explicit VectorOp(const json& vertex, std::function<void()> executed) : vertex_(vertex), executed_(std::move(executed)) {}
  Cost identify_cost() const override { return Cost::pure; }
  base::Result<OpIdentity> identify(std::uint32_t index, const OpContext&) override {
    const json& maps = vertex_.at("cache_maps");
    const json& map = maps.at(index);
    OpIdentity identity;
    identity.last = index + 1 == maps.size();
    std::string digest = map.at("digest");
    if (digest.starts_with("random:")) {
      identity.map.digest.scope = OpDigest::Scope::session;
      digest.replace(0, 7, "sha256:");
      // BuildKit finds it again in the same engine: so it has a key, but none that may leave it.
      identity.extra_keys = {private_key(map.at("digest").get<std::string>())};
    }
    identity.map.digest.hash = TRY(base::parse_sha256(digest));
    identity.map.deps.resize(inputs());
    const json deps = map.value("deps", json::array());
    for (std::size_t i = 0; i < deps.size(); ++i) {
      if (deps[i].contains("selector")) identity.map.deps[i].selector = TRY(SelectorDigest::parse(deps[i].at("selector").get<std::string>()));
      if (deps[i].contains("content_digest")) identity.map.deps[i].content.emplace();
    }
    return identity;
  }
  base::Result<TreeDigest> content_digest(std::uint32_t number, const CacheMapDep&, const OptionalRef&, std::stop_token) override {
    return TreeDigest::parse(vertex_.at("cache_maps").back().at("deps").at(number).at("content_digest").get<std::string>());
  }
  base::Sha256Bytes work_identity(std::span<const OptionalRef> inputs) const override {
    std::string text = vertex_.at("cache_maps").dump();
    for (const OptionalRef& input : inputs) text += " " + std::to_string(input ? input->id().value() : 0);
    return base::sha256(text);
  }
  base::Result<OpOutputs> execute(std::span<const OptionalRef>, const OpContext& context, cache::Publication& publication) override {
    executed_();
    OpOutputs made;
    for (const json& layers : vertex_.at("result_layers_per_output")) {
      cache::RecordFacts facts;
      facts.description = layers.dump();
      made.refs.emplace_back(TRY(TRY(context.cache.create(std::nullopt)).commit(publication, std::move(facts))));
    }
    return made;
  }
  std::uint32_t outputs() const override { return static_cast<std::uint32_t>(vertex_.at("result_layers_per_output").size()); }

 private:
  std::size_t inputs() const { return vertex_.value("inputs", json::array()).size(); }
  json vertex_;
  std::function<void()> executed_;
};

class GraphVectors : public ::testing::TestWithParam<path> {
 protected:
  explicit GraphVectors() : results_(results_of(*store_.cache)) {}

  std::size_t place(const std::string& name, Definition& definition, std::map<std::string, std::size_t>& places) {
    if (const auto found = places.find(name); found != places.end()) return found->second;
    const json& vertex = named(name);
    auto made = std::make_shared<Vertex>();
    for (const json& input : vertex.value("inputs", json::array())) {
      made->inputs.push_back({place(input.at("vertex"), definition, places), input.value("index", 0u)});
    }
    made->name = name;
    made->digest = base::digest_of<VertexDigest>(name);
    made->ignore_cache = vertex.value("ignore_cache", false);
    if (vertex.contains("export_cache") && !vertex.at("export_cache").is_null()) {
      made->metadata.export_cache = wire::ExportCache{vertex.at("export_cache").get<bool>(), {}};
    }
    definition.vertices.push_back(std::move(made));
    return places[name] = definition.vertices.size() - 1;
  }
  const json& named(const std::string& name) const {
    const json& all = graph_.at("vertices");
    return *std::find_if(all.begin(), all.end(), [&](const json& each) { return each.at("name") == name; });
  }

  // The times of records were replaced in the vectors.
  static json with_fixed_times(json config) {
    if (!config.contains("records")) return config;
    for (json& record : config.at("records")) {
      if (!record.contains("layers")) continue;
      for (json& layer : record.at("layers")) layer["createdAt"] = "2024-01-02T03:04:05Z";
    }
    return config;
  }
  json exported(const KeyGraph& keys, const json& how) {
    ExportOptions options;
    options.mode = how.at("mode") == "min" ? ExportOptions::Mode::min : ExportOptions::Mode::max;
    options.roots = how.at("export_roots") ? ExportOptions::Roots::with_results : ExportOptions::Roots::keys_only;
    options.backlinks = how.at("ignore_backlinks") ? ExportOptions::Backlinks::ignore : ExportOptions::Backlinks::follow;
    using Layers = base::Result<std::optional<std::vector<std::string>>>;
    options.existing = [](const OptionalRef&) -> Layers { return std::nullopt; };
    options.create = [](const OptionalRef& ref) -> Layers {
      std::vector<std::string> blobs;
      for (const json& layer : json::parse(value_of(ref))) blobs.push_back(blob_of(layer));
      return blobs;
    };
    CacheChains chains;
    must(export_keys(keys, *results_, options, chains));
    const auto read_back = parse_cache_config(chains.config().json());
    EXPECT_TRUE(read_back && read_back->json() == chains.config().json()) << chains.config().json();
    return with_fixed_times(json::parse(chains.config().json()));
  }

  json graph_;
  base::SystemClock clock_;
  cache::OpenStore store_{"native"};
  std::unique_ptr<MainStore> results_;
};

TEST_P(GraphVectors, execute_and_export_alike) {
  graph_ = json::parse(golden::read_file(GetParam()));
  std::mutex mutex;
  std::set<std::string> executed;
  SolverOptions options{.parallelism = 2};
  options.make_op = [&](std::shared_ptr<const Vertex> vertex, const SolveRequest&) -> base::Result<std::unique_ptr<Op>> {
    return std::make_unique<VectorOp>(named(vertex->name), [&, name = vertex->name] {
      const std::lock_guard lock(mutex);
      executed.insert(name);
    });
  };
  Solver engine(*store_.cache, [] { return base::Result<std::unique_ptr<Executor>>(nullptr); }, clock_, options);
  NoProgress quiet;
  for (const json& build : graph_.at("builds")) {
    store_.clock.advance(std::chrono::seconds(1));
    executed.clear();
    SolveRequest request;
    std::map<std::string, std::size_t> places;
    const std::size_t target = place(build.at("target").at("vertex"), request.definition, places);
    request.definition.result = VertexInput{target, build.at("target").value("index", 0u)};
    request.keys = SolveRequest::Keys::keep;
    const SolveOutcome outcome = engine.solve(request, quiet, {});
    ASSERT_TRUE(outcome.status) << outcome.status.error().message;
    ASSERT_TRUE(outcome.keys);
    const json ran = build.at("vertices_executed").is_null() ? json::array() : build.at("vertices_executed");
    EXPECT_EQ(json(executed), ran);
    for (const json& how : build.at("exports")) {
      const std::string what = fmt::format("{} of {}, mode {}, roots {}, backlinks ignored {}", graph_.at("name").get<std::string>(),
                                           build.at("target").dump(), how.at("mode").get<std::string>(),
                                           how.at("export_roots").get<bool>(), how.at("ignore_backlinks").get<bool>());
      expect_one_of(exported(*outcome.keys, how), variants(how, "config"), what);
    }
  }
}
INSTANTIATE_TEST_SUITE_P(golden, GraphVectors, ::testing::ValuesIn(files(false)), name_of);

}  // namespace
}  // namespace cairn::solver::test
