// SPDX-License-Identifier: Apache-2.0
// The whole way of one build: what is read, then one conversion for each platform.
#include <algorithm>

#include "libdockerfile/convert/conversion.h"
#include "libdockerfile/lint/names.h"
#include "libdockerfile/parse/refuse.h"
#include "libdockerfile/parse/text.h"
#include "libsolver/definition.h"
#include "libsolver/platform.h"

namespace cairn::dockerfile {

using base::Result;
using base::Status;
namespace llb = solver::llb;

namespace {

Result<BuiltImage> convert_for(Shared& shared, const Target& target, const llb::SourceText& text, Outline& outline) {
  Converter converter(shared, target);
  BuildStage* stage = TRY(converter.run());
  outline = converter.outline_of(stage);
  TRY(shared.linter.finish());
  llb::MarshalOptions options;
  options.platform = target.platform;
  options.source = text;
  BuiltImage built;
  built.platform = target.platform;
  built.definition = TRY(llb::marshal(stage->state, options));
  // What is not UTF-8, for one, cannot be in a graph.
  if (!built.definition.empty()) TRY(solver::load_definition(built.definition), "the Dockerfile makes no graph");
  built.config = print_image_config(stage->image);
  if (stage->base_image) built.base_config = print_image_config(*stage->base_image);
  return built;
}

void say_syntax(const Source& source, const Options& options, Diagnostics& diagnostics) {
  const auto given = options.build_args.find("BUILDKIT_SYNTAX");
  const auto directive = source.directives.find("syntax");
  const bool by_argument = given != options.build_args.end();
  if (!by_argument && directive == source.directives.end()) return;
  diagnostics.notes.push_back(fmt::format(
      "{} asks for the front end {}: the built-in one is used, nothing is fetched",
      by_argument ? "BUILDKIT_SYNTAX" : "# syntax=", by_argument ? given->second : directive->second.value));
}

Result<Linter> linter_of(const Source& source, const Options& options) {
  std::string config = options.checks;
  const auto directive = source.directives.find("check");
  if (config.empty() && directive != source.directives.end()) config = directive->second.value;
  return TRY(Linter::parse(config), "failed to parse check options");
}

Result<Conversion> convert(std::string_view text, const Options& options, Facts& facts, Contexts& contexts,
                           Diagnostics& diagnostics, const std::vector<std::string>& ignored,
                           const std::string& definition_of_text) {
  if (text.empty()) return refuse("the Dockerfile cannot be empty");
  const Source source = TRY(parse_source(text, diagnostics.error_lines));
  say_syntax(source, options, diagnostics);
  const Linter configured = TRY(linter_of(source, options));
  std::vector<Target> targets;
  for (const Platform& platform : options.platforms) targets.push_back({solver::normalize_platform(platform), false});
  if (targets.empty()) targets.push_back({solver::normalize_platform(options.build_platform), true});
  const llb::SourceText source_text{contexts.filename(), std::string(text), "Dockerfile", definition_of_text};

  Conversion out;
  for (const Target& target : targets) {
    Linter linter = configured;
    auto ignore_list = TRY(cache::PatternList::compile(ignored), ".dockerignore");
    Shared shared{source, options, facts, contexts, linter, diagnostics.error_lines, ignored, std::move(ignore_list)};
    check_layout(source, linter);
    Outline outline;
    auto built = convert_for(shared, target, source_text, outline);
    // What one platform is told the others would be told too.
    if (&target == &targets.front()) {
      diagnostics.warnings = linter.warnings();
      out.outline = std::move(outline);
    }
    if (!built) return tl::unexpected(built.error());
    out.images.push_back(std::move(*built));
  }
  return out;
}

}  // namespace

Status read_dockerfile(const Options& options, Facts& facts, Diagnostics& diagnostics) {
  Contexts contexts(options, facts);
  TRY(contexts.open());
  diagnostics.text = TRY(contexts.read_dockerfile());
  return {};
}

Result<Conversion> build_dockerfile(const Options& options, Facts& facts, Diagnostics& diagnostics) {
  Contexts contexts(options, facts);
  TRY(contexts.open());
  const std::string text = TRY(contexts.read_dockerfile());
  diagnostics.text = text;
  const std::vector<std::string> ignored = TRY(contexts.read_ignore_file());
  return convert(text, options, facts, contexts, diagnostics, ignored, contexts.dockerfile_definition());
}

Result<Conversion> convert_dockerfile(std::string_view text, const Options& options, Facts& facts,
                                      Diagnostics& diagnostics, const std::vector<std::string>& ignored,
                                      const std::string& definition_of_text) {
  Contexts contexts(options, facts);
  TRY(contexts.open());
  return convert(text, options, facts, contexts, diagnostics, ignored, definition_of_text);
}

}  // namespace cairn::dockerfile
