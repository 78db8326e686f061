// SPDX-License-Identifier: Apache-2.0
// What stages begin with: images, which are asked for, contexts, and the triggers that come with them. Only what the
// target needs is asked for.
#include <algorithm>

#include "libdockerfile/convert/conversion.h"
#include "libdockerfile/instructions/flags.h"
#include "libdockerfile/parse/refuse.h"
#include "libdockerfile/parse/text.h"
#include "libsolver/identifier.h"
#include "libsolver/platform.h"

namespace cairn::dockerfile {

using base::Result;
using base::Status;
namespace llb = solver::llb;

namespace {

bool has_no_layers(const ImageConfig& image) {
  if (image.diff_ids && !image.diff_ids->empty()) return false;
  const std::vector<History> history = image.history.entries();
  return std::all_of(history.begin(), history.end(), [](const History& entry) { return entry.empty_layer; });
}

// The layers of images in an old form are not in their config, so the platform of it is believed only if it is said.
Platform detected_platform(const ImageConfig& image, const Platform& wanted, const Platform& machine) {
  const auto matches = [&](const Platform& a, const Platform& b) {
    return a.os == b.os && a.architecture == b.architecture;
  };
  if (matches(image.platform, wanted)) return wanted;
  return matches(image.platform, machine) ? solver::normalize_platform(image.platform) : wanted;
}

}  // namespace

std::vector<BuildStage*> Converter::reachable(BuildStage* target) const {
  std::set<const BuildStage*> seen;
  std::vector<BuildStage*> open{target};
  while (!open.empty()) {
    BuildStage* stage = open.back();
    open.pop_back();
    if (!seen.insert(stage).second) continue;
    if (stage->base != nullptr) open.push_back(stage->base);
    open.insert(open.end(), stage->needs.begin(), stage->needs.end());
  }
  std::vector<BuildStage*> in_order;
  for (const auto& stage : stages_) {
    if (seen.contains(stage.get())) in_order.push_back(stage.get());
  }
  return in_order;
}

// A trigger can need stages and images that nothing needed before it.
Status Converter::resolve_all(BuildStage* target) {
  for (bool has_more = true; has_more;) {
    has_more = false;
    for (BuildStage* stage : reachable(target)) {
      if (!stage->is_resolved) TRY(at(stage->lines, resolve(*stage)));
      if (TRY(plan_on_build(*stage))) has_more = true;
    }
    if (has_more) TRY(check_cycles());
  }
  return {};
}

Status Converter::resolve(BuildStage& stage) {
  stage.is_resolved = true;
  stage.is_dispatched = stage.is_source_only;
  if (stage.base != nullptr) return {};
  if (stage.is_named_context) {
    TRY(take_context(stage, stage.own_name, stage.platform.value_or(target_.platform)));
    stage.is_dispatched = true;
    return {};
  }
  if (stage.base_name == "scratch") {
    stage.platform = target_.platform;
    stage.image = empty_image(target_.platform);
    return {};
  }
  const auto name = solver::normalize_image_reference(stage.base_name);
  if (!name) return refuse("failed to parse stage name {}: {}", go_quoted(stage.base_name), name.error().message);
  const Platform platform = stage.platform.value_or(target_.platform);
  if (TRY(take_context(stage, *name, platform))) {
    stage.state = stage.state.platform(platform);
    stage.platform = platform;
    return {};
  }
  return take_image(stage, *name, platform);
}

Result<bool> Converter::take_context(BuildStage& stage, const std::string& name, const Platform& platform) {
  auto context = TRY(shared_.contexts.find(name, platform));
  if (!context) return false;
  stage.state = context->state;
  stage.local = std::move(context->local);
  stage.base_image = context->image;
  stage.image = context->image           ? std::move(*context->image)
                : stage.is_named_context ? ImageConfig{}
                                         : empty_image(target_.platform);
  return true;
}

Status Converter::take_image(BuildStage& stage, const std::string& name, Platform platform) {
  const auto found = shared_.facts.resolve_image(name, platform, options_.resolve_mode, {});
  if (!found) {
    std::vector<std::string> names;
    for (const auto& [each, ignored] : by_name_) names.push_back(each);
    base::Error error = found.error();
    error.message = fmt::format("{}: {}{}", stage.base_name, error.message, suggestion(stage.base_name, names));
    return tl::unexpected(std::move(error));
  }
  stage.base_image = TRY(parse_image_config(found->config));
  stage.image = *stage.base_image;
  stage.image.created.clear();
  if (!stage.platform && target_.is_implicit)
    platform = detected_platform(stage.image, platform, options_.build_platform);
  std::string reference = found->reference.empty() ? name : found->reference;
  if (!found->digest.empty()) reference = fmt::format("{}@{}", reference.substr(0, reference.find('@')), found->digest);
  stage.platform = platform;
  if (has_no_layers(stage.image)) return {};
  llb::ImageOptions image;
  image.platform = platform;
  if (options_.resolve_mode != "default") image.resolve_mode = options_.resolve_mode;
  image.notes.description["com.docker.dockerfile.v1.command"] = stage.code;
  image.notes.lines = notes_of(stage, stage.lines).lines;
  image.name = prefixed(stage, "FROM " + reference, &platform);
  stage.state = llb::image(reference, image);
  const Platform& actual = stage.image.platform;
  if (actual.os != platform.os || actual.architecture != platform.architecture) {
    linter_.warn("InvalidBaseImagePlatform", stage.lines,
                 fmt::format("Base image {} was pulled with platform {}, expected {} for current build",
                             stage.base_name, go_quoted(format_platform(solver::normalize_platform(actual))),
                             go_quoted(format_platform(solver::normalize_platform(platform)))));
  }
  return {};
}

// Puts the triggers of the base before the commands. True: they need what nothing needed before.
Result<bool> Converter::plan_on_build(BuildStage& stage) {
  if (stage.has_on_build_planned || stage.is_dispatched) return false;
  stage.has_on_build_planned = true;
  std::vector<std::string> triggers = std::exchange(stage.image.on_build, {});
  if (stage.base != nullptr) {
    for (const PlannedCommand& planned : stage.base->commands) {
      if (const auto* on_build = std::get_if<OnBuild>(&planned.command.what)) triggers.push_back(on_build->trigger);
    }
  }
  const std::size_t needs_before = stage.needs.size();
  std::vector<PlannedCommand> commands;
  for (const std::string& trigger : triggers) {
    Lines ignored;
    const auto refuse_trigger = [&](const base::Error& error) {
      return at(stage.lines, Status(tl::unexpected(error)));
    };
    auto source = parse_source(trigger, ignored);
    if (!source) return tl::unexpected(refuse_trigger(source.error()).error());
    if (source->statements.size() != 1) TRY(at(stage.lines, refuse("onbuild trigger should be a single expression")));
    Statement& statement = source->statements[0];
    statement.lines = stage.lines;
    const std::string word = upper(statement.name);
    if (word == "ONBUILD" || word == "FROM" || word == "MAINTAINER") {
      TRY(at(stage.lines, refuse("{} isn't allowed as an ONBUILD trigger", word)));
    }
    auto command = parse_command(statement, source->escape, linter_);
    if (!command) return tl::unexpected(refuse_trigger(command.error()).error());
    command->is_on_build = true;
    const bool shows = std::holds_alternative<Run>(command->what) || std::holds_alternative<Copy>(command->what) ||
                       std::holds_alternative<Workdir>(command->what);
    if (shows) ++stage.total;
    TRY(at(stage.lines, plan(stage, std::move(*command), commands)));
  }
  stage.commands.insert(stage.commands.begin(), std::make_move_iterator(commands.begin()),
                        std::make_move_iterator(commands.end()));
  return stage.needs.size() > needs_before;
}

}  // namespace cairn::dockerfile
