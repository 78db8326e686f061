// SPDX-License-Identifier: Apache-2.0
// containerd's cases for a snapshotter that are about names and kinds (spec/storage 2.2, by the names they have there), and
// every failure code of each call, over the socket. Those about trees are in suite_test.cc.
#include <sys/stat.h>
#include <sys/un.h>

#include "tests/libserve_containerd/containerd_client.h"
#include "tests/support/outside_mount.h"
#include "tests/support/random_bytes.h"
#include "tests/support/temp_dir.h"

namespace cairn::serve {
namespace {

using cache::must;
using grpc::StatusCode;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class SnapshotsTest : public testing::Test {
 protected:
  SnapshotsTest() { restart(); }
  void restart(std::int64_t live_bytes_max = 0) {
    served_.reset();
    served_ = std::make_unique<ServedStore>("overlay", dir_.path(), live_bytes_max);
  }
  SnapshotsClient& client() { return *served_->client; }

  static StatusCode code(const grpc::Status& status) { return status.error_code(); }
  void ok(const grpc::Status& status) { ASSERT_TRUE(status.ok()) << status.error_message(); }
  snapshot::MountedTree mounted() { return must(test::mount_as_told(client().spec, dir_.path())); }
  void write(const std::string& file, const std::string& bytes) {
    const auto tree = mounted();
    const auto out = must(base::open_beneath(tree.fd(), must(base::TreePath::parse(file)), O_CREAT | O_WRONLY | O_TRUNC, 0644));
    must(base::write_full(out.get(), std::string_view(bytes)));
  }
  std::string read(const std::string& file) {
    return must(base::read_beneath(mounted().fd(), must(base::TreePath::parse(file)), 1 << 20));
  }
  void layer(const std::string& name, const std::string& parent = "", const SnapshotsClient::Labels& labels = {}) {
    ok(client().prepare(name + " key", parent));
    write("layer", "bytes of " + name);
    ok(client().commit(name, name + " key", labels));
  }
  snapshots::Info stat(const std::string& key) {
    ok(client().stat(key));
    return client().info;
  }
  std::vector<std::string> list(const std::vector<std::string>& filters = {}) {
    ok(client().list(filters));
    std::vector<std::string> names;
    for (const auto& info : client().infos) names.push_back(info.name());
    return names;
  }
  SnapshotsClient::Labels labels() { return {client().info.labels().begin(), client().info.labels().end()}; }

  test::TempDir dir_;
  std::unique_ptr<ServedStore> served_;
};

TEST_F(SnapshotsTest, Basic) {
  ok(client().prepare("one", ""));
  write("foo", "foo\n");
  ok(client().commit("committed one", "one", {{"a", "1"}}));
  EXPECT_EQ(stat("committed one").kind(), snapshots::COMMITTED);
  EXPECT_EQ(stat("committed one").parent(), "");
  EXPECT_EQ(labels(), (SnapshotsClient::Labels{{"a", "1"}}));
  ok(client().prepare("two", "committed one"));
  EXPECT_EQ(stat("two").kind(), snapshots::ACTIVE);
  EXPECT_EQ(stat("two").parent(), "committed one");
  EXPECT_EQ(read("foo"), "foo\n");
  write("foo", "changed\n");
  ok(client().commit("committed two", "two"));
  EXPECT_EQ(stat("committed two").parent(), "committed one");
  ok(client().view("look", "committed two"));
  EXPECT_EQ(read("foo"), "changed\n");
  EXPECT_THAT(list(), ElementsAre("committed one", "committed two", "look"));
  ok(client().remove("look"));
  ok(client().remove("committed two"));
  ok(client().remove("committed one"));
  EXPECT_THAT(list(), IsEmpty());
  ok(client().cleanup());
  EXPECT_THAT(must(base::list_dir(must(base::open_host_dir(dir_ / "trees")).get())), IsEmpty());
  for (const auto& finding : must(served_->store.cache->check())) ADD_FAILURE() << finding.text;
}

TEST_F(SnapshotsTest, StatActive) {
  ok(client().prepare("active", "", {{"containerd.io/gc.root", "2026"}}));
  const auto info = stat("active");
  EXPECT_EQ(info.name(), "active");
  EXPECT_EQ(info.kind(), snapshots::ACTIVE);
  EXPECT_EQ(info.parent(), "");
  EXPECT_EQ(labels(), (SnapshotsClient::Labels{{"containerd.io/gc.root", "2026"}}));
  EXPECT_GT(info.created_at().seconds(), 0);
  EXPECT_EQ(info.updated_at().seconds(), info.created_at().seconds());
}

TEST_F(SnapshotsTest, StatComitted) {
  layer("done", "", {{"a", "1"}});
  EXPECT_EQ(stat("done").kind(), snapshots::COMMITTED);
  EXPECT_EQ(code(client().stat("done key")), StatusCode::NOT_FOUND);
  const auto before = stat("done");
  restart();
  const auto after = stat("done");
  EXPECT_EQ(after.SerializeAsString(), before.SerializeAsString());
}

TEST_F(SnapshotsTest, TransitivityTest) {
  layer("a");
  layer("b", "a");
  ok(client().view("look", "b"));
  EXPECT_EQ(stat("b").parent(), "a");
  EXPECT_EQ(stat("look").parent(), "b");
  EXPECT_EQ(stat("look").kind(), snapshots::VIEW);
}

TEST_F(SnapshotsTest, PreareViewFailingtest) {
  layer("base");
  ok(client().prepare("active", "base"));
  EXPECT_EQ(code(client().view("v", "active")), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(code(client().view("v", "missing")), StatusCode::NOT_FOUND);
  EXPECT_EQ(code(client().prepare("p", "active")), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(code(client().prepare("p", "missing")), StatusCode::NOT_FOUND);
  ok(client().view("v", "base"));
  EXPECT_EQ(code(client().view("v", "base")), StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(code(client().prepare("v", "base")), StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(code(client().prepare("active", "")), StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(code(client().prepare("base", "")), StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(code(client().view("w", "v")), StatusCode::INVALID_ARGUMENT);
}

TEST_F(SnapshotsTest, Update) {
  layer("done", "", {{"keep", "1"}, {"drop", "1"}});
  ok(client().prepare("active", "done", {{"keep", "1"}, {"drop", "1"}}));
  ok(client().view("look", "done", {{"keep", "1"}, {"drop", "1"}}));
  for (const std::string name : {"done", "active", "look"}) {
    const auto before = stat(name);
    ok(client().update(name, {{"new", "n"}, {"drop", ""}, {"not named", "x"}}, {"labels.new", "labels.drop"}));
    EXPECT_EQ(labels(), (SnapshotsClient::Labels{{"keep", "1"}, {"new", "n"}})) << name;
    EXPECT_EQ(client().info.created_at().SerializeAsString(), before.created_at().SerializeAsString());
    EXPECT_NE(client().info.updated_at().SerializeAsString(), before.updated_at().SerializeAsString());
    EXPECT_EQ(client().info.kind(), before.kind());
    ok(client().update(name, {{"a", "1"}}, {"labels"}));
    EXPECT_EQ(labels(), (SnapshotsClient::Labels{{"a", "1"}})) << name;
    ok(client().update(name, {{"b", "2"}}, {}));
    EXPECT_EQ(labels(), (SnapshotsClient::Labels{{"b", "2"}})) << name;
    EXPECT_EQ(code(client().update(name, {}, {"parent"})), StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(code(client().update(name, {{"long", std::string(4093, 'x')}}, {})), StatusCode::INVALID_ARGUMENT);
    stat(name);
    EXPECT_EQ(labels(), (SnapshotsClient::Labels{{"b", "2"}})) << name;
  }
  restart();
  for (const std::string name : {"done", "active", "look"}) {
    stat(name);
    EXPECT_EQ(labels(), (SnapshotsClient::Labels{{"b", "2"}})) << name;
  }
  EXPECT_EQ(code(client().update("missing", {}, {})), StatusCode::NOT_FOUND);
}

TEST_F(SnapshotsTest, Remove) {
  layer("base");
  layer("child", "base");
  ok(client().prepare("active", "child"));
  EXPECT_EQ(code(client().remove("base")), StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(code(client().remove("child")), StatusCode::FAILED_PRECONDITION);
  ok(client().remove("active"));
  EXPECT_EQ(code(client().remove("active")), StatusCode::NOT_FOUND);
  ok(client().view("look", "child"));
  EXPECT_EQ(code(client().remove("child")), StatusCode::FAILED_PRECONDITION);
  restart();
  EXPECT_EQ(code(client().remove("child")), StatusCode::FAILED_PRECONDITION);
  ok(client().remove("look"));
  ok(client().remove("child"));
  EXPECT_EQ(code(client().stat("child")), StatusCode::NOT_FOUND);
  EXPECT_EQ(code(client().mounts("active")), StatusCode::NOT_FOUND);
  layer("child", "base");  // keys and names are free again
  ok(client().prepare("active", "child"));
}

TEST_F(SnapshotsTest, Walk) {
  layer("a", "", {{"l", "1"}});
  layer("b", "a", {{"l", "2"}});
  ok(client().prepare("pa", "a", {{"l", "1"}}));
  ok(client().prepare("pb", "b"));
  ok(client().view("va", "a"));
  ok(client().view("vb", "b", {{"containerd.io/x", "y"}}));
  ok(client().prepare("p", ""));
  EXPECT_THAT(list(), UnorderedElementsAre("a", "b", "pa", "pb", "va", "vb", "p"));
  EXPECT_THAT(list({"kind==active"}), UnorderedElementsAre("pa", "pb", "p"));
  EXPECT_THAT(list({"kind==view"}), UnorderedElementsAre("va", "vb"));
  EXPECT_THAT(list({"kind==committed"}), UnorderedElementsAre("a", "b"));
  EXPECT_THAT(list({"name==a", "name==b"}), UnorderedElementsAre("a", "b"));
  EXPECT_THAT(list({"parent==a"}), UnorderedElementsAre("b", "pa", "va"));
  EXPECT_THAT(list({"parent!=\"\""}), UnorderedElementsAre("b", "pa", "pb", "va", "vb"));
  EXPECT_THAT(list({"labels.l"}), UnorderedElementsAre("a", "b", "pa"));
  EXPECT_THAT(list({"labels.l==1"}), UnorderedElementsAre("a", "pa"));
  EXPECT_THAT(list({"labels.\"containerd.io/x\"==y"}), UnorderedElementsAre("vb"));
  EXPECT_THAT(list({"kind==active,labels.l==1"}), UnorderedElementsAre("pa"));
  EXPECT_THAT(list({"name~=^v"}), UnorderedElementsAre("va", "vb"));
  EXPECT_EQ(code(client().list({"kind=!view"})), StatusCode::INVALID_ARGUMENT);
}

TEST_F(SnapshotsTest, AListOfManyComesInSeveralMessages) {
  layer("base");
  for (int i = 0; i < 250; ++i) ok(client().view("look " + std::to_string(i), "base"));
  EXPECT_EQ(list().size(), 251u);
}

TEST_F(SnapshotsTest, ViewReadonly) {
  layer("base");
  for (const std::string parent : {"base", ""}) {
    ok(client().view("look at " + parent, parent));
    const auto tree = mounted();
    EXPECT_EQ(::mkdirat(tree.fd(), "d", 0755), -1);
    EXPECT_EQ(errno, EROFS);
    EXPECT_EQ(code(client().commit("c", "look at " + parent)), StatusCode::FAILED_PRECONDITION);
  }
}

TEST_F(SnapshotsTest, CommitFails) {
  layer("base");
  ok(client().prepare("active", "base"));
  EXPECT_EQ(code(client().commit("x", "missing")), StatusCode::NOT_FOUND);
  EXPECT_EQ(code(client().commit("base", "active")), StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(code(client().commit("active", "active")), StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(code(client().commit("x", "base")), StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(code(client().commit("", "active")), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(code(client().commit(std::string(1025, 'x'), "active")), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(code(client().commit("x", "active", {}, "another")), StatusCode::INVALID_ARGUMENT);
  ok(client().commit("x", "active", {}, "base"));
  EXPECT_EQ(code(client().mounts("x")), StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(code(client().mounts("active")), StatusCode::NOT_FOUND);
}

TEST_F(SnapshotsTest, RefusesNamesAndLabelsThatCannotBe) {
  EXPECT_EQ(code(client().prepare("", "")), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(code(client().view(std::string(1025, 'x'), "")), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(code(client().prepare("a", "", {{"", "x"}})), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(code(client().prepare("a", "", {{"long", std::string(4093, 'x')}})), StatusCode::INVALID_ARGUMENT);
  client().in = std::string(300, 'n');
  EXPECT_EQ(code(client().prepare("a", "")), StatusCode::INVALID_ARGUMENT);
  client().in = "default";
  EXPECT_THAT(list(), IsEmpty());
}

TEST_F(SnapshotsTest, MountsAreTheSameWheneverTheyAreAskedFor) {
  layer("a");
  layer("b", "a");
  ok(client().prepare("active", "b"));
  const auto spec = client().spec;
  EXPECT_EQ(spec.type, "overlay");
  ok(client().mounts("active"));
  EXPECT_EQ(client().spec, spec);
  restart();
  ok(client().mounts("active"));
  EXPECT_EQ(client().spec, spec);
  ok(client().view("look", "a"));
  EXPECT_EQ(client().spec.type, "bind");
  EXPECT_THAT(client().spec.options, ElementsAre("ro", "rbind"));
}

TEST_F(SnapshotsTest, UsageIsOfOwnChangesOnly) {
  ok(client().prepare("key", ""));
  write("big", std::string(1 << 20, 'x'));
  ok(client().usage("key"));
  EXPECT_GE(client().used.size(), 1 << 20);
  ok(client().commit("base", "key"));
  ok(client().usage("base"));
  EXPECT_GE(client().used.size(), 1 << 20);
  EXPECT_LT(client().used.size(), 2 << 20);
  EXPECT_GE(client().used.inodes(), 2);
  layer("small", "base");
  ok(client().usage("small"));
  EXPECT_LT(client().used.size(), 1 << 20);
  ok(client().view("look", "base"));
  ok(client().usage("look"));
  EXPECT_EQ(client().used.size(), 0);
  EXPECT_EQ(code(client().usage("missing")), StatusCode::NOT_FOUND);
}

TEST_F(SnapshotsTest, NamespacesAreApart) {
  layer("base");
  client().in = "other";
  EXPECT_EQ(code(client().stat("base")), StatusCode::NOT_FOUND);
  EXPECT_EQ(code(client().prepare("active", "base")), StatusCode::NOT_FOUND);
  EXPECT_THAT(list(), IsEmpty());
  layer("base");
  EXPECT_THAT(list(), ElementsAre("base"));
  ok(client().remove("base"));
  client().in = "default";
  EXPECT_THAT(list(), ElementsAre("base"));
}

// containerd itself says none. Its names begin with it.
TEST_F(SnapshotsTest, WithoutANamespaceTheOneThatTheNameBeginsWithIsMeant) {
  client().in = "";
  layer("default/1/sha256:a");
  layer("default/2/sha256:b", "default/1/sha256:a");
  layer("other/3/sha256:a");
  EXPECT_THAT(list(), ElementsAre("default/1/sha256:a", "default/2/sha256:b", "other/3/sha256:a"));
  EXPECT_EQ(code(client().prepare("other/4/key", "default/1/sha256:a")), StatusCode::NOT_FOUND);
  for (const char* wrong : {"key", "default/key", "default/x1/key", "default//key", "/1/key"}) {
    EXPECT_EQ(code(client().prepare(wrong, "")), StatusCode::INVALID_ARGUMENT) << wrong;
    EXPECT_EQ(code(client().remove(wrong)), StatusCode::INVALID_ARGUMENT) << wrong;
  }
  client().in = "default";
  EXPECT_THAT(list(), ElementsAre("default/1/sha256:a", "default/2/sha256:b"));
  client().in = "";
  ok(client().remove("other/3/sha256:a"));
  ok(client().remove("default/2/sha256:b"));
  ok(client().cleanup());
  EXPECT_THAT(list(), ElementsAre("default/1/sha256:a"));
}

TEST_F(SnapshotsTest, AStoreThatIsFullPreparesNothing) {
  restart(4 << 20);
  ok(client().prepare("base key"));
  write("large", test::random_bytes(1, 5u << 20));
  ok(client().commit("base", "base key"));
  const grpc::Status refused = client().prepare("next key", "base");
  EXPECT_EQ(code(refused), StatusCode::RESOURCE_EXHAUSTED) << refused.error_message();
  ok(client().stat("base"));
  EXPECT_EQ(code(client().stat("next key")), StatusCode::NOT_FOUND) << "nothing is left of it";
  ok(client().remove("base"));
  must(served_->store.cache->prune({.all = true}));
  ok(client().prepare("next key"));
}

TEST_F(SnapshotsTest, TheSocketIsItsOwnersAndIsNotTakenFromWhoListens) {
  struct ::stat about {};
  ASSERT_EQ(::stat((dir_ / "containerd.sock").c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0077, 0u);
  const auto second = ContainerdServer::start(*served_->store.cache, {.socket = dir_ / "containerd.sock"});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, base::ErrorCode::busy);
  layer("base");  // the first still answers
  const auto nowhere = ContainerdServer::start(*served_->store.cache, {.socket = dir_ / "missing/sock"});
  ASSERT_FALSE(nowhere);
}

}  // namespace
}  // namespace cairn::serve
