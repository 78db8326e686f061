// SPDX-License-Identifier: Apache-2.0
// completion: scripts for bash, zsh and fish, made of the list of commands. Each walks the words before the cursor down to the
// command that they name, passing over options and their values; what may come next is a table.
#include <iostream>

#include "tools/cachectl/command_list.h"

namespace cairn::cachectl {
namespace {

// "'" ends and begins what is quoted with it; fish knows "\'" inside.
std::string sh_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// What the value of an option is, as far as a shell can help with it.
enum class Kind { words, files, directories, other };
Kind kind_of(const OptionFacts& option) {
  if (!option.choices.empty()) return Kind::words;
  const std::string& what = option.positional ? option.names[0] : option.value;
  if (what == "FILE" || what.ends_with("=FILE") || what.starts_with("FILE|")) return Kind::files;
  if (what == "DIR" || what.ends_with("=DIR") || what.starts_with("DIR|")) return Kind::directories;
  return Kind::other;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

std::string path_of(const CommandFacts& command) {
  std::string path;
  for (const std::string& word : command.path) path += "/" + word;
  return path;
}

// The program's own options may stand anywhere.
std::vector<const OptionFacts*> options_of(const std::vector<CommandFacts>& commands, const CommandFacts& command) {
  std::vector<const OptionFacts*> options;
  for (const OptionFacts& option : command.options)
    if (!option.positional) options.push_back(&option);
  if (command.path.empty()) return options;
  for (const OptionFacts& option : commands.front().options)
    if (!option.positional && !option.is("--help") && !option.is("--version")) options.push_back(&option);
  return options;
}

// Of `case "$at $word" in`; the program's own options may stand anywhere.
std::string pattern_of(const std::vector<CommandFacts>& commands, const CommandFacts& command, const std::string& name) {
  return &command == &commands.front() ? fmt::format("*\" {}\"", name) : fmt::format("\"{} {}\"", path_of(command), name);
}

std::string value_cases(const std::vector<CommandFacts>& commands, std::string_view indent) {
  std::string text;
  for (const CommandFacts& command : commands) {
    for (const OptionFacts& option : command.options) {
      if (option.positional || option.value.empty()) continue;
      for (const std::string& name : option.names) text += fmt::format("{}{}) skip=1 ;;\n", indent, pattern_of(commands, command, name));
    }
  }
  return text;
}

std::string path_cases(const std::vector<CommandFacts>& commands, std::string_view indent) {
  std::string text;
  for (const CommandFacts& command : commands)
    if (!command.path.empty()) text += fmt::format("{}{}) at=$at/$word ;;\n", indent, path_of(command));
  return text;
}

// Where the word before is an option that takes a value: what completes the value. bash and zsh write it alike.
std::string answer_cases(const std::vector<CommandFacts>& commands, std::string (*values)(const OptionFacts&)) {
  std::string text;
  for (const CommandFacts& command : commands) {
    for (const OptionFacts& option : command.options) {
      if (option.positional || option.value.empty()) continue;
      for (const std::string& name : option.names)
        text += fmt::format("    {}) {}; return ;;\n", pattern_of(commands, command, name), values(option));
    }
  }
  return text;
}

std::string bash_values(const OptionFacts& option) {
  switch (kind_of(option)) {
    case Kind::words: return fmt::format("COMPREPLY=($(compgen -W {} -- \"$cur\"))", sh_quoted(joined(option.choices)));
    case Kind::files: return "compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- \"$cur\"))";
    case Kind::directories: return "compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -d -- \"$cur\"))";
    case Kind::other: return "COMPREPLY=()";
  }
  return "";
}

std::string bash_script(const std::vector<CommandFacts>& commands) {
  std::string text = R"(# bash completion for cachectl; made by: cachectl completion bash
_cachectl() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} at= word= skip= i
  COMPREPLY=()
  # --option=value and NAME=DIR come as three words.
  i=$COMP_CWORD
  if [[ $cur == = ]]; then cur=; elif [[ $prev == = ]]; then i=$((i - 1)); fi
  if (( i < COMP_CWORD )) || [[ ${COMP_WORDS[COMP_CWORD]} == = ]]; then
    prev=${COMP_WORDS[i-1]}
    [[ $prev == -* || i -lt 3 ]] || prev=${COMP_WORDS[i-2]}
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if [[ -n $skip ]]; then skip=; continue; fi
    case "$at $word" in
)" + value_cases(commands, "      ") + R"(    esac
    [[ $word == -* ]] && continue
    case "$at/$word" in
)" + path_cases(commands, "      ") + R"(    esac
  done
  case "$at $prev" in
)";
  text += answer_cases(commands, bash_values);
  text += R"(  esac
  case "$at" in
)";
  for (const CommandFacts& command : commands) {
    std::string names, verbs, otherwise = "COMPREPLY=()";
    for (const OptionFacts* option : options_of(commands, command)) names += (names.empty() ? "" : " ") + joined(option->names);
    for (const auto& [name, what] : command.verbs) verbs += (verbs.empty() ? "" : " ") + name;
    if (!verbs.empty()) otherwise = fmt::format("COMPREPLY=($(compgen -W {} -- \"$cur\"))", sh_quoted(verbs));
    for (const OptionFacts& option : command.options)
      if (option.positional && kind_of(option) != Kind::other) otherwise = bash_values(option);
    text += fmt::format("    {}) if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W {} -- \"$cur\")); else {}; fi ;;\n",
                        sh_quoted(path_of(command)), sh_quoted(names), otherwise);
  }
  return text + "  esac\n}\ncomplete -F _cachectl cachectl\n";
}

// ':' ends the word that _describe offers.
std::string zsh_entry(std::string_view word, std::string_view what) {
  std::string text;
  for (const char c : word) text += c == ':' ? std::string("\\:") : std::string(1, c);
  return sh_quoted(text + ":" + std::string(what));
}

std::string zsh_values(const OptionFacts& option) {
  switch (kind_of(option)) {
    case Kind::words: return "compadd -- " + joined(option.choices);
    case Kind::files: return option.value.find('=') == std::string::npos ? "_files" : "compset -P '*='; _files";
    case Kind::directories: return option.value.find('=') == std::string::npos ? "_files -/" : "compset -P '*='; _files -/";
    case Kind::other: return "_message " + sh_quoted(option.value.empty() ? option.names[0] : option.value);
  }
  return "";
}

std::string zsh_script(const std::vector<CommandFacts>& commands) {
  std::string text = R"(#compdef cachectl
# zsh completion for cachectl; made by: cachectl completion zsh
_cachectl() {
  local at= word= skip= i
  local -a found
  for ((i = 2; i < CURRENT; i++)); do
    word=${words[i]}
    if [[ -n $skip ]]; then skip=; continue; fi
    case "$at $word" in
)" + value_cases(commands, "      ") + R"(    esac
    [[ $word == -* ]] && continue
    case "$at/$word" in
)" + path_cases(commands, "      ") + R"(    esac
  done
  case "$at ${words[CURRENT-1]}" in
)";
  text += answer_cases(commands, zsh_values);
  text += "  esac\n  case \"$at\" in\n";
  for (const CommandFacts& command : commands) {
    std::string options, verbs, otherwise = ":";
    for (const OptionFacts* option : options_of(commands, command))
      for (const std::string& name : option->names) options += " " + zsh_entry(name, option->help);
    for (const auto& [name, what] : command.verbs) verbs += " " + zsh_entry(name, what);
    if (!verbs.empty()) otherwise = "found=(" + verbs.substr(1) + "); _describe command found";
    for (const OptionFacts& option : command.options)
      if (option.positional) otherwise = zsh_values(option);
    text += fmt::format("    {}) if [[ ${{words[CURRENT]}} == -* ]]; then found=({}); _describe option found; else {}; fi ;;\n",
                        sh_quoted(path_of(command)), options.substr(1), otherwise);
  }
  return text + "  esac\n}\nif [[ ${funcstack[1]} == _cachectl ]]; then _cachectl \"$@\"; elif (( $+functions[compdef] )); then compdef _cachectl cachectl; fi\n";
}

std::string fish_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' || c == '\\' ? std::string("\\") + c : std::string(1, c);
  return out + "'";
}

std::string fish_option(const OptionFacts& option, const std::string& condition) {
  std::string line = "complete -c cachectl" + condition;
  for (const std::string& name : option.names) line += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
  line += " -d " + fish_quoted(option.help);
  if (option.value.empty()) return line + "\n";
  switch (kind_of(option)) {
    case Kind::words: return line + " -x -a " + fish_quoted(joined(option.choices)) + "\n";
    case Kind::files: return line + " -r -F\n";
    case Kind::directories: return line + " -x -a '(__fish_complete_directories)'\n";
    case Kind::other: return line + " -x\n";
  }
  return line + "\n";
}

std::string fish_script(const std::vector<CommandFacts>& commands) {
  std::string text = "# fish completion for cachectl; made by: cachectl completion fish\nfunction __cachectl_at\n"
                     "  set -l at ''\n  set -l skip ''\n  for word in (commandline -opc)[2..]\n"
                     "    if test -n \"$skip\"; set skip ''; continue; end\n    switch \"$at $word\"\n";
  for (const CommandFacts& command : commands) {
    for (const OptionFacts& option : command.options) {
      if (option.positional || option.value.empty()) continue;
      for (const std::string& name : option.names)
        text += fmt::format("      case '{} {}'\n        set skip 1\n", command.path.empty() ? "*" : path_of(command), name);
    }
  }
  text += "    end\n    string match -q -- '-*' $word; and continue\n    switch \"$at/$word\"\n      case";
  for (const CommandFacts& command : commands)
    if (!command.path.empty()) text += " " + path_of(command);
  text += "\n        set at $at/$word\n    end\n  end\n  test \"$at\" = \"$argv[1]\"\nend\ncomplete -c cachectl -f\n";
  for (const CommandFacts& command : commands) {
    const std::string condition = fmt::format(" -n \"__cachectl_at '{}'\"", path_of(command));
    for (const auto& [name, what] : command.verbs)
      text += fmt::format("complete -c cachectl{} -a {} -d {}\n", condition, name, fish_quoted(what));
    for (const OptionFacts& option : command.options) {
      if (!option.positional) text += fish_option(option, command.path.empty() && !option.is("--version") && !option.is("--help") ? "" : condition);
      else if (kind_of(option) == Kind::words) text += "complete -c cachectl" + condition + " -a " + fish_quoted(joined(option.choices)) + "\n";
      else if (kind_of(option) == Kind::files) text += "complete -c cachectl" + condition + " -F\n";
      else if (kind_of(option) == Kind::directories) text += "complete -c cachectl" + condition + " -a '(__fish_complete_directories)'\n";
    }
  }
  return text;
}

ExitCode run_completion(const CLI::App& app, const std::string& shell) {
  const auto commands = list_commands(app);
  std::cout << (shell == "bash" ? bash_script(commands) : shell == "zsh" ? zsh_script(commands) : fish_script(commands));
  return ExitCode::done;
}

}  // namespace

void add_completion(CLI::App& app, Program& program) {
  const auto shell = std::make_shared<std::string>();
  CLI::App* verb = app.add_subcommand("completion", R"(A script that completes the words of cachectl in a shell.

Examples:
  source <(cachectl completion bash)
  cachectl completion zsh > "${fpath[1]}/_cachectl"
  cachectl completion fish > ~/.config/fish/completions/cachectl.fish)");
  verb->add_option("SHELL", *shell, "Which")->required()->check(CLI::IsMember({"bash", "zsh", "fish"}));
  verb->callback([&app, &program, shell] { program.exit_code = run_completion(app, *shell); });
}

}  // namespace cairn::cachectl
