// SPDX-License-Identifier: Apache-2.0
#include "tests/e2e/every_command.h"

#include <nlohmann/json.hpp>

namespace cairn::test {

using Json = nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const std::map<std::string, Call>& calls() {
  static const std::map<std::string, Call> all = {
      {"build", {{"build", "-f", "{DOCKERFILE}", "--progress", "none", "{DIR}"}}},
      {"solve", {{"solve", "{GRAPH}", "--local", "context={DIR}", "--progress", "none"}}},
      {"digest", {{"digest", "1"}}},
      {"llb inspect", {{"llb", "inspect", "{GRAPH}"}, Needs::nothing}},
      {"du", {{"du"}}},
      {"top", {{"top"}}},
      {"who", {{"who", "1"}}},
      {"ls", {{"ls"}}},
      {"record list", {{"record", "list"}}},
      {"record show", {{"record", "show", "1"}}},
      {"record export", {{"record", "export", "1", "{DIR}/out"}}},
      {"record cat", {{"record", "cat", "1", "file"}}},
      {"record mount", {{"record", "mount", "1", "{DIR}", "--", "true"}}},
      {"record diff", {{"record", "diff", "1", "1"}}},
      {"pin", {{"pin"}}},
      {"unpin", {{"unpin", "1"}}},
      {"entry promote", {{"entry", "promote", "bazel", "4c67"}}},
      {"entry promotions", {{"entry", "promotions"}}},
      {"blob list", {{"blob", "list"}}},
      {"blob show", {{"blob", "show", "4c67"}}},
      {"blob cat", {{"blob", "cat", "4c67"}}},
      {"snapshot list", {{"snapshot", "list"}}},
      {"snapshot show", {{"snapshot", "show", "1"}}},
      {"store info", {{"store", "info"}}},
      {"store migrate", {{"store", "migrate"}}},
      {"stats", {{"stats"}}},
      {"doctor", {{"doctor"}}},
      {"prune", {{"prune"}}},
      {"gc run", {{"gc", "run"}}},
      {"gc check", {{"gc", "check", "{POLICY}"}, Needs::nothing}},
      {"gc explain", {{"gc", "explain", "1"}}},
      {"mount-cache list", {{"mount-cache", "list"}}},
      {"mount-cache du", {{"mount-cache", "du", "id"}}},
      {"mount-cache cat", {{"mount-cache", "cat", "id", "file"}}},
      {"mount-cache rm", {{"mount-cache", "rm", "id"}}},
      {"mount-cache limit", {{"mount-cache", "limit", "id", "1GB"}}},
      {"history list", {{"history", "list"}}},
      {"history show", {{"history", "show", "last"}}},
      {"history diff", {{"history", "diff", "last", "last"}}},
      {"explain", {{"explain", "context"}}},
      {"history ledger", {{"history", "ledger"}}},
      {"trace record", {{"trace", "record", "status"}}},
      {"trace replay", {{"trace", "replay"}}},
      {"graph", {{"graph", "{GRAPH}", "--output", "{DIR}/graph.dot"}, Needs::nothing}},
      {"report", {{"report", "--output", "{DIR}/report.html"}}},
      {"fsck", {{"fsck"}}},
      {"repair", {{"repair"}}},
      {"scrub", {{"scrub"}}},
      {"migrate", {{"migrate"}}},
      {"gocacheprog", {{"gocacheprog"}}},
      {"completion", {{"completion", "bash"}, Needs::nothing}},
      {"man", {{"man"}, Needs::nothing}},
      {"commands", {{"commands"}, Needs::nothing}},
  };
  return all;
}

void EveryCommand::SetUp() {
  make_dir("dir");
  graph_ = write_graph(bytes_of(llb::local("context", {.name = "context"}))).str();
  put(temp_.path(), "Dockerfile", "FROM scratch\nCOPY . /\n");
  put(temp_.path(), "gc.toml", "[[rule]]\nceiling = \"10GB\"\n");
}

Words EveryCommand::names() {
  Words names;
  const Json json = Json::parse(cachectl({"commands", "--json"}).out);
  for (const auto& command : json.at("commands")) names.push_back(command.at("name"));
  return names;
}

Words EveryCommand::words_of(const Call& call) const {
  Words words;
  for (std::string word : call.words) {
    for (const auto& [mark, text] : {std::pair<std::string, std::string>{"{DIR}", (temp_ / "dir").str()},
                                     {"{GRAPH}", graph_}, {"{DOCKERFILE}", (temp_ / "Dockerfile").str()}, {"{POLICY}", (temp_ / "gc.toml").str()}}) {
      if (const std::size_t at = word.find(mark); at != std::string::npos) word.replace(at, mark.size(), text);
    }
    words.push_back(std::move(word));
  }
  return words;
}

Ended EveryCommand::run(const std::string& root, const Call& call) {
  Words words = words_of(call);
  words.insert(words.begin(), {"--root", root, "--no-daemon"});
  return cachectl(std::move(words));
}

void EveryCommand::make_store() {
  ASSERT_EQ(solve(llb::local("context", {.name = "context"}), {"--local", "context=" + (temp_ / "dir").str()}).code, 0);
}

void EveryCommand::expect_one_error(const std::string& name, const Ended& ended, const std::vector<int>& codes) {
  SCOPED_TRACE(name);
  EXPECT_THAT(codes, ::testing::Contains(ended.code)) << ended.out << ended.err;
  EXPECT_EQ(ended.out, "");
  EXPECT_THAT(ended.err, StartsWith("cachectl: "));
  std::size_t errors = 0;
  for (std::size_t at = 0; (at = ended.err.find("cachectl: ", at)) != std::string::npos; ++at) ++errors;
  EXPECT_EQ(errors, 1u) << ended.err;
  EXPECT_THAT(ended.err, Not(AllOf(HasSubstr("terminate"), HasSubstr("what()"))));
}

}  // namespace cairn::test
