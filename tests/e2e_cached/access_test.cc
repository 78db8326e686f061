// SPDX-License-Identifier: Apache-2.0
// The commands of docs/guides/access.md: a token from --new-token, in the file, shown by real clients.
#include <gtest/gtest.h>
#include <signal.h>

#include "tests/e2e_cached/cached_program.h"
#include "tests/support/oci_layout_builder.h"

namespace cairn::test {
namespace {

const std::string key = "/gradle/" + std::string(32, 'a');

struct NewToken {
  std::string token, lines;
};
NewToken new_token(const TempDir& dir, const std::string& name) {
  const Ended made = run_program(dir.path(), {CAIRN_BIN_DIR "/cached", "--new-token", name});
  const std::size_t at = made.err.find("cairn_");
  return {made.err.substr(at, made.err.find('\n', at) - at), made.out};
}

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  text.replace(text.find(what), what.size(), by);
  return text;
}

struct CachedAccess : ::testing::Test {
  std::string file(const std::string& text) {
    write_text(dir / "cached.toml", text);
    return (dir / "cached.toml").str();
  }
  TempDir dir;
  const NewToken reader = new_token(dir, "reader"), writer = new_token(dir, "writer");
  const std::string rules = "[access]\nanonymous = { read = [\"public\"] }\n" + reader.lines +
                            replaced(writer.lines, "rights = \"read\"", "rights = \"write\"");
};

TEST_F(CachedAccess, TokensOfTheFileLetRealClientsIn) {
  CachedProgram cached({"--config", file(rules), "--resp", "127.0.0.1:0"});
  const auto curl = [&](std::vector<std::string> arguments, const std::string& path = key) {
    arguments.push_back(cached.url(path));
    return cached.curl(std::move(arguments)).out;
  };
  EXPECT_EQ(curl({"--data-binary", "value", "--request", "PUT"}), "401");
  EXPECT_EQ(curl({"--data-binary", "value", "--request", "PUT", "--oauth2-bearer", reader.token}), "403");
  EXPECT_EQ(curl({"--data-binary", "value", "--request", "PUT", "--oauth2-bearer", writer.token}), "200");
  EXPECT_EQ(curl({}), "401");
  EXPECT_EQ(curl({"--output", "-", "--oauth2-bearer", reader.token}), "value200");
  EXPECT_EQ(curl({"--output", "-", "--user", "reader:" + reader.token}), "value200");
  EXPECT_EQ(curl({"--user", "writer:" + reader.token}), "401");
  EXPECT_EQ(curl({}, "/public" + key), "404") << "anybody may look";
  EXPECT_EQ(curl({}, "/metrics"), "401");
  EXPECT_EQ(curl({"--oauth2-bearer", reader.token}, "/metrics"), "200");
  const std::string address = cached.resp_address();
  const auto redis = [&](std::vector<std::string> words) {
    std::vector<std::string> argv = {
        "redis-cli", "--no-auth-warning", "-h", "127.0.0.1", "-p", address.substr(address.rfind(':') + 1)};
    argv.insert(argv.end(), words.begin(), words.end());
    return cached.run(std::move(argv)).out;
  };
  EXPECT_TRUE(redis({"GET", "k"}).starts_with("NOAUTH"));
  EXPECT_EQ(redis({"-a", writer.token, "SET", "k", "v"}), "OK\n");
  EXPECT_EQ(redis({"--user", "reader", "--pass", reader.token, "GET", "k"}), "v\n");
  EXPECT_TRUE(redis({"-a", reader.token, "SET", "k", "w"}).starts_with("NOPERM"));
  const Ended ended = cached.stop(SIGTERM);
  EXPECT_EQ(ended.code, 0);
  EXPECT_EQ(ended.err, "");
  EXPECT_EQ(cached.cachectl({"fsck"}).code, 0);
}

// ccache shows a token as the password of an URL, over both protocols.
TEST_F(CachedAccess, CcacheIsServedWithATokenAndNotWithoutOne) {
  CachedProgram cached({"--config", file(rules), "--resp", "127.0.0.1:0"});
  write_text(cached.work("a.c"), "int f(void) { return 1; }\n");
  int runs = 0;
  // Whether a compilation with an empty local cache was served.
  const auto is_served = [&](const std::string& storage) {
    const std::string local = "CCACHE_DIR=" + cached.work("local" + std::to_string(++runs)).str();
    const Ended compiled = cached.run({"env", local, "CCACHE_REMOTE_STORAGE=" + storage, "ccache", "gcc", "-c",
                                       cached.work("a.c").str(), "-o", cached.work("a.o").str()});
    EXPECT_EQ(compiled.code, 0) << compiled.err;
    return cached.run({"env", local, "ccache", "--print-stats"}).out.find("\nremote_storage_hit\t1\n") !=
           std::string::npos;
  };
  const std::string http = cached.address() + "/ccache", redis = cached.resp_address();
  EXPECT_FALSE(is_served("http://" + http));
  EXPECT_FALSE(is_served("http://reader:" + reader.token + "@" + http)) << "nobody has put anything yet";
  EXPECT_FALSE(is_served("http://writer:" + writer.token + "@" + http));
  EXPECT_TRUE(is_served("http://reader:" + reader.token + "@" + http));
  EXPECT_TRUE(is_served("redis://reader:" + reader.token + "@" + redis));
  EXPECT_FALSE(is_served("http://reader:wrong@" + http));
  EXPECT_FALSE(is_served("redis://" + redis));
}

// What a pull request has put is not shown to others until the owner of the store says so, beside the running server.
TEST_F(CachedAccess, AnUntrustedWritersResultIsPromotedByACommand) {
  const NewToken stranger = new_token(dir, "stranger");
  const std::string untrusted = replaced(stranger.lines, "rights = \"read\"", "rights = \"write\"\ntrust = \"untrusted\"");
  CachedProgram cached({"--config", file(rules + untrusted)});
  const auto curl = [&](std::vector<std::string> arguments, const std::string& token) {
    arguments.insert(arguments.end(), {"--oauth2-bearer", token, cached.url(key)});
    return cached.curl(std::move(arguments)).out;
  };
  EXPECT_EQ(curl({"--data-binary", "value", "--request", "PUT"}, stranger.token), "200");
  EXPECT_EQ(curl({"--output", "-"}, stranger.token), "value200");
  EXPECT_EQ(curl({}, reader.token), "404");
  const Ended listed = cached.cachectl({"record", "list", "--filter", "description~=untrusted"});
  EXPECT_NE(listed.out.find("untrusted"), std::string::npos) << listed.out << listed.err;
  const std::string name(32, 'a');
  EXPECT_EQ(cached.cachectl({"entry", "promote", "gradle", "other"}).code, 3);
  const Ended promoted = cached.cachectl({"entry", "promote", "gradle", name, "--reason", "looked at it"});
  EXPECT_EQ(promoted.code, 0) << promoted.err;
  EXPECT_TRUE(promoted.out.starts_with("promoted: sha256:")) << promoted.out;
  EXPECT_EQ(curl({"--output", "-"}, reader.token), "value200");
  const Ended list = cached.cachectl({"entry", "promotions"});
  EXPECT_NE(list.out.find("looked at it"), std::string::npos) << list.out;
  EXPECT_EQ(curl({"--data-binary", "other", "--request", "PUT"}, stranger.token), "200");
  const Ended refused = cached.cachectl({"entry", "promote", "gradle", name});
  EXPECT_EQ(refused.code, 1);
  EXPECT_NE(refused.err.find("--replace"), std::string::npos) << refused.err;
  EXPECT_EQ(cached.stop(SIGTERM).code, 0);
  const Ended again = cached.cachectl({"entry", "promote", "gradle", name, "--replace", "--json"});
  EXPECT_EQ(again.code, 0) << "without a server, too: " << again.err;
  EXPECT_NE(again.out.find("\"changed\":true,\"replaced\":true"), std::string::npos) << again.out;
  EXPECT_EQ(cached.cachectl({"fsck"}).code, 0);
}

TEST_F(CachedAccess, OtherMachinesMayConnectWhereSomebodyHasSaidWhoMay) {
  CachedProgram cached({"--config", file(rules), "--grpc", "0.0.0.0:0"});
  const Ended ended = cached.stop(SIGTERM);
  EXPECT_EQ(ended.code, 0);
  EXPECT_NE(ended.err.find("can be read on the way"), std::string::npos) << ended.err;
  CachedProgram closed({"--config", file("[access]\n")});
  EXPECT_EQ(closed.curl({closed.url(key)}).out, "401") << "an [access] that says nothing lets nobody in";
  EXPECT_EQ(closed.curl({closed.url("/health")}).out, "200");
}

}  // namespace
}  // namespace cairn::test
