// SPDX-License-Identifier: Apache-2.0
// Who is let in over Redis' protocol: every command, and each way to be refused. Database 3 is the instance "3".
#include <gtest/gtest.h>
#include <unistd.h>

#include <map>

#include "libserve/resp/session.h"
#include "tests/libserve/resp_client.h"
#include "tests/libserve/some_access.h"
#include "tests/support/temp_dir.h"

namespace cairn::serve {
namespace {

struct AccessServed {
  AccessServed() : access(some_rules("3")), served({.access = &access}) {}
  RespClient client() const { return RespClient(served.server->address()); }
  const Access access;
  RespServed served;
};

// Each command with words that it takes, and what it needs.
struct CommandRow {
  std::vector<std::string> words;
  Need need;
};
const std::map<std::string, CommandRow, std::less<>> rows = {
    {"GET", {{"GET", "k"}, Need::read}},
    {"SET", {{"SET", "k", "value"}, Need::write}},
    {"SETNX", {{"SETNX", "k", "value"}, Need::write}},
    {"SETEX", {{"SETEX", "k", "10", "value"}, Need::write}},
    {"PSETEX", {{"PSETEX", "k", "1000", "value"}, Need::write}},
    {"EXISTS", {{"EXISTS", "k"}, Need::read}},
    {"DEL", {{"DEL", "k"}, Need::write}},
    {"UNLINK", {{"UNLINK", "k"}, Need::write}},
    {"SELECT", {{"SELECT", "3"}, Need::nothing}},
    {"PING", {{"PING"}, Need::nothing}},
    {"ECHO", {{"ECHO", "a"}, Need::nothing}},
    {"HELLO", {{"HELLO", "2"}, Need::nothing}},
    {"AUTH", {{"AUTH", "reader"}, Need::nothing}},
    {"CLIENT", {{"CLIENT", "SETNAME", "a"}, Need::nothing}},
    {"INFO", {{"INFO"}, Need::nothing}},
    {"QUIT", {{"QUIT"}, Need::nothing}},
};

TEST(RespAccess, EveryCommandAsksForWhatItNeeds) {
  AccessServed server;
  for (const std::string_view name : RespSession::commands()) {
    const auto row = rows.find(name);
    ASSERT_NE(row, rows.end()) << "nobody has said here what " << name << " needs";
    for (const Asker& who : askers) {
      if (who.token == "wrong") continue;  // whoever shows a wrong one stays who he was
      RespClient client = server.client();
      if (!who.token.empty()) {
        EXPECT_EQ(client.ask({"AUTH", who.token}), "+OK");
      }
      EXPECT_EQ(client.ask({"SELECT", "3"}), "+OK");
      const std::string answer = client.ask(row->second.words);
      const std::string what = std::string(name) + " by \"" + who.token + "\": " + answer;
      if (who.may(row->second.need))
        EXPECT_TRUE(!answer.empty() && answer[0] != '-') << what;
      else
        EXPECT_TRUE(answer.starts_with(who.known ? "-NOPERM " : "-NOAUTH ")) << what;
    }
  }
  EXPECT_EQ(server.served.findings(), std::vector<std::string>{});
}

TEST(RespAccess, ThePasswordIsATokenOrOneWithAName) {
  AccessServed server;
  const auto get_after = [&](const std::vector<std::string>& words) {
    RespClient client = server.client();
    client.ask({"SELECT", "3"});
    const std::string answer = client.ask(words);
    return answer.substr(0, 10) + " " + client.ask({"GET", "k"}).substr(0, 7);
  };
  EXPECT_EQ(get_after({"AUTH", "reader"}), "+OK nil");
  EXPECT_EQ(get_after({"AUTH", "reader", "reader"}), "+OK nil");
  EXPECT_EQ(get_after({"AUTH", "ada", "a password"}), "+OK nil");
  EXPECT_EQ(get_after({"HELLO", "2", "AUTH", "ada", "a password"}), "* $server  nil");
  EXPECT_EQ(get_after({"HELLO", "2", "AUTH", "ada", "wrong"}), "-WRONGPASS -NOAUTH");
  EXPECT_EQ(get_after({"AUTH", "wrong"}), "-WRONGPASS -NOAUTH");
  EXPECT_EQ(get_after({"AUTH", "default", "reader"}), "-WRONGPASS -NOAUTH");
  EXPECT_EQ(get_after({"AUTH", "a password"}), "-WRONGPASS -NOAUTH");
  for (int i = 4; i < 10; ++i) get_after({"AUTH", "guess"});
  EXPECT_EQ(get_after({"AUTH", "ada", "guess"}), "-ERR too m -NOAUTH");
  EXPECT_EQ(get_after({"AUTH", "ada", "a password"}), "+OK nil") << "it was right before";
}

TEST(RespAccess, ADatabaseIsAnInstanceAndWhatIsRefusedIsNotStored) {
  AccessServed server;
  RespClient client = server.client();
  EXPECT_EQ(client.ask({"AUTH", "writer"}), "+OK");
  EXPECT_TRUE(client.ask({"SET", "k", "value"}).starts_with("-NOPERM")) << "database 0 is not its";
  EXPECT_EQ(client.ask({"SELECT", "3"}), "+OK");
  EXPECT_EQ(client.ask({"SET", "k", "value"}), "+OK");
  EXPECT_EQ(client.ask({"SELECT", "4"}), "+OK");
  EXPECT_TRUE(client.ask({"GET", "k"}).starts_with("-NOPERM"));
  RespClient nobody = server.client();
  EXPECT_TRUE(nobody.ask({"SET", "large", std::string(1'000'000, 'x')}).starts_with("-NOAUTH"));
  EXPECT_EQ(nobody.ask({"AUTH", "all"}), "+OK");
  EXPECT_EQ(nobody.ask({"GET", "k"}), "nil");
  EXPECT_EQ(nobody.ask({"GET", "large"}), "nil");
  EXPECT_EQ(must(server.served.store.cache->disk_usage()).blobs, 1u);
  EXPECT_EQ(server.served.findings(), std::vector<std::string>{});
}

}  // namespace
}  // namespace cairn::serve
