// SPDX-License-Identifier: Apache-2.0
// cachectl mount-cache: which cache mounts there are, what one holds, a limit for it, and its end.
#include <nlohmann/json.hpp>

#include "tests/e2e/world.h"

namespace cairn::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class MountCache : public World {
 protected:
  llb::State step(const std::string& name, const std::string& id, const std::string& script) const {
    llb::RunOptions options{.mounts = {{.dest = "/out"}, {.dest = "/cache", .cache_id = id}}};
    options.name = name;
    return image().run({"sh", "-c", script + "; ls /cache > /out/now"}, options).mount_output("/out");
  }
  Solved use(const std::string& name, const std::string& id, const std::string& script) {
    return solve(step(name, id, script), {"--output", export_to(name)});
  }
  Ended verb(Words words) {
    Words all = {"--root", root_.str(), "mount-cache"};
    all.insert(all.end(), words.begin(), words.end());
    return cachectl(all);
  }
  json list() {
    const Ended ended = verb({"list", "--json"});
    EXPECT_EQ(ended.code, 0) << ended.err;
    return json::parse(ended.out).at("mounts");
  }
};

TEST_F(MountCache, AreListedWithTheirVersions) {
  ASSERT_EQ(use("a", "/root/.cache", "head -c 300000 /dev/zero > /cache/a").code, 0);
  ASSERT_EQ(use("b", "/root/.cache", "echo b > /cache/b").code, 0);
  ASSERT_EQ(use("c", "go", "echo c > /cache/c").code, 0);
  const json mounts = list();
  ASSERT_EQ(mounts.size(), 2u);
  EXPECT_EQ(mounts[0].at("id"), "/root/.cache");
  EXPECT_EQ(mounts[0].at("versions"), 2);
  EXPECT_GE(mounts[0].at("bytes"), 300'000);
  EXPECT_EQ(mounts[0].at("by"), "cache mount /cache of b");
  EXPECT_FALSE(mounts[0].contains("limit"));
  EXPECT_EQ(mounts[1].at("id"), "go");
  const Ended text = verb({"list"});
  EXPECT_THAT(text.out, HasSubstr("/root/.cache"));
}

TEST_F(MountCache, OneIsLookedInto) {
  ASSERT_EQ(use("a", "id", "mkdir -p /cache/deep/er; head -c 200000 /dev/zero > /cache/deep/er/big; echo x > /cache/small").code, 0);
  const Ended ended = verb({"du", "id", "--json"});
  ASSERT_EQ(ended.code, 0) << ended.err;
  const json answer = json::parse(ended.out);
  ASSERT_EQ(answer.at("entries").size(), 2u);
  EXPECT_EQ(answer["entries"][0].at("name"), "deep/");
  EXPECT_GE(answer["entries"][0].at("bytes"), 200'000);
  EXPECT_EQ(answer["entries"][0].at("inodes"), 3);
  EXPECT_EQ(answer["entries"][1].at("name"), "small");
  EXPECT_EQ(answer.at("bytes"), answer["entries"][0]["bytes"].get<std::int64_t>() + answer["entries"][1]["bytes"].get<std::int64_t>());
  const json inside = json::parse(verb({"du", "id", "deep/er", "--json"}).out);
  EXPECT_EQ(inside.at("entries")[0].at("name"), "big");
  EXPECT_EQ(verb({"du", "id", "nowhere"}).code, 3);
  EXPECT_NE(verb({"du", "id", "../../../etc"}).code, 0);
}

TEST_F(MountCache, RemovingFreesWhatItSaidAndTheNextUseBeginsAnew) {
  ASSERT_EQ(use("a", "id", "head -c 300000 /dev/zero > /cache/a").code, 0);
  ASSERT_EQ(use("b", "id", "echo b > /cache/b").code, 0);
  const Ended would = verb({"rm", "id", "--dry-run", "--json"});
  ASSERT_EQ(would.code, 0) << would.err;
  EXPECT_EQ(list().size(), 1u) << "a dry run changes nothing";
  const Ended done = verb({"rm", "id", "--json"});
  ASSERT_EQ(done.code, 0) << done.err;
  EXPECT_EQ(json::parse(done.out).at("freed_bytes"), json::parse(would.out).at("freed_bytes"));
  EXPECT_EQ(json::parse(done.out).at("versions"), 2);
  EXPECT_GE(json::parse(done.out).at("freed_bytes"), 300'000);
  EXPECT_TRUE(list().empty());
  ASSERT_EQ(use("c", "id", "echo c > /cache/c").code, 0);
  EXPECT_EQ(exported("c", "now"), "c\n");
}

TEST_F(MountCache, BeyondItsLimitItBeginsAnewAndTheStepIsTold) {
  ASSERT_EQ(use("a", "id", "head -c 100000 /dev/zero > /cache/a").code, 0);
  ASSERT_EQ(verb({"limit", "id", "300KB"}).code, 0);
  EXPECT_EQ(list()[0].at("limit"), 300'000);
  const Ended more = start_solve(step("b", "id", "head -c 400000 /dev/zero > /cache/b"), {"--output", export_to("b")})->wait();
  ASSERT_EQ(more.code, 0) << more.err;
  EXPECT_EQ(exported("b", "now"), "a\nb\n") << "the step itself has all it wrote";
  EXPECT_THAT(more.err, HasSubstr("cache mount /cache is not kept"));
  EXPECT_THAT(more.err, HasSubstr("more than its limit of 300000"));
  ASSERT_EQ(use("c", "id", "echo c > /cache/c").code, 0);
  EXPECT_EQ(exported("c", "now"), "c\n");
}

TEST_F(MountCache, ALimitIsTakenBackAndIsASize) {
  ASSERT_EQ(use("a", "id", "echo a > /cache/a").code, 0);
  ASSERT_EQ(verb({"limit", "id", "1GiB"}).code, 0);
  ASSERT_EQ(verb({"limit", "id", "none"}).code, 0);
  EXPECT_FALSE(list()[0].contains("limit"));
  for (const char* wrong : {"20%", "many", "-1"}) EXPECT_EQ(verb({"limit", "--", "id", wrong}).code, 2) << wrong;
}

TEST_F(MountCache, WhichOneIsMeantIsSaidByItsKeyWhereTheIdIsNotEnough) {
  ASSERT_EQ(use("a", "id", "echo a > /cache/a").code, 0);
  llb::RunOptions options{.mounts = {{.dest = "/out"}, {.dest = "/cache", .source = image().run({"sh", "-c", "echo x > /x"}).root(), .cache_id = "id"}}};
  ASSERT_EQ(solve(image().run({"sh", "-c", "echo b > /cache/b"}, options).mount_output("/out")).code, 0);
  const json mounts = list();
  ASSERT_EQ(mounts.size(), 2u);
  const Ended ambiguous = verb({"rm", "id"});
  EXPECT_EQ(ambiguous.code, 2);
  EXPECT_THAT(ambiguous.err, HasSubstr("ambiguous"));
  const std::string key = mounts[0].at("key").get<std::string>().substr(std::string("sha256:").size(), 12);
  EXPECT_THAT(ambiguous.err, HasSubstr(key));
  EXPECT_EQ(verb({"rm", key}).code, 0);
  EXPECT_EQ(list().size(), 1u);
  const Ended missing = verb({"rm", "nothing"});
  EXPECT_EQ(missing.code, 3);
  EXPECT_THAT(missing.err, HasSubstr("hint: there are: id"));
}

}  // namespace
}  // namespace cairn::test
