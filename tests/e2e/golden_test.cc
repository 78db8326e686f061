// SPDX-License-Identifier: Apache-2.0
// What every command prints, in human form and, where it has one, as JSON, kept in tests/golden/cachectl. A command without a golden fails
// this test.
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <sstream>

#include "libcache/entry_store.h"
#include "tests/e2e/every_command.h"
#include "tools/engine/engine.h"

namespace cairn::test {
namespace {

using Json = nlohmann::json;

// Numbers, times, durations and digests vary from run to run and from disk to disk; words and their order do not.
std::string without_what_varies(std::string text, const std::string& dir) {
  for (std::size_t at = 0; (at = text.find(dir, at)) != std::string::npos;) text.replace(at, dir.size(), "TEMP");
  const std::pair<const char*, const char*> rules[] = {{"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z", "TIME"},
                                                       {"(?=[0-9]*[a-f])[0-9a-f]{12,}", "HEX"},
                                                       {"([0-9]+m)?[0-9]+(\\.[0-9]+)?(ms|s)\\b", "DURATION"},
                                                       {"[0-9]+(\\.[0-9]+)?", "N"},
                                                       {"\\bN ([KMGT]i)?B\\b", "SIZE"},
                                                       {"  +", "  "}};
  for (const auto& [expression, word] : rules) text = std::regex_replace(text, std::regex(expression), word);
  return text;
}

void strip(Json& json, const std::string& dir) {
  for (auto& value : json) {
    if (value.is_structured()) strip(value, dir);
    else if (value.is_number()) value = 0;
    else if (value.is_string()) value = without_what_varies(value.get<std::string>(), dir);
  }
}

// CAIRN_UPDATE_GOLDENS=1 writes what it finds; look at it before it is kept.
void expect_golden(const std::string& file, const std::string& found) {
  const std::string path = CAIRN_SOURCE_DIR "/tests/golden/cachectl/" + file;
  if (std::getenv("CAIRN_UPDATE_GOLDENS") != nullptr) write_text(*base::HostPath::parse(path), found);
  EXPECT_EQ(read_text(path), found) << file;
}

class Golden : public EveryCommand {
 protected:
  // One file, one solve, one blob that no record needs.
  void make_golden_store() {
    put(temp_ / "dir", "file", "of the context\n");
    ASSERT_EQ(solve(llb::local("context", {.name = "context"}), {"--local", "context=" + (temp_ / "dir").str(), "--project", "web", "--build", "17"}).code, 0);
    auto engine = engine::Engine::open(engine::EngineOptions(root_));
    ASSERT_TRUE(engine);
    const auto put_blob = (*engine)->cache().blobs().put(blob_);
    ASSERT_TRUE(put_blob && (*engine)->cache().writer().wait_durable(put_blob->sequence));
  }
  static std::string name_of(std::string command) {
    std::replace(command.begin(), command.end(), ' ', '-');
    return command;
  }
  std::string varied(const std::string& text) const { return without_what_varies(text, temp_.path().str()); }
  // Text and, if there is such an option, JSON.
  void expect_goldens(const std::string& name, const Call& call) {
    const Ended text = run(root_.str(), call);
    expect_golden(name_of(name) + ".txt", varied(text.out + text.err) + "exit code " + std::to_string(text.code) + "\n");
    Call as_json = call;
    as_json.words.push_back("--json");
    const Ended ended = run(root_.str(), as_json);
    if (ended.code == 2 || ended.out.empty() || ended.out.front() != '{') return;
    Json json = Json::parse(ended.out);
    EXPECT_EQ(json.value("format", 0), 1) << name;
    strip(json, temp_.path().str());
    expect_golden(name_of(name) + ".json", json.dump(1) + "\n");
  }

  const std::string blob_ = "a blob of the golden store\n";
};

// Of the machine: which lines there are, and of what kind each value is.
std::string keys_of(const std::string& text) {
  std::string keys;
  std::set<std::string> seen;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t colon = line.find(": ");
    const std::string key = line.substr(0, line.find_first_of(".:"));
    if (colon != std::string::npos && seen.insert(key).second) keys += key + "\n";
  }
  return keys;
}
std::string kinds_of(const Json& json) {
  std::string kinds;
  for (const auto& [key, value] : json.items())
    kinds += key + ": " + (value.is_null() ? "integer or null" : value.is_number() ? "number" : value.type_name()) + "\n";
  return kinds;
}

// The words of a page, without its style, its script and its pictures.
std::string words_of_page(std::string page) {
  for (const char* element : {"style", "script", "svg"})
    page = std::regex_replace(page, std::regex(fmt::format("<{0}[^]*?</{0}>", element)), fmt::format("[{}]\n", element));
  page = std::regex_replace(page, std::regex("<[^>]*>"), " ");
  return std::regex_replace(page, std::regex(" +"), " ");
}

// Those that have a form of their own, or need a store of their own.
const std::set<std::string> apart = {"build", "doctor", "completion", "man", "commands", "trace record", "trace replay", "graph", "report",
                                     "mount-cache list", "mount-cache du", "mount-cache cat", "mount-cache rm", "mount-cache limit", "entry promote", "entry promotions"};

TEST_F(Golden, EveryCommandHasOne) {
  const Words files = names_in(*base::HostPath::parse(CAIRN_SOURCE_DIR "/tests/golden/cachectl"));
  for (const std::string& name : names()) EXPECT_THAT(files, ::testing::Contains(name_of(name) + ".txt"));
}

TEST_F(Golden, CommandsPrintWhatTheyHavePrintedBefore) {
  make_golden_store();
  auto golden = calls();
  const std::string digits = base::digest_of<BlobDigest>(blob_).hex().substr(0, 8);
  golden["blob show"] = {{"blob", "show", digits}};
  golden["blob cat"] = {{"blob", "cat", digits}};
  golden["record mount"] = {{"record", "mount", "1", "{DIR}", "--", "cat", "{DIR}/file"}};
  golden["prune-all-dry-run"] = {{"prune", "--all", "--dry-run"}};
  golden["prune-rule-dry-run"] = {{"prune", "--filter", "type==source.local", "--dry-run"}};
  golden["record-list-filter"] = {{"record", "list", "--filter", "type==exec.cachemount"}};
  golden["du-by"] = {{"du", "--by", "type"}};
  golden["du-filter"] = {{"du", "--filter", "type==source.local"}};
  golden["stats-prometheus"] = {{"stats", "--prometheus"}};
  golden["repair-dry-run"] = {{"repair", "--dry-run"}};
  for (const auto& [name, call] : golden)
    if (!apart.contains(name)) expect_goldens(name, call);
}

TEST_F(Golden, BuildsPrintWhatTheyHavePrintedBefore) {
  put(temp_ / "dir", "file", "of the context\n");
  put(temp_.path(), "Dockerfile", "FROM scratch as files\nCOPY . /\n");
  expect_goldens("build", calls().at("build"));
  Call check = calls().at("build");
  check.words.insert(check.words.begin() + 1, "--check");
  expect_goldens("build-check", check);
  put(temp_.path(), "Dockerfile", "# MODE says how\nARG MODE=fast\n# files are copied\nFROM scratch AS files\nARG MODE\nCOPY . /\nFROM files\n");
  for (const std::string name : {"outline", "targets", "subrequests.describe"}) {
    check.words[1] = "--call=" + name;
    expect_goldens("build-" + name, check);
  }
}

// The second time there is nothing left to promote.
TEST_F(Golden, CommandsAboutEntriesPrintWhatTheyHavePrintedBefore) {
  make_golden_store();
  {
    auto engine = engine::Engine::open(engine::EngineOptions(root_));
    ASSERT_TRUE(engine);
    cache::Cache& cache = (*engine)->cache();
    const auto value = cache.blobs().put("a result\n");
    ASSERT_TRUE(value);
    const auto put = cache::EntryStore(cache).put({.name = {.door = "ccache", .instance = "team", .trust = cache::Trust::untrusted, .key = "9a3b"}, .value = value->info.digest});
    ASSERT_TRUE(put && cache.writer().wait_durable(put->sequence));
  }
  expect_goldens("entry promote", {{"entry", "promote", "ccache", "9a3b", "--instance", "team", "--reason", "looked at it"}});
  expect_goldens("entry promotions", calls().at("entry promotions"));
}

TEST_F(Golden, CommandsAboutCacheMountsPrintWhatTheyHavePrintedBefore) {
  llb::RunOptions options{.mounts = {{.dest = "/cache", .cache_id = "id"}}};
  options.name = "fills it";
  ASSERT_EQ(solve(image().run({"sh", "-c", "mkdir /cache/deep; echo kept > /cache/file; echo more > /cache/deep/file"}, options).root()).code, 0);
  for (const char* name : {"mount-cache list", "mount-cache du", "mount-cache cat", "mount-cache limit"}) expect_goldens(name, calls().at(name));
  expect_goldens("mount-cache-rm-dry-run", {{"mount-cache", "rm", "id", "--dry-run"}});
  expect_goldens("mount-cache rm", calls().at("mount-cache rm"));
}

TEST_F(Golden, TracesPrintWhatTheyHavePrintedBefore) {
  make_golden_store();
  expect_goldens("trace record", calls().at("trace record"));
  expect_goldens("trace-replay-none", calls().at("trace replay"));
  ASSERT_EQ(run(root_.str(), {{"trace", "record", "on"}}).code, 0);
  make_store();
  expect_goldens("trace-record-on", calls().at("trace record"));
  expect_goldens("trace replay", calls().at("trace replay"));
}

TEST_F(Golden, PagesAndGraphsHoldWhatTheyHaveHeldBefore) {
  make_golden_store();
  expect_goldens("graph", calls().at("graph"));
  expect_golden("graph.dot", varied(read(temp_ / "dir/graph.dot")));
  ASSERT_EQ(run(root_.str(), {{"graph", "last", "--output", "{DIR}/solve.dot"}}).code, 0);
  expect_golden("graph-of-solve.dot", varied(read(temp_ / "dir/solve.dot")));
  expect_goldens("report", calls().at("report"));
  expect_golden("report-words.txt", varied(words_of_page(read(temp_ / "dir/report.html"))));
}

TEST_F(Golden, WhatIsOfTheProgramOrTheMachineIsWhatItHasBeenBefore) {
  make_golden_store();
  const Ended doctor = run(root_.str(), calls().at("doctor"));
  expect_golden("doctor.txt", keys_of(doctor.out));
  expect_golden("doctor-kinds.txt", kinds_of(Json::parse(run(root_.str(), {{"doctor", "--json"}}).out)));
  expect_golden("man.txt", run(root_.str(), {{"man", "du"}}).out);
  expect_golden("completion.txt", run(root_.str(), calls().at("completion")).out);
  expect_golden("commands.txt", run(root_.str(), calls().at("commands")).out);
}

}  // namespace
}  // namespace cairn::test
