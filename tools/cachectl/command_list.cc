// SPDX-License-Identifier: Apache-2.0
#include "tools/cachectl/command_list.h"

#include <algorithm>
#include <sstream>
#include <utility>

namespace cairn::cachectl {
namespace {

// CLI11 says the choices of an option behind its type: "TEXT:{a,b}".
std::vector<std::string> choices_of(const std::string& type) {
  std::vector<std::string> choices;
  const std::size_t begin = type.find('{'), end = type.rfind('}');
  if (begin == std::string::npos || end == std::string::npos || end < begin) return choices;
  std::istringstream words(type.substr(begin + 1, end - begin - 1));
  for (std::string word; std::getline(words, word, ',');) choices.push_back(word);
  return choices;
}

OptionFacts facts_of(const CLI::Option& option) {
  OptionFacts facts;
  for (const std::string& name : option.get_snames()) facts.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) facts.names.push_back("--" + name);
  facts.positional = facts.names.empty();
  if (facts.positional) facts.names.push_back(option.get_name(true));
  facts.help = option.get_description();
  facts.required = option.get_required();
  facts.repeated = option.get_expected_max() > 1;
  if (option.get_items_expected_max() == 0) return facts;
  const std::string type = option.get_type_name();
  facts.choices = choices_of(type);
  facts.value = type.substr(0, type.find(':'));
  if (facts.value == "TEXT") facts.value = facts.choices.empty() ? "VALUE" : "WORD";
  if (facts.value == "UINT") facts.value = "N";
  return facts;
}

void read_help(const std::string& help, CommandFacts& facts) {
  std::istringstream lines(help);
  std::getline(lines, facts.summary);
  bool in_examples = false;
  for (std::string line; std::getline(lines, line);) {
    if (line == "Examples:") {
      in_examples = true;
    } else if (in_examples && line.starts_with("  ")) {
      facts.examples.push_back(line.substr(2));
    } else if (!line.empty()) {
      in_examples = false;
      facts.notes += (facts.notes.empty() ? "" : " ") + line;
    }
  }
}

void add_commands(const CLI::App& app, const std::vector<std::string>& path, std::vector<CommandFacts>& commands) {
  CommandFacts facts{.path = path, .summary = {}, .examples = {}, .notes = {}, .options = {}, .verbs = {}};
  read_help(app.get_description(), facts);
  for (const CLI::Option* option : app.get_options()) facts.options.push_back(facts_of(*option));
  const auto below = app.get_subcommands([](const CLI::App*) { return true; });
  for (const CLI::App* verb : below) facts.verbs.emplace_back(verb->get_name(), summary_of(*verb));
  commands.push_back(std::move(facts));
  for (const CLI::App* verb : below) {
    std::vector<std::string> longer = path;
    longer.push_back(verb->get_name());
    add_commands(*verb, longer, commands);
  }
}

// How many letters to add, leave out or replace.
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string nearest_command(const CLI::App& app, const std::string& word) {
  std::string nearest;
  std::size_t least = std::min<std::size_t>(3, word.size());
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; })) {
    const std::size_t far = distance(word, verb->get_name());
    if (far < least) nearest = verb->get_name(), least = far;
  }
  return nearest;
}

bool OptionFacts::is(std::string_view name) const { return std::find(names.begin(), names.end(), name) != names.end(); }

std::string CommandFacts::name() const {
  std::string text;
  for (const std::string& word : path) text += (text.empty() ? "" : " ") + word;
  return text;
}

std::vector<CommandFacts> list_commands(const CLI::App& app) {
  std::vector<CommandFacts> commands;
  add_commands(app, {}, commands);
  return commands;
}

}  // namespace cairn::cachectl
