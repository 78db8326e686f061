// SPDX-License-Identifier: Apache-2.0
// Commands that are said in the image config: none is a step, but for WORKDIR, which makes its directory.
#include <algorithm>
#include <array>
#include <set>

#include "libdockerfile/convert/conversion.h"
#include "libdockerfile/convert/paths.h"
#include "libdockerfile/convert/ports.h"
#include "libdockerfile/instructions/duration.h"
#include "libdockerfile/lint/names.h"
#include "libdockerfile/parse/refuse.h"
#include "libdockerfile/parse/text.h"

namespace cairn::dockerfile {

using base::Status;

namespace {

// As Go's %q prints a list.
std::string quoted_list(const std::vector<std::string>& words) {
  std::vector<std::string> quoted_words;
  for (const std::string& word : words) quoted_words.push_back(go_quoted(word));
  return fmt::format("[{}]", join(quoted_words, " "));
}

void set_env(std::vector<std::string>& env, const std::string& key, const std::string& value) {
  for (std::string& each : env) {
    if (cut(each, '=').head != key) continue;
    each = fmt::format("{}={}", key, value);
    return;
  }
  env.push_back(fmt::format("{}={}", key, value));
}

bool is_signal(std::string_view text) {
  if (!text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; }))
    return text != "0";
  std::string name = upper(text);
  if (name.starts_with("SIG")) name.erase(0, 3);
  constexpr std::array known{"ABRT", "ALRM",   "BUS",  "CHLD",   "CLD",   "CONT", "FPE",  "HUP",  "ILL",
                             "INT",  "IO",     "IOT",  "KILL",   "PIPE",  "POLL", "PROF", "PWR",  "QUIT",
                             "SEGV", "STKFLT", "STOP", "SYS",    "TERM",  "TRAP", "TSTP", "TTIN", "TTOU",
                             "URG",  "USR1",   "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ"};
  return std::find(known.begin(), known.end(), name) != known.end() || name.starts_with("RTMIN") ||
         name.starts_with("RTMAX");
}

}  // namespace

void Converter::check_secret(std::string_view instruction, const std::string& key, Lines lines) {
  if (!is_secret_name(key)) return;
  linter_.warn(
      "SecretsUsedInArgOrEnv", lines,
      fmt::format("Do not use ARG or ENV instructions for sensitive data ({} {})", instruction, go_quoted(key)));
}

void Converter::say_once(SaidOnce& said, const Command& command) {
  if (said.is_set) {
    linter_.warn(
        "MultipleInstructionsDisallowed", said.lines,
        fmt::format(
            "Multiple {} instructions should not be used in the same stage because only the last one will be used",
            command.name));
  }
  said = {true, command.lines};
}

Status Converter::say(BuildStage& stage, const Env& env, const Command& command) {
  std::string text = "ENV";
  for (const KeyValue& pair : env.pairs) {
    if (pair.legacy) {
      linter_.warn(
          "LegacyKeyValueFormat", command.lines,
          fmt::format("\"{0} key=value\" should be used instead of legacy \"{0} key value\" format", command.name));
    }
    check_secret("ENV", pair.key, command.lines);
    text += fmt::format(" {}={}", pair.key, pair.value);
    stage.state = stage.state.env(pair.key, pair.value);
    set_env(stage.image.env, pair.key, pair.value);
  }
  record(stage, std::move(text), Layer::none);
  return {};
}

Status Converter::say(BuildStage& stage, const Label& label, const Command& command) {
  std::string text = "LABEL";
  for (const KeyValue& pair : label.pairs) {
    if (pair.legacy) {
      linter_.warn(
          "LegacyKeyValueFormat", command.lines,
          fmt::format("\"{0} key=value\" should be used instead of legacy \"{0} key value\" format", command.name));
    }
    text += fmt::format(" {}={}", pair.key, pair.value);
    stage.image.labels[pair.key] = pair.value;
  }
  record(stage, std::move(text), Layer::none);
  return {};
}

Status Converter::say(BuildStage& stage, const Arg& arg, const Command& command) {
  std::string text = "ARG";
  for (Arg::Entry entry : arg.entries) {
    check_secret("ARG", entry.key, command.lines);
    const auto given = options_.build_args.find(entry.key);
    const bool is_global = global_declared_.contains(entry.key) || find_variable(global_args_, entry.key) != nullptr;
    const bool says_itself = given != options_.build_args.end() || entry.value || !is_global;
    if (given != options_.build_args.end()) {
      entry.value = given->second;
    } else if (entry.value) {
      entry.value = TRY(expand_text(stage, *entry.value, command));
    } else if (const std::string* global = find_variable(global_args_, entry.key)) {
      entry.value = *global;
    }
    const bool is_variable = entry.key != "BUILDKIT_SBOM_SCAN_CONTEXT" && entry.key != "BUILDKIT_SBOM_SCAN_STAGE";
    if (entry.value && is_variable) stage.state = stage.state.env(entry.key, *entry.value);
    text += " " + entry.key + (entry.value ? "=" + *entry.value : "");
    stage.parameters.used_args.insert(entry.key);
    if (says_itself)
      stage.parameters.args.insert_or_assign(
          entry.key,
          DeclaredArg{
              .description = entry.comment, .value = entry.value.value_or(""), .lines = command.lines, .needs = {}});
    stage.build_args.push_back(std::move(entry));
  }
  record(stage, std::move(text), Layer::none);
  return {};
}

std::vector<std::string> Converter::shell_words(const BuildStage& stage, const CommandLine& line,
                                                const Command& command) {
  if (!line.for_shell) return line.words;
  const bool is_step = std::holds_alternative<Run>(command.what);
  if (stage.image.shell.empty() && !is_step) {
    linter_.warn("JSONArgsRecommended", command.lines,
                 fmt::format("JSON arguments recommended for {} to prevent unintended behavior related to OS signals",
                             command.name));
  }
  std::vector<std::string> words = stage.image.shell;
  if (words.empty())
    words = platform_of(stage).os == "windows" ? std::vector<std::string>{"cmd", "/S", "/C"}
                                               : std::vector<std::string>{"/bin/sh", "-c"};
  words.push_back(join(line.words, " "));
  return words;
}

Status Converter::say(BuildStage& stage, const Cmd& cmd, const Command& command) {
  say_once(stage.cmd, command);
  stage.image.cmd = shell_words(stage, cmd.line, command);
  stage.image.args_escaped = true;
  record(stage, "CMD " + quoted_list(stage.image.cmd), Layer::none);
  return {};
}

Status Converter::say(BuildStage& stage, const Entrypoint& entrypoint, const Command& command) {
  say_once(stage.entrypoint, command);
  stage.image.entrypoint = shell_words(stage, entrypoint.line, command);
  if (!stage.cmd.is_set) stage.image.cmd.clear();
  record(stage, "ENTRYPOINT " + quoted_list(stage.image.entrypoint), Layer::none);
  return {};
}

Status Converter::say(BuildStage& stage, const Expose& expose, const Command& command) {
  std::vector<std::string> ports;
  std::set<std::string> seen;
  for (const std::string& text : expose.ports) {
    const PortSpec spec = TRY(parse_ports(text));
    if (spec.protocol_as_written != lower(spec.protocol_as_written)) {
      linter_.warn("ExposeProtoCasing", command.lines,
                   fmt::format("Defined protocol '{}' in EXPOSE instruction should be lowercase", text));
    }
    if (spec.maps_host) {
      linter_.warn(
          "ExposeInvalidFormat", command.lines,
          fmt::format("EXPOSE instruction should not define an IP address or host-port mapping, found '{}'", text));
    }
    for (const std::string& port : spec.ports) {
      if (seen.insert(port).second) ports.push_back(port);
    }
  }
  stage.image.exposed_ports.insert(ports.begin(), ports.end());
  record(stage, fmt::format("EXPOSE [{}]", join(ports, " ")), Layer::none);
  return {};
}

Status Converter::say(BuildStage& stage, const Volume& volume, const Command&) {
  for (const std::string& path : volume.paths) {
    if (path.empty()) return refuse("VOLUME specified can not be an empty string");
    stage.image.volumes.insert(path);
  }
  record(stage, fmt::format("VOLUME [{}]", join(volume.paths, " ")), Layer::none);
  return {};
}

Status Converter::say(BuildStage& stage, const Shell& shell, const Command&) {
  stage.image.shell = shell.words;
  record(stage, fmt::format("SHELL [{}]", join(shell.words, " ")), Layer::none);
  return {};
}

Status Converter::set_workdir(BuildStage& stage, const std::string& path) {
  const std::string& os = platform_of(stage).os;
  const std::string directory =
      TRY(normal_path(stage.image.working_dir, path, os, TrailingSlash::dropped), "normalizing workdir");
  stage.image.working_dir = directory;
  if (os == "windows") std::replace(stage.image.working_dir.begin(), stage.image.working_dir.end(), '/', '\\');
  stage.state = stage.state.dir(directory);
  return {};
}

Status Converter::say(BuildStage& stage, const Workdir& workdir, const Command& command) {
  const Platform& platform = platform_of(stage);
  if (!stage.workdir_is_set && !is_absolute(workdir.path, platform.os)) {
    linter_.warn("WorkdirRelativePath", command.lines,
                 fmt::format("Relative workdir {} can have unexpected results if the base image changes",
                             go_quoted(workdir.path)));
  }
  stage.workdir_is_set = true;
  TRY(set_workdir(stage, workdir.path));
  const std::string& directory = stage.state.directory();
  if (directory != "/") {
    solver::llb::FileActions make;
    make.mkdir_parents(directory, 0755);
    if (!stage.image.user.empty()) {
      const Cut at = cut(stage.image.user, ':');
      make.owner({std::string(at.head), std::string(at.rest)});
    }
    if (options_.epoch) make.created(*options_.epoch * 1'000'000'000);
    solver::llb::StepNotes notes = notes_of(stage, command.lines);
    notes.ignore_cache = false;
    make.notes(std::move(notes));
    make.name(prefixed(stage, shown(stage.state.environment(), command, command.code, word_rules()), &platform));
    stage.state = stage.state.file(make);
  }
  record(stage, "WORKDIR " + directory, directory == "/" ? Layer::none : Layer::without_mark);
  return {};
}

Status Converter::say(BuildStage& stage, const User& user, const Command&) {
  stage.state = stage.state.user(user.name);
  stage.image.user = user.name;
  record(stage, "USER " + user.name, Layer::none);
  return {};
}

Status Converter::say(BuildStage& stage, const StopSignal& stop, const Command&) {
  if (!is_signal(stop.signal)) return refuse("Invalid signal: {}", stop.signal);
  stage.image.stop_signal = stop.signal;
  record(stage, "STOPSIGNAL " + stop.signal, Layer::none);
  return {};
}

Status Converter::say(BuildStage& stage, const Maintainer& maintainer, const Command&) {
  stage.image.author = maintainer.name;
  record(stage, "MAINTAINER " + maintainer.name, Layer::none);
  return {};
}

Status Converter::say(BuildStage& stage, const OnBuild& on_build, const Command&) {
  stage.image.on_build.push_back(on_build.trigger);
  return {};
}

Status Converter::say(BuildStage& stage, const HealthCheck& check, const Command& command) {
  say_once(stage.health_check, command);
  stage.image.health_check = check;
  record(stage,
         fmt::format("HEALTHCHECK {{Test:[{}] Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
                     join(check.test, " "), print_duration(check.interval), print_duration(check.timeout),
                     print_duration(check.start_period), print_duration(check.start_interval), check.retries),
         Layer::none);
  return {};
}

}  // namespace cairn::dockerfile
