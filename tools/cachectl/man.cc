// SPDX-License-Identifier: Apache-2.0
// man and commands: the program about itself. A page for each command, made of the same words as --help.
#include <algorithm>
#include <cctype>
#include <iostream>
#include <nlohmann/json.hpp>

#include "libbase/fs/beneath.h"
#include "libbase/fs/host_tree.h"
#include "tools/cachectl/command_list.h"

namespace cairn::cachectl {
namespace {

// A line of text may begin with what troff would obey, and a hyphen is to stay one.
std::string roff(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') out += "\\e";
    else if (c == '-') out += "\\-";
    else if (c == '\'') out += "\\(aq";
    else if (c == '`') out += "\\(ga";
    else if (c == '^') out += "\\(ha";
    else if (c == '~') out += "\\(ti";
    else out += c;
  }
  return out.starts_with('.') ? "\\&" + out : out;
}

std::string page_name(const CommandFacts& command) {
  std::string name = "cachectl";
  for (const std::string& word : command.path) name += "-" + word;
  return name;
}

std::string usage(const CommandFacts& command) {
  std::string text = ".B cachectl" + (command.path.empty() ? "" : " " + roff(command.name())) + "\n";
  if (command.options.size() > 1) text += "[\\fIoptions\\fR]\n";
  if (!command.verbs.empty()) text += "\\fIcommand\\fR ...\n";
  for (const OptionFacts& option : command.options) {
    if (!option.positional) continue;
    const std::string word = "\\fI" + roff(option.names[0]) + "\\fR" + (option.repeated ? " ..." : "");
    text += option.required ? word + "\n" : "[" + word + "]\n";
  }
  return text;
}

std::string option_line(const OptionFacts& option) {
  std::string text = ".TP\n";
  for (const std::string& name : option.names)
    text += (&name == option.names.data() ? "" : ", ") + (option.positional ? "\\fI" : std::string("\\fB")) + roff(name) + "\\fR";
  if (!option.positional && !option.value.empty()) text += " \\fI" + roff(option.value) + "\\fR";
  text += "\n" + roff(option.help);
  if (!option.choices.empty()) {
    const char* separator = ". One of ";
    for (const std::string& choice : option.choices) text += std::exchange(separator, ", ") + ("\\fB" + roff(choice) + "\\fR");
  }
  return text + ".\n";
}

std::string page(const CommandFacts& command) {
  std::string title = page_name(command);
  std::transform(title.begin(), title.end(), title.begin(), [](unsigned char c) { return std::toupper(c); });
  std::string summary = command.summary;
  if (summary.ends_with('.')) summary.pop_back();
  std::string text = ".TH " + roff(title) + " 1 \"\" \"cachectl " CAIRN_VERSION "\" \"Cairn\"\n";
  text += ".SH NAME\n" + roff(page_name(command)) + " \\- " + roff(summary) + "\n";
  text += ".SH EXAMPLES\n.nf\n";
  for (const std::string& example : command.examples) text += roff(example) + "\n";
  text += ".fi\n.SH SYNOPSIS\n" + usage(command);
  text += ".SH OPTIONS\n";
  for (const OptionFacts& option : command.options) text += option_line(option);
  if (!command.verbs.empty()) text += ".SH COMMANDS\n";
  for (const auto& [name, what] : command.verbs) text += ".TP\n\\fB" + roff(name) + "\\fR\n" + roff(what) + "\n";
  if (!command.notes.empty()) text += ".SH NOTES\n" + roff(command.notes) + "\n";
  if (!command.path.empty()) text += ".SH SEE ALSO\n.BR cachectl (1)\n";
  return text;
}

struct ManArguments {
  std::vector<std::string> command;
  std::string output;
};

base::Status write_pages(const std::vector<CommandFacts>& commands, const std::string& directory) {
  const base::HostPath dir = TRY(base::HostPath::from_user(directory), "--output {}", directory);
  TRY(base::make_host_dirs(dir), "--output {}", directory);
  for (const CommandFacts& command : commands) TRY(base::write_file_atomic(dir / (page_name(command) + ".1"), page(command), base::Durable::no));
  return {};
}

ExitCode run_man(const CLI::App& app, const ManArguments& arguments) {
  const auto commands = list_commands(app);
  if (!arguments.output.empty()) {
    const auto written = write_pages(commands, arguments.output);
    return written ? ExitCode::done : report_error(written.error());
  }
  for (const CommandFacts& command : commands) {
    if (command.path != arguments.command) continue;
    std::cout << page(command);
    return ExitCode::done;
  }
  std::string name;
  for (const std::string& word : arguments.command) name += (name.empty() ? "" : " ") + word;
  return report_error({.code = base::ErrorCode::not_found,
                       .message = "man: there is no command \"" + name + "\"",
                       .hint = "cachectl commands lists them"});
}

ExitCode run_commands(const CLI::App& app, Output format) {
  using nlohmann::ordered_json;
  TextTable table({{"COMMAND", TextTable::Align::left}, {"WHAT IT DOES", TextTable::Align::left}});
  ordered_json list = ordered_json::array();
  for (const CommandFacts& command : list_commands(app)) {
    if (!command.verbs.empty()) continue;
    ordered_json options = ordered_json::array();
    for (const OptionFacts& option : command.options) {
      options.push_back({{"names", option.names}, {"value", option.value}, {"choices", option.choices},
                         {"positional", option.positional}, {"required", option.required}, {"repeated", option.repeated}});
    }
    list.push_back({{"name", command.name()}, {"summary", command.summary}, {"options", std::move(options)}});
    table.add({command.name(), command.summary});
  }
  if (format == Output::json) std::cout << ordered_json({{"format", 1}, {"commands", std::move(list)}}).dump() << '\n';
  else std::cout << table.str();
  return ExitCode::done;
}

}  // namespace

void add_man(CLI::App& app, Program& program) {
  const auto arguments = std::make_shared<ManArguments>();
  CLI::App* man = app.add_subcommand("man", R"(The manual page of a command, in troff.

Examples:
  cachectl man prune | man -l -
  cachectl man --output /usr/local/share/man/man1    # all of them, as files)");
  man->add_option("COMMAND", arguments->command, "Which; none: that of the program");
  man->add_option("--output", arguments->output, "Write all pages into this directory")->type_name("DIR");
  man->callback([&app, &program, arguments] { program.exit_code = run_man(app, *arguments); });

  const auto only = std::make_shared<OnlyFormat>();
  CLI::App* commands = app.add_subcommand("commands", R"(All commands, one a line.

Examples:
  cachectl commands
  cachectl commands --json)");
  add_json(*commands, only->format);
  commands->callback([&app, &program, only] { program.exit_code = run_commands(app, only->format); });
}

}  // namespace cairn::cachectl
