// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "libdockerfile/convert/conversion.h"
#include "libdockerfile/parse/refuse.h"
#include "libdockerfile/parse/text.h"

namespace cairn::dockerfile {

using base::Result;
using base::Status;

// What a stage has before its first command.
Status Converter::begin(BuildStage& stage) {
  if (stage.base != nullptr) {
    stage.state = stage.base->state;
    stage.platform = stage.base->platform;
    stage.image = stage.base->image;
    stage.image.on_build.clear();
    stage.base_image = stage.base->base_image;
    stage.paths = stage.base->paths;  // what is used of this tree is used of that
    stage.workdir_is_set = stage.base->workdir_is_set;
    stage.build_args = stage.base->build_args;
  }
  if (!stage.platform) stage.platform = target_.platform;
  const bool has_path = std::any_of(stage.image.env.begin(), stage.image.env.end(),
                                    [](const std::string& each) { return each.starts_with("PATH="); });
  if (!has_path && stage.platform->os != "windows")
    stage.image.env.push_back("PATH=" + default_path(stage.platform->os));
  for (const std::string& variable : stage.image.env) {
    const Cut at = cut(variable, '=');
    stage.state = stage.state.env(at.head, at.rest);
  }
  if (!stage.image.working_dir.empty()) TRY(set_workdir(stage, stage.image.working_dir));
  if (!stage.image.user.empty()) stage.state = stage.state.user(stage.image.user);
  return {};
}

Status Converter::dispatch_all(BuildStage* target) {
  for (BuildStage* stage : reachable(target)) {
    if (stage->is_dispatched) continue;
    TRY(at(stage->lines, begin(*stage)));
    for (PlannedCommand& planned : stage->commands) TRY(at(planned.command.lines, dispatch(*stage, planned)));
    stage->is_dispatched = true;
  }
  return {};
}

Status Converter::dispatch(BuildStage& stage, PlannedCommand& planned) {
  Command& command = planned.command;
  TRY(expand(stage, command));
  if (const auto* run = std::get_if<Run>(&command.what)) return run_step(stage, *run, planned);
  if (const auto* copy = std::get_if<Copy>(&command.what)) return copy_step(stage, *copy, planned);
  return std::visit(
      [&](const auto& what) -> Status {
        if constexpr (requires { say(stage, what, command); })
          return say(stage, what, command);
        else
          return {};
      },
      command.what);
}

Status Converter::expand_pairs(BuildStage& stage, std::vector<KeyValue>& pairs, const Command& command) {
  // A variable that is set on the same line is not yet seen, so all are expanded before any is said.
  for (KeyValue& pair : pairs) {
    pair.key = TRY(expand_text(stage, pair.key, command));
    pair.value = TRY(expand_text(stage, pair.value, command));
  }
  return {};
}

Status Converter::expand_copy(BuildStage& stage, Copy& copy, const Command& command) {
  copy.chown = TRY(expand_text(stage, copy.chown, command));
  copy.chmod = TRY(expand_text(stage, copy.chmod, command));
  copy.checksum = TRY(expand_text(stage, copy.checksum, command));
  copy.dest = TRY(expand_text(stage, copy.dest, command));
  for (std::string& source : copy.sources) source = TRY(expand_text(stage, source, command));
  WordRules in_text = word_rules();
  in_text.escape = '\\';
  in_text.skip_quotes = true;
  for (InlineFile& file : copy.files) {
    if (!file.expand) continue;
    Expanded expanded = TRY(expand_words(file.data, stage.state.environment(), in_text));
    report_unset(stage, expanded.unmatched, command.lines);
    file.data = std::move(expanded.text);
  }
  return {};
}

Status Converter::expand(BuildStage& stage, Command& command) {
  const auto in_place = [&](std::string& text) -> Status {
    text = TRY(expand_text(stage, text, command));
    return {};
  };
  if (auto* env = std::get_if<Env>(&command.what)) return expand_pairs(stage, env->pairs, command);
  if (auto* label = std::get_if<Label>(&command.what)) return expand_pairs(stage, label->pairs, command);
  if (auto* copy = std::get_if<Copy>(&command.what)) return expand_copy(stage, *copy, command);
  if (auto* workdir = std::get_if<Workdir>(&command.what)) return in_place(workdir->path);
  if (auto* user = std::get_if<User>(&command.what)) return in_place(user->name);
  if (auto* stop = std::get_if<StopSignal>(&command.what)) return in_place(stop->signal);
  if (auto* volume = std::get_if<Volume>(&command.what)) {
    for (std::string& path : volume->paths) TRY(in_place(path));
  }
  if (auto* expose = std::get_if<Expose>(&command.what)) {
    std::vector<std::string> ports;
    for (const std::string& port : expose->ports) {
      Expanded expanded = TRY(expand_words(port, stage.state.environment(), word_rules()));
      report_unset(stage, expanded.unmatched, command.lines);
      ports.insert(ports.end(), expanded.words.begin(), expanded.words.end());
    }
    expose->ports = std::move(ports);
  }
  return {};
}

}  // namespace cairn::dockerfile
