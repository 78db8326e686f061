// SPDX-License-Identifier: Apache-2.0
// Dockerfiles converted with images and files that the test says.
#pragma once

#include <initializer_list>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "libdockerfile/dockerfile.h"
#include "libsolver/definition.h"

namespace cairn::dockerfile {

// Every image exists; it has one layer and the config that is said for it, or one with PATH=/bin.
class SaidFacts final : public Facts {
 public:
  base::Result<Image> resolve_image(const std::string& reference, const Platform& platform, const std::string&,
                                    const std::string&) override {
    asked.push_back(reference + " " + format_platform(platform));
    if (missing.contains(reference)) return base::fail(base::ErrorCode::not_found, "{}: not found", reference);
    const auto found = container_of.find(reference);
    return Image{
        reference, "",
        fmt::format(
            R"({{"architecture":"{}","os":"linux","rootfs":{{"type":"layers","diff_ids":["sha256:0"]}},"config":{}}})",
            platform.architecture, found == container_of.end() ? R"({"Env":["PATH=/bin"]})" : found->second)};
  }
  base::Result<std::optional<std::string>> read_file(const std::string&, const std::string& path, Part) override {
    const auto found = files.find(path);
    if (found == files.end()) return std::nullopt;
    return found->second;
  }

  std::map<std::string, std::string> container_of, files;
  std::set<std::string> missing;
  std::vector<std::string> asked;
};

struct Converted {
  SaidFacts facts;
  Options options;
  Diagnostics diagnostics;
  base::Result<Conversion> result = base::fail(base::ErrorCode::io, "not yet");

  using Given = std::pair<const std::string, std::string>;
  explicit Converted(std::initializer_list<Given> given = {})
      : options(parse_options(std::map<std::string, std::string>(given)).value()) {
    options.session_id = "s";
    options.build_platform = Platform{"amd64", "linux", "", "", {}, {}};
  }
  Converted& convert(const std::string& text, const std::vector<std::string>& ignored = {}) {
    result = convert_dockerfile(text, options, facts, diagnostics, ignored);
    return *this;
  }
  std::string error() const { return result ? "" : result.error().message; }
  const BuiltImage& image() const { return result.value().images.at(0); }
  // What the graph does, every input before its user.
  std::vector<solver::wire::Op> ops() const {
    std::vector<solver::wire::Op> out;
    const auto graph = solver::load_definition(image().definition);
    for (const auto& vertex : graph.value().vertices) out.push_back(vertex->op);
    return out;
  }
  template <class T>
  std::vector<T> ops_of() const {
    std::vector<T> out;
    for (const auto& op : ops()) {
      if (const T* found = std::get_if<T>(&op.op)) out.push_back(*found);
    }
    return out;
  }
  std::vector<std::string> warnings() const {
    std::vector<std::string> out;
    for (const Warning& warning : diagnostics.warnings) out.push_back(warning.text());
    return out;
  }
};

}  // namespace cairn::dockerfile
