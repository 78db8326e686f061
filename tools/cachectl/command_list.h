// SPDX-License-Identifier: Apache-2.0
// All commands as plain data, read from what the verbs have said of themselves: what man pages, completion and tests are
// made of.
#pragma once

#include <string>
#include <vector>

#include "tools/cachectl/verb.h"

namespace cairn::cachectl {

struct OptionFacts {
  std::vector<std::string> names;  // "--json", "-h"; of a positional one: "FILE"
  std::string value;               // what it takes: "DIR", "NAME=DIR"; "": it is a flag
  std::vector<std::string> choices;  // if its values are known
  std::string help;
  bool positional = false, required = false, repeated = false;
  bool is(std::string_view name) const;
};

struct CommandFacts {
  std::vector<std::string> path;  // {"history", "list"}; of the program itself {}
  std::string summary;            // the first line of its help
  std::vector<std::string> examples;
  std::string notes;  // what else its help says
  std::vector<OptionFacts> options;
  std::vector<std::pair<std::string, std::string>> verbs;  // below it, with their summaries
  std::string name() const;  // "history list"
};

// The program first, each noun before its verbs.
std::vector<CommandFacts> list_commands(const CLI::App& app);

// The command below `app` that somebody who wrote `word` may have meant; "": none is near.
std::string nearest_command(const CLI::App& app, const std::string& word);

}  // namespace cairn::cachectl
