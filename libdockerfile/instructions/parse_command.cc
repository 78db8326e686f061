// SPDX-License-Identifier: Apache-2.0
// One function per form of instruction, and the table that knows which has which.
#include <algorithm>
#include <array>
#include <charconv>

#include "libdockerfile/instructions/duration.h"
#include "libdockerfile/instructions/flags.h"
#include "libdockerfile/instructions/instructions.h"
#include "libdockerfile/parse/refuse.h"
#include "libdockerfile/parse/text.h"

namespace cairn::dockerfile {
namespace {

using base::Result;
using What = decltype(Command::what);

struct Request {
  const Statement& statement;
  char escape;
  std::string name;  // in upper case
  Linter& linter;
};

tl::unexpected<base::Error> refuse_no_arguments(const Request& request) {
  return refuse("{} requires at least one argument", request.name);
}

Result<Flags> no_flags(const Request& request) { return Flags::parse(request.statement.flags, {}); }

Result<CommandLine> command_line(const Request& request) {
  CommandLine line;
  ListOrText form = TRY(list_or_text(request.statement.rest));
  line.for_shell = !form.is_list;
  line.words = std::move(form.words);
  if (line.for_shell && line.words.empty()) line.words.emplace_back();
  line.files = request.statement.heredocs;
  return line;
}

Result<What> parse_run(const Request& request) {
  const Flags flags = TRY(
      Flags::parse(request.statement.flags,
                   {{"mount", Flags::Kind::list}, {"network", Flags::Kind::text}, {"security", Flags::Kind::text}}));
  Run run;
  run.line = TRY(command_line(request));
  run.mounts = flags.list("mount");
  if (flags.is_set("network")) run.network = flags.text("network");
  if (flags.is_set("security")) run.security = flags.text("security");
  if (run.network != "default" && run.network != "none" && run.network != "host") {
    return refuse("invalid network mode {}", go_quoted(run.network));
  }
  if (run.security != "sandbox" && run.security != "insecure")
    return refuse("security {} is not valid", go_quoted(run.security));
  return run;
}

Result<What> parse_cmd(const Request& request) {
  TRY(no_flags(request));
  return Cmd{TRY(command_line(request))};
}
Result<What> parse_entrypoint(const Request& request) {
  TRY(no_flags(request));
  return Entrypoint{TRY(command_line(request))};
}

base::Status parse_places(const Request& request, Copy& copy) {
  std::vector<std::string> words = TRY(list_or_words(request.statement.rest)).words;
  if (words.size() < 2) {
    return refuse("{} requires at least two arguments, but only one was provided. Destination could not be determined",
                  request.name);
  }
  copy.dest = std::move(words.back());
  words.pop_back();
  if (TRY(parse_heredoc(copy.dest))) return refuse("{} cannot accept a heredoc as a destination", request.name);
  for (std::string& word : words) {
    const auto heredoc = TRY(parse_heredoc(word));
    if (!heredoc) {
      copy.sources.push_back(std::move(word));
      continue;
    }
    const auto& all = request.statement.heredocs;
    const auto found =
        std::find_if(all.rbegin(), all.rend(), [&](const Heredoc& each) { return each.name == heredoc->name; });
    const std::string content = found == all.rend() ? std::string() : found->content;
    copy.files.push_back({heredoc->name, heredoc->chomp ? without_leading_tabs(content) : content, heredoc->expand});
  }
  return {};
}

Result<What> parse_copy(const Request& request) {
  Copy copy;
  copy.is_add = request.name == "ADD";
  TRY(parse_places(request, copy));
  Flags::Known known{{"chown", Flags::Kind::text},
                     {"chmod", Flags::Kind::text},
                     {"link", Flags::Kind::yes_or_no},
                     {"exclude", Flags::Kind::list}};
  if (copy.is_add) {
    known.insert({{"keep-git-dir", Flags::Kind::yes_or_no},
                  {"checksum", Flags::Kind::text},
                  {"unpack", Flags::Kind::yes_or_no}});
  } else {
    known.insert({{"from", Flags::Kind::text}, {"parents", Flags::Kind::yes_or_no}});
  }
  const Flags flags = TRY(Flags::parse(request.statement.flags, known));
  copy.from = flags.text("from");
  copy.chown = flags.text("chown");
  copy.chmod = flags.text("chmod");
  copy.checksum = flags.text("checksum");
  copy.link = flags.is_true("link");
  copy.parents = flags.is_true("parents");
  copy.excludes = flags.list("exclude");
  if (flags.is_set("keep-git-dir")) copy.keep_git_dir = flags.is_true("keep-git-dir");
  if (flags.is_set("unpack")) copy.unpack = flags.is_true("unpack");
  return copy;
}

Result<std::vector<KeyValue>> parse_pairs(const Request& request) {
  TRY(no_flags(request));
  std::vector<KeyValue> pairs = TRY(key_values(request.statement.rest, request.name, request.escape));
  if (pairs.empty()) return refuse_no_arguments(request);
  for (const KeyValue& pair : pairs) {
    if (pair.key.empty()) return refuse("{} names can not be blank", request.name);
  }
  return pairs;
}
Result<What> parse_env(const Request& request) { return Env{TRY(parse_pairs(request))}; }
Result<What> parse_label(const Request& request) { return Label{TRY(parse_pairs(request))}; }

Result<What> parse_arg(const Request& request) {
  TRY(no_flags(request));
  Arg arg;
  for (const std::string& word : quoted_words(request.statement.rest, request.escape)) {
    const Cut at = cut(word, '=');
    if (at.head.empty()) return refuse("ARG names can not be blank");
    Arg::Entry& entry = arg.entries.emplace_back();
    entry.key = at.head;
    if (at.found) entry.value = at.rest;
  }
  if (arg.entries.empty()) return refuse_no_arguments(request);
  return arg;
}

Result<std::string> parse_one_text(const Request& request) {
  TRY(no_flags(request));
  if (request.statement.rest.empty()) return refuse("{} requires exactly one argument", request.name);
  return request.statement.rest;
}
Result<What> parse_workdir(const Request& request) { return Workdir{TRY(parse_one_text(request))}; }
Result<What> parse_user(const Request& request) { return User{TRY(parse_one_text(request))}; }
Result<What> parse_stop_signal(const Request& request) { return StopSignal{TRY(parse_one_text(request))}; }
Result<What> parse_maintainer(const Request& request) {
  request.linter.warn("MaintainerDeprecated", request.statement.lines,
                      "Maintainer instruction is deprecated in favor of using label");
  return Maintainer{TRY(parse_one_text(request))};
}

Result<What> parse_expose(const Request& request) {
  TRY(no_flags(request));
  Expose expose{split_space(request.statement.rest)};
  if (expose.ports.empty()) return refuse_no_arguments(request);
  std::sort(expose.ports.begin(), expose.ports.end());
  return expose;
}

Result<What> parse_volume(const Request& request) {
  TRY(no_flags(request));
  Volume volume{TRY(list_or_words(request.statement.rest)).words};
  if (volume.paths.empty()) return refuse_no_arguments(request);
  for (std::string& path : volume.paths) {
    path = std::string(trim(path));
    if (path.empty()) return refuse("VOLUME specified can not be an empty string");
  }
  return volume;
}

Result<What> parse_shell(const Request& request) {
  TRY(no_flags(request));
  ListOrText form = TRY(list_or_text(request.statement.rest));
  if (form.words.empty()) return refuse_no_arguments(request);
  if (!form.is_list) return refuse("SHELL requires the arguments to be in JSON form");
  return Shell{std::move(form.words)};
}

Result<What> parse_on_build(const Request& request) {
  TRY(no_flags(request));
  if (request.statement.rest.empty()) return refuse_no_arguments(request);
  const std::string trigger = upper(cut_space(request.statement.rest).head);
  if (trigger == "ONBUILD") return refuse("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
  if (trigger == "MAINTAINER" || trigger == "FROM") return refuse("{} isn't allowed as an ONBUILD trigger", trigger);
  std::string text(cut_space(request.statement.original).rest);
  for (const Heredoc& heredoc : request.statement.heredocs) text += "\n" + heredoc.content + heredoc.name;
  return OnBuild{std::move(text)};
}

Result<std::int64_t> parse_interval(const Flags& flags, std::string_view name) {
  constexpr std::int64_t least = 1'000'000;
  if (flags.text(name).empty()) return 0;
  const std::int64_t value = TRY(parse_duration(flags.text(name)));
  if (value < 0) return refuse("Interval {} cannot be negative", go_quoted(name));
  if (value > 0 && value < least)
    return refuse("Interval {} cannot be less than {}", go_quoted(name), print_duration(least));
  return value;
}

Result<What> parse_health_check(const Request& request) {
  const Cut at = cut_space(request.statement.rest);
  HealthCheck check;
  std::string kind = upper(at.head);
  if (kind.empty()) return refuse_no_arguments(request);
  if (kind == "NONE") {
    if (!at.rest.empty()) return refuse("HEALTHCHECK NONE takes no arguments");
    TRY(no_flags(request));
    check.test = {kind};
    return check;
  }
  Flags::Known known;
  for (const char* name : {"interval", "timeout", "start-period", "start-interval", "retries"})
    known.emplace(name, Flags::Kind::text);
  const Flags flags = TRY(Flags::parse(request.statement.flags, known));
  if (kind != "CMD") return refuse("Unknown type {} in HEALTHCHECK (try CMD)", go_quoted(kind));
  ListOrText form = TRY(list_or_text(at.rest));
  if (form.words.empty()) return refuse("Missing command after HEALTHCHECK CMD");
  check.test = {form.is_list ? "CMD" : "CMD-SHELL"};
  check.test.insert(check.test.end(), form.words.begin(), form.words.end());
  check.interval = TRY(parse_interval(flags, "interval"));
  check.timeout = TRY(parse_interval(flags, "timeout"));
  check.start_period = TRY(parse_interval(flags, "start-period"));
  check.start_interval = TRY(parse_interval(flags, "start-interval"));
  const std::string retries = flags.text("retries");
  if (!retries.empty()) {
    const auto [end, error] = std::from_chars(retries.data(), retries.data() + retries.size(), check.retries);
    if (error != std::errc() || end != retries.data() + retries.size()) {
      return refuse("strconv.ParseInt: parsing {}: invalid syntax", go_quoted(retries));
    }
    if (check.retries < 0) return refuse("--retries cannot be negative ({})", check.retries);
  }
  return check;
}

struct Known {
  const char* name;
  Result<What> (*parse)(const Request&);
};
constexpr std::array instructions{Known{"ADD", parse_copy},
                                  Known{"ARG", parse_arg},
                                  Known{"CMD", parse_cmd},
                                  Known{"COPY", parse_copy},
                                  Known{"ENTRYPOINT", parse_entrypoint},
                                  Known{"ENV", parse_env},
                                  Known{"EXPOSE", parse_expose},
                                  Known{"FROM", nullptr},
                                  Known{"HEALTHCHECK", parse_health_check},
                                  Known{"LABEL", parse_label},
                                  Known{"MAINTAINER", parse_maintainer},
                                  Known{"ONBUILD", parse_on_build},
                                  Known{"RUN", parse_run},
                                  Known{"SHELL", parse_shell},
                                  Known{"STOPSIGNAL", parse_stop_signal},
                                  Known{"USER", parse_user},
                                  Known{"VOLUME", parse_volume},
                                  Known{"WORKDIR", parse_workdir}};

}  // namespace

Result<Command> parse_command(const Statement& statement, char escape, Linter& linter) {
  const Request request{statement, escape, upper(statement.name), linter};
  const auto known = std::find_if(instructions.begin(), instructions.end(),
                                  [&](const Known& each) { return request.name == each.name; });
  if (known == instructions.end() || known->parse == nullptr) {
    std::vector<std::string> names;
    for (const Known& each : instructions) names.emplace_back(each.name);
    return refuse("unknown instruction: {}{}", statement.name, suggestion(request.name, names));
  }
  Command command;
  command.what = TRY(known->parse(request));
  command.name = statement.name;
  command.code = statement.original;
  command.lines = statement.lines;
  return command;
}

}  // namespace cairn::dockerfile
