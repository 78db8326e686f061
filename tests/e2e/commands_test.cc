// SPDX-License-Identifier: Apache-2.0
// What cachectl says of itself: help, manual pages and completion, all made of one list, and tried in the programs that read
// them.
#include <nlohmann/json.hpp>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/program.h"
#include "tests/support/temp_dir.h"

namespace cairn::test {
namespace {

using Json = nlohmann::json;
using Words = std::vector<std::string>;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::Not;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

Words split(const std::string& text, char at) {
  Words words;
  std::istringstream stream(text);
  for (std::string word; std::getline(stream, word, at);)
    if (!word.empty()) words.push_back(word);
  return words;
}

class Commands : public ::testing::Test {
 protected:
  Ended run(Words argv) { return run_program(temp_.path(), std::move(argv)); }
  Ended cachectl(Words arguments) {
    arguments.insert(arguments.begin(), CAIRN_BIN_DIR "/cachectl");
    return run(std::move(arguments));
  }
  Words all() {
    Words names;
    const Json json = Json::parse(cachectl({"commands", "--json"}).out);
    for (const auto& command : json.at("commands")) names.push_back(command.at("name"));
    return names;
  }
  std::string script(const std::string& shell) {
    const Ended ended = cachectl({"completion", shell});
    EXPECT_EQ(ended.code, 0) << ended.err;
    const std::string file = (temp_ / ("script." + shell)).str();
    write(file, ended.out);
    return file;
  }
  void write(const std::string& file, const std::string& text) {
    const Ended ended = run_program(temp_.path(), {"tee", file}, text);
    ASSERT_EQ(ended.code, 0) << ended.err;
  }

  // The words that a shell offers when the last of these is being typed.
  Words in_bash(const Words& line) {
    std::string words;
    for (const std::string& word : line) words += " '" + word + "'";
    const Ended ended = run({"bash", "-c", "set -u; source " + script("bash") + "; COMP_WORDS=(" + words + "); COMP_CWORD=" +
                                               std::to_string(line.size() - 1) + "; _cachectl; printf '%s\\n' \"${COMPREPLY[@]}\""});
    EXPECT_EQ(ended.code, 0) << ended.err;
    EXPECT_EQ(ended.err, "");
    return split(ended.out, '\n');
  }
  // zsh's own functions of completion need a terminal, so these stand in for the ones that are called.
  Words in_zsh(const Words& line) {
    std::string words;
    for (const std::string& word : line) words += " '" + word + "'";
    const Ended ended = run({"zsh", "-f", "-c",
                             "source " + script("zsh") + "; _describe() { print -l -- ${${(P)2}%%:*}; }; compadd() { shift; print -l -- $@; }; "
                             "_files() { print files $@; }; _message() { :; }; compset() { :; }; words=(" + words +
                                 "); CURRENT=" + std::to_string(line.size()) + "; _cachectl"});
    EXPECT_EQ(ended.code, 0) << ended.err;
    EXPECT_EQ(ended.err, "");
    return split(ended.out, '\n');
  }
  Words in_fish(const Words& line) {
    std::string text;
    for (const std::string& word : line) text += (text.empty() ? "" : " ") + word;
    const Ended ended = run({"env", "HOME=" + temp_.path().str(), "fish", "--no-config", "-c", "source " + script("fish") + "; complete -C '" + text + "'"});
    EXPECT_EQ(ended.code, 0) << ended.err;
    Words offered;
    for (const std::string& entry : split(ended.out, '\n')) offered.push_back(entry.substr(0, entry.find('\t')));
    return offered;
  }

  TempDir temp_;
};

TEST_F(Commands, HelpOfEveryCommandBeginsWithExamplesOfIt) {
  const Words names = all();
  EXPECT_THAT(names, IsSupersetOf({"solve", "prune", "gc run", "history list", "completion"}));
  for (const std::string& name : names) {
    Words words = split(name, ' ');
    words.push_back("--help");
    const Ended ended = cachectl(words);
    EXPECT_EQ(ended.code, 0);
    const Words lines = split(ended.out, '\n');
    ASSERT_GE(lines.size(), 4u) << name;
    EXPECT_THAT(lines[0], ::testing::EndsWith(".")) << name;
    EXPECT_EQ(lines[1], "Examples:") << name;
    EXPECT_THAT(lines[2], AllOf(StartsWith("  "), HasSubstr("cachectl"))) << name;
    const std::string examples = ended.out.substr(0, ended.out.find("\nUsage: cachectl " + name));
    EXPECT_NE(examples.size(), ended.out.size()) << name;
    EXPECT_THAT(examples, HasSubstr(name)) << name;
  }
}

TEST_F(Commands, ManualPagesHaveNothingThatTroffWarnsOf) {
  const std::string dir = (temp_ / "man").str();
  ASSERT_EQ(cachectl({"man", "--output", dir}).code, 0);
  Words groff = {"groff", "-man", "-ww", "-z", "-Tutf8"};
  std::size_t pages = 0;
  for (const std::string& name : all()) {
    std::string page = "cachectl-" + name;
    std::replace(page.begin(), page.end(), ' ', '-');
    groff.push_back(dir + "/" + page + ".1");
    ++pages;
  }
  groff.push_back(dir + "/cachectl.1");
  const Ended formatted = run(groff);
  EXPECT_EQ(formatted.code, 0);
  EXPECT_EQ(formatted.err, "");
  EXPECT_GE(pages, 20u);
  const Ended shown = run({"env", "MANPAGER=cat", "MANWIDTH=80", "man", "--warnings", "-l", dir + "/cachectl-prune.1"});
  EXPECT_EQ(shown.code, 0);
  EXPECT_EQ(shown.err, "");
  for (const char* part : {"cachectl-prune - Remove", "EXAMPLES", "SYNOPSIS", "OPTIONS", "--filter", "cachectl --root DIR prune --dry-run"})
    EXPECT_THAT(shown.out, HasSubstr(part));
}

TEST_F(Commands, OnePageCanBeAskedForAndAnUnknownOneIsAnError) {
  const Ended page = cachectl({"man", "history", "list"});
  EXPECT_EQ(page.code, 0);
  EXPECT_THAT(page.out, StartsWith(".TH CACHECTL\\-HISTORY\\-LIST 1"));
  const Ended unknown = cachectl({"man", "histery"});
  EXPECT_EQ(unknown.code, 3);
  EXPECT_THAT(unknown.err, AllOf(HasSubstr("no command \"histery\""), HasSubstr("hint: ")));
}

struct Completion {
  Words line, offered;
  Words not_offered = {};
};
const Completion completions[] = {
    {{"cachectl", ""}, {"solve", "history", "prune", "gc"}, {"list", "--root"}},
    {{"cachectl", "hist"}, {"history"}, {}},
    {{"cachectl", "history", ""}, {"list", "show", "ledger"}, {"solve", "export"}},
    {{"cachectl", "--root", "history", "gc", ""}, {"check", "run"}, {"list"}},
    {{"cachectl", "history", "list", "--"}, {"--limit", "--json", "--root", "--help"}, {"--filter"}},
    {{"cachectl", "prune", "--filter", "a", "--"}, {"--filter", "--dry-run", "--no-daemon"}, {"--limit"}},
    {{"cachectl", "solve", "--progress", ""}, {"auto", "plain", "json", "none"}, {"solve"}},
    {{"cachectl", "--verbose", "du", "--by", ""}, {"type", "project"}, {"--json"}},
    {{"cachectl", "completion", ""}, {"bash", "zsh", "fish"}, {"solve"}},
};

TEST_F(Commands, BashCompletes) {
  for (const Completion& each : completions) {
    const Words offered = in_bash(each.line);
    // Only what begins as the word does.
    for (const std::string& word : each.offered) EXPECT_THAT(offered, Contains(word)) << Json(each.line);
    for (const std::string& word : each.not_offered) EXPECT_THAT(offered, Not(Contains(word))) << Json(each.line);
  }
  EXPECT_THAT(in_bash({"cachectl", "solve", "--progress", "=", "pl"}), UnorderedElementsAre("plain"));
  EXPECT_THAT(in_bash({"cachectl", "hist"}), UnorderedElementsAre("history"));
}

TEST_F(Commands, BashCompletesFilesAndDirectories) {
  ASSERT_EQ(run({"mkdir", (temp_ / "directory").str()}).code, 0);
  write((temp_ / "difference.pb").str(), "x");
  const std::string begin = (temp_ / "di").str();
  EXPECT_THAT(in_bash({"cachectl", "--root", begin}), UnorderedElementsAre(begin + "rectory"));
  EXPECT_THAT(in_bash({"cachectl", "solve", begin}), UnorderedElementsAre(begin + "rectory", begin + "fference.pb"));
  EXPECT_THAT(in_bash({"cachectl", "solve", "--local", "src", "=", begin}), UnorderedElementsAre(begin + "rectory"));
}

TEST_F(Commands, BashRegistersTheFunction) {
  const Ended ended = run({"bash", "-c", "source " + script("bash") + "; complete -p cachectl"});
  EXPECT_EQ(ended.out, "complete -F _cachectl cachectl\n") << ended.err;
}

TEST_F(Commands, ZshCompletes) {
  for (const Completion& each : completions) {
    const Words offered = in_zsh(each.line);
    for (const std::string& word : each.offered) EXPECT_THAT(offered, Contains(word)) << Json(each.line);
    for (const std::string& word : each.not_offered) EXPECT_THAT(offered, Not(Contains(word))) << Json(each.line);
  }
  EXPECT_THAT(in_zsh({"cachectl", "--root", ""}), UnorderedElementsAre("files -/"));
}

TEST_F(Commands, FishCompletes) {
  for (const Completion& each : completions) {
    const Words offered = in_fish(each.line);
    for (const std::string& word : each.offered) {
      EXPECT_THAT(offered, Contains(word)) << Json(each.line);
    }
    for (const std::string& word : each.not_offered) EXPECT_THAT(offered, Not(Contains(word))) << Json(each.line);
  }
}

}  // namespace
}  // namespace cairn::test
