// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "libdockerfile/convert/conversion.h"
#include "libdockerfile/instructions/flags.h"
#include "libdockerfile/parse/text.h"
#include "libsolver/platform.h"

namespace cairn::dockerfile {

using base::Result;

namespace {

bool is_never_a_variable(std::string_view name) {
  return name == "BUILDKIT_SBOM_SCAN_CONTEXT" || name == "BUILDKIT_SBOM_SCAN_STAGE";
}

// What the variables of a stage say that it is for.
std::optional<Platform> target_in(const Environment& environment) {
  if (const std::string* text = find_variable(environment, "TARGETPLATFORM")) {
    auto platform = parse_platform(*text);
    if (platform) return std::move(*platform);
  }
  Platform platform;
  bool found = false;
  for (auto& [name, part] : {std::pair("TARGETOS", &platform.os), std::pair("TARGETARCH", &platform.architecture),
                             std::pair("TARGETVARIANT", &platform.variant)}) {
    const std::string* value = find_variable(environment, name);
    if (value == nullptr) continue;
    *part = *value;
    found = true;
  }
  return found ? std::optional(platform) : std::nullopt;
}

// "->arm64" behind the platform of a stage that is not the one the build is for.
std::string other_target(const Platform& mine, const Environment& environment) {
  auto target = target_in(environment);
  if (!target) return {};
  if (target->os.empty()) target->os = mine.os;
  if (target->architecture.empty()) target->architecture = mine.architecture;
  if (target->variant.empty()) target->variant = mine.variant;
  const Platform wanted = solver::normalize_platform(*target);
  if (wanted.os != mine.os) return "->" + format_platform(wanted);
  if (wanted.architecture == mine.architecture && wanted.variant == mine.variant) return {};
  return "->" + wanted.architecture + (wanted.variant.empty() ? "" : "/" + wanted.variant);
}

}  // namespace

Result<std::string> Converter::expand_text(BuildStage& stage, const std::string& text, const Command& command) {
  Expanded expanded = TRY(expand_words(text, stage.state.environment(), word_rules()));
  report_unset(stage, expanded.unmatched, command.lines);
  return std::move(expanded.text);
}

void Converter::report_unset(const BuildStage& stage, const std::set<std::string>& names, Lines lines) {
  std::vector<std::string> known;
  for (const std::string& name : names) {
    const auto is_it = [&](const Arg::Entry& entry) { return entry.key == name; };
    if (stage.build_args.any_of(is_it) || is_never_a_variable(name)) continue;
    if (known.empty()) {
      for (const auto& [key, value] : stage.state.environment()) known.push_back(key);
    }
    const std::string near = nearest(name, known);
    const std::string hint = near.empty() ? std::string() : fmt::format(" (did you mean ${}?)", near);
    linter_.warn("UndefinedVar", lines, fmt::format("Usage of undefined variable '${}'{}", name, hint));
  }
}

// The command as progress shows it: with variables, and its name in capitals.
std::string Converter::shown(const Environment& environment, const Command& command, const std::string& text,
                             const WordRules& rules) const {
  const auto expanded = expand_words(text, environment, rules);
  std::string out = expanded ? expanded->text : text;
  const std::size_t end = out.find(' ');
  out = upper(out.substr(0, end)) + (end == std::string::npos ? "" : out.substr(end));
  return command.is_on_build ? "ONBUILD " + out : out;
}

std::string Converter::prefixed(BuildStage& stage, const std::string& text, const Platform* platform) const {
  if (stage.total == 0) return text;
  std::string out = "[";
  if (options_.multi_platform && platform != nullptr) {
    out += format_platform(*platform) + other_target(*platform, stage.state.environment()) + " ";
  }
  if (!stage.shown_name.empty()) out += stage.shown_name + " ";
  const int width = 1 + static_cast<int>(std::log10(stage.total));
  return out + fmt::format("{:{}}/{}] {}", ++stage.index, width, stage.total, text);
}

void Converter::record(BuildStage& stage, std::string text, Layer layer) const {
  History entry;
  entry.created_by = std::move(text);
  if (layer == Layer::made) entry.created_by += " # buildkit";
  entry.comment = "buildkit.dockerfile.v0";
  entry.empty_layer = layer == Layer::none;
  if (options_.epoch) entry.created = print_time(*options_.epoch);
  stage.image.history.push_back(std::move(entry));
}

solver::llb::StepNotes Converter::notes_of(const BuildStage& stage, Lines lines) const {
  solver::llb::StepNotes notes;
  notes.ignore_cache = stage.ignore_cache;
  for (int line = lines.first; line > 0 && line <= lines.last; ++line) {
    solver::wire::Range& range = notes.lines.emplace_back();
    range.start.emplace().line = line;
    range.end.emplace().line = line;
  }
  return notes;
}

}  // namespace cairn::dockerfile
