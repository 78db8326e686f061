// SPDX-License-Identifier: Apache-2.0
// The dockerfile family: builds of BuildKit's complete front end against a gateway that answers from the vector. What
// is asked of the gateway, each definition to the byte, image configs, warnings and errors have to be the same. What is
// not checked is printed as "pending:", with the reason; it is never skipped in silence.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "libbase/hash/sha256.h"
#include "libdockerfile/dockerfile.h"
#include "libsolver/wire/codec.h"
#include "tests/support/vectors.h"

namespace cairn::dockerfile {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::string read_whole(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

std::vector<std::string> digests_of(const std::string& definition) {
  std::vector<std::string> digests;
  solver::wire::DecodeBudget budget;
  const auto message = solver::wire::decode_definition(definition, budget);
  if (!message) return {message.error().message};
  for (const auto& op : message->def) digests.push_back("sha256:" + base::to_hex(base::sha256(op.value)));
  return digests;
}

// Answers from the vector and notes what it was asked.
class VectorFacts final : public Facts {
 public:
  explicit VectorFacts(const json& vector) : vector_(vector) {}

  base::Result<Image> resolve_image(const std::string& reference, const Platform& platform,
                                    const std::string& resolve_mode, const std::string&) override {
    if (vector_.at("image_config_lookups").is_array()) {
      for (const json& lookup : vector_.at("image_config_lookups")) {
        if (lookup.at("ref") != reference || lookup.at("platform") != format_platform(platform)) continue;
        if (lookup.value("resolve_mode", "default") != resolve_mode) continue;
        asked.insert(lookup.dump());
        is_refused = !lookup.contains("returned_config");
        if (is_refused) return base::fail(base::ErrorCode::not_found, "{}", lookup.value("error", ""));
        return Image{lookup.value("returned_ref", reference), lookup.value("returned_digest", ""),
                     lookup.at("returned_config")};
      }
    }
    is_refused = true;
    return base::fail(base::ErrorCode::not_found, "{} for {}: not in the vector", reference, format_platform(platform));
  }
  base::Result<std::optional<std::string>> read_file(const std::string& definition, const std::string& path, Part) override {
    solved.insert(definition);
    const auto found = vector_.at("files").find(path);
    if (found == vector_.at("files").end()) return std::nullopt;
    return found->get<std::string>();
  }

  std::set<std::string> asked, solved;
  bool is_refused = false;  // an image that it asked for is not there

 private:
  const json& vector_;
};

class Case {
 public:
  Case(fs::path folder, std::string name, json vector)
      : folder_(std::move(folder)), name_(std::move(name)), vector_(std::move(vector)), facts_(vector_) {}

  void check() {
    const auto given = vector_.at("frontend_opts").get<std::map<std::string, std::string>>();
    if (given.contains("requestid")) return check_request(given.at("requestid"));
    auto options = parse_options(given);
    Diagnostics diagnostics;
    if (!options) return check_error(options.error());
    options->session_id = "fixed-session-id-0001";
    options->build_platform = Platform{"amd64", "linux", "", "", {}, {}};
    const auto built = build_dockerfile(*options, facts_, diagnostics);
    if (is_forwarded()) {
      // BuildKit hands it to an image; here the built-in front end answers, and says so.
      if (diagnostics.notes.empty()) wrong("syntax", "nothing says that the built-in front end is used");
      pending_.push_back(name_ + " goes to another front end there");
      return;
    }
    if (!built) {
      check_error(built.error());
    } else if (vector_.contains("error")) {
      wrong("error", "it should fail with: " + vector_.at("error").get<std::string>());
    } else {
      check_images(*built);
      check_solved();
    }
    check_warnings(diagnostics);
  }

  const std::vector<std::string>& failures() const { return failures_; }
  const std::vector<std::string>& pending() const { return pending_; }

 private:
  void wrong(const std::string& what, const std::string& why) { failures_.push_back(name_ + ": " + what + ": " + why); }
  void same(const std::string& what, const json& got, const json& want) {
    if (got != want)
      wrong(what, "\n   got  " + got.dump(-1, ' ', false, json::error_handler_t::replace) + "\n   want " + want.dump());
  }

  bool is_forwarded() const {
    const json& requests = vector_.at("solve_requests");
    return std::any_of(requests.begin(), requests.end(), [](const json& each) { return each.contains("frontend"); });
  }

  void check_error(const base::Error& error) {
    if (!vector_.contains("error")) return wrong("build", error.message);
    // What a registry says is the gateway's text, and not in the vector.
    if (!facts_.is_refused) same("error", error.message, vector_.at("error"));
  }

  void check_request(const std::string& id) {
    if (id != "frontend.targets") {
      pending_.push_back(name_ + " asks for " + id);
      return;
    }
    Diagnostics diagnostics;
    const auto text = vector_.at("files").at("Dockerfile").get<std::string>();
    const auto targets = list_targets(text, diagnostics);
    if (!targets) return wrong("targets", targets.error().message);
    same("targets", print_targets(*targets, text), vector_.at("result_metadata").at("result.json"));
  }

  void check_images(const Conversion& built) {
    const json& refs = vector_.at("result_refs");
    const json& metadata = vector_.at("result_metadata");
    same("number of images", built.images.size(), refs.size());
    for (const BuiltImage& image : built.images) {
      const std::string platform = format_platform(image.platform);
      const bool single = refs.contains("single");
      const std::string suffix = single ? "" : "/" + platform;
      check_definition(refs.value(single ? "single" : platform, "none"), image.definition);
      check_text("containerimage.config" + suffix, image.config, metadata);
      if (!image.base_config.empty())
        check_text("containerimage.base.config" + suffix, image.base_config, metadata);
      else if (metadata.contains("containerimage.base.config" + suffix))
        wrong("base config", "there is none");
      facts_.solved.insert(image.definition);
    }
  }

  void check_text(const std::string& key, const std::string& got, const json& metadata) {
    if (!metadata.contains(key)) return wrong(key, "is not wanted: " + got);
    same(key, got, metadata.at(key));
  }

  void check_definition(const std::string& file, const std::string& got) {
    const std::string want = read_whole(folder_ / file);
    if (got == want) return;
    const auto ours = digests_of(got), theirs = digests_of(want);
    if (ours != theirs)
      same("op digests of " + file, ours, theirs);
    else
      wrong("definition", file + " has the ops but other metadata");
    if (const char* dump = std::getenv("CAIRN_DUMP_DEFINITIONS"))
      std::ofstream(fs::path(dump) / file, std::ios::binary) << got;
  }

  // Every definition that BuildKit solved, nothing else; and every image that it asked for.
  void check_solved() {
    std::set<std::string> want;
    for (const json& request : vector_.at("solve_requests"))
      want.insert(read_whole(folder_ / request.at("definition_file").get<std::string>()));
    for (const std::string& each : want) {
      if (!facts_.solved.contains(each)) wrong("solves", "one is missing: " + json(digests_of(each)).dump());
    }
    for (const std::string& each : facts_.solved) {
      if (!want.contains(each)) wrong("solves", "one is not wanted: " + json(digests_of(each)).dump());
    }
    if (!vector_.at("image_config_lookups").is_array()) return;
    for (const json& lookup : vector_.at("image_config_lookups")) {
      if (!facts_.asked.contains(lookup.dump())) wrong("lookups", "one is missing: " + lookup.at("ref").dump());
    }
  }

  // In the order of their lines, as the vectors have them.
  void check_warnings(const Diagnostics& diagnostics) {
    const auto flat = [](int line, const std::string& message, const std::string& url) {
      return fmt::format("{:6} {} {}", line, message, url);
    };
    std::multiset<std::string> got, want;
    for (const Warning& warning : diagnostics.warnings)
      got.insert(flat(warning.lines.first, warning.text(), warning.url));
    if (vector_.at("warnings").is_array()) {
      for (const json& each : vector_.at("warnings"))
        want.insert(flat(each.value("line", 0), each.at("message"), each.value("url", "")));
    }
    same("warnings", got, want);
  }

  fs::path folder_;
  std::string name_;
  json vector_;
  VectorFacts facts_;
  std::vector<std::string> failures_, pending_;
};

TEST(DockerfileGolden, EveryBuildIsThatOfBuildKit) {
  const fs::path folder = test::vector_folder("dockerfile");
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  ASSERT_FALSE(files.empty()) << folder;
  std::size_t passed = 0;
  for (const auto& file : files) {
    Case each(folder, file.stem().string(), json::parse(read_whole(file)));
    each.check();
    for (const auto& text : each.pending()) std::printf("pending: %s\n", text.c_str());
    for (const auto& failure : each.failures()) ADD_FAILURE() << failure;
    if (each.failures().empty()) ++passed;
  }
  std::printf("%zu of %zu builds are the same\n", passed, files.size());
}

}  // namespace
}  // namespace cairn::dockerfile
