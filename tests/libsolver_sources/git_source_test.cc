// SPDX-License-Identifier: Apache-2.0
// git:// sources against git's own servers on the loopback: what is fetched and made, how often, and what becomes of it when
// refs move.
#include <sys/stat.h>

#include <filesystem>

#include "libsolver/sources/git_repository.h"
#include "tests/libsolver_sources/git_server.h"
#include "tests/libsolver_sources/remote_fixture.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

using Attrs = std::map<std::string, std::string>;

class GitSourceTest : public RemoteSourceTest {
 protected:
  // Of the repository NAME, as clients name it: the fragment in the identifier, the URL in an attribute.
  SolveRequest git(const std::string& url, const std::string& fragment, Attrs attrs = {}) {
    attrs["git.fullurl"] = url;
    return request("git://" + url.substr(url.find("://") + 3) + (fragment.empty() ? "" : "#" + fragment), attrs);
  }
  SolveRequest git(const std::string& fragment, Attrs attrs = {}) { return git(daemon.url("repo"), fragment, std::move(attrs)); }
  std::vector<std::string> names(const std::string& folder = "") {
    const snapshot::MountedTree tree = must(result->mount());
    const base::Fd dir = must(base::open_beneath(tree.fd(), must(base::TreePath::parse(folder)), O_RDONLY | O_DIRECTORY));
    std::vector<std::string> found;
    for (const base::DirEntry& entry : must(base::list_dir(dir.get()))) found.push_back(entry.name);
    return found;
  }
  // What git says of the last result, which keeps its .git.
  std::string git_says(std::vector<std::string> arguments) {
    const test::TempDir copy;
    copy_tree(copy.path());
    return test::GitRepo::at(copy.path()).git(std::move(arguments));
  }
  void copy_tree(const base::HostPath& to) {
    const snapshot::MountedTree tree = must(result->mount());
    std::filesystem::copy("/proc/self/fd/" + std::to_string(tree.fd()) + "/.", to.str(),
                          std::filesystem::copy_options::recursive | std::filesystem::copy_options::copy_symlinks);
  }
  std::vector<std::string> descriptions() {
    std::vector<std::string> found;
    must(store.cache->each_record([&](const cache::RecordInfo& info) -> base::Status {
      found.push_back(info.facts.description);
      return {};
    }));
    return found;
  }

  test::TempDir served;
  test::GitRepo repo{served / "repo"};
  std::string first = repo.commit_file("file", "first");
  test::GitDaemon daemon{served.path()};
};

TEST_F(GitSourceTest, ABranchIsItsTreeWithoutGitDir) {
  repo.write("dir/program", "#!/bin/sh");
  std::filesystem::permissions((repo.dir() / "dir/program").str(), std::filesystem::perms(0700));
  std::filesystem::create_symlink("../file", (repo.dir() / "dir/link").str());
  repo.commit("more");
  EXPECT_TRUE(executes(git("main")));
  EXPECT_THAT(names(), UnorderedElementsAre("file", "dir"));
  EXPECT_EQ(content("file"), "first");
  EXPECT_EQ(stat("file")->st_mode, S_IFREG | 0644u);
  EXPECT_EQ(stat("dir/program")->st_mode, S_IFREG | 0755u);
  EXPECT_EQ(stat("dir/link")->st_mode, S_IFLNK | 0777u);
  EXPECT_EQ(stat("file")->st_uid, 0u);
}

TEST_F(GitSourceTest, ARefIsAskedAgainAndACommitIsNot) {
  EXPECT_TRUE(executes(git("main")));
  EXPECT_EQ(daemon.connections(), 2);  // what it is, and its objects
  EXPECT_FALSE(executes(git("main")));
  EXPECT_EQ(daemon.connections(), 3);
  EXPECT_FALSE(executes(git(first)));  // the same commit, by its name
  EXPECT_EQ(daemon.connections(), 3);
  result.reset();
  reopen();
  EXPECT_FALSE(executes(git(first)));
  EXPECT_EQ(daemon.connections(), 3);
}

TEST_F(GitSourceTest, AMovedBranchIsAnotherTree) {
  EXPECT_TRUE(executes(git("main")));
  repo.commit_file("file", "second");
  EXPECT_TRUE(executes(git("main")));
  EXPECT_EQ(content("file"), "second");
  EXPECT_TRUE(executes(git("", {{"git.mtime", "commit"}})));  // another tree of a commit that is here
  EXPECT_EQ(stat("file")->st_mtime, 1700000000);
  EXPECT_EQ(daemon.connections(), 5);
}

TEST_F(GitSourceTest, TheDefaultBranchIsWhatHeadNames) {
  repo.git({"checkout", "--quiet", "-b", "other"});
  repo.commit_file("file", "of other");
  EXPECT_TRUE(executes(git("")));
  EXPECT_EQ(content("file"), "of other");
}

TEST_F(GitSourceTest, TagsOfBothKindsNameTheirCommit) {
  repo.git({"tag", "light"});
  repo.git({"tag", "-a", "-m", "annotated", "heavy"});
  repo.commit_file("file", "second");
  EXPECT_TRUE(executes(git("heavy")));
  EXPECT_EQ(content("file"), "first");
  EXPECT_FALSE(executes(git("light")));
  EXPECT_FALSE(executes(git("refs/tags/light")));
  EXPECT_FALSE(executes(git(first)));
}

TEST_F(GitSourceTest, ABranchComesBeforeATagOfItsName) {
  repo.git({"tag", "same"});
  repo.git({"branch", "same"});
  repo.git({"checkout", "--quiet", "same"});
  repo.commit_file("file", "of the branch");
  EXPECT_TRUE(executes(git("same")));
  EXPECT_EQ(content("file"), "of the branch");
  EXPECT_TRUE(executes(git("refs/tags/same")));
  EXPECT_EQ(content("file"), "first");
}

TEST_F(GitSourceTest, AnOldCommitIsFetchedByItsHashAlone) {
  repo.commit_file("big", std::string(300'000, 'x'));
  repo.git({"rm", "--quiet", "big"});
  repo.commit("without");
  EXPECT_TRUE(executes(git(first)));
  EXPECT_EQ(daemon.connections(), 1);
}

TEST_F(GitSourceTest, SubdirectoriesAreMovedToTheRoot) {
  repo.write("a/b/inner", "inner");
  repo.write("a/b/c/deep", "deep");
  std::filesystem::create_symlink("a/b", (repo.dir() / "link").str());
  std::filesystem::create_symlink("/etc", (repo.dir() / "out").str());
  repo.commit("more");
  EXPECT_TRUE(executes(git("main:a/b")));
  EXPECT_THAT(names(), UnorderedElementsAre("inner", "c"));
  EXPECT_EQ(content("c/deep"), "deep");
  EXPECT_TRUE(executes(git("main:link")));
  EXPECT_THAT(names(), UnorderedElementsAre("inner", "c"));
  expect_error(git("main:a/none"), ErrorCode::not_found, "has no directory \"a/none\"");
  expect_error(git("main:out"), ErrorCode::not_found, "has no directory \"out\"");
  expect_error(git("main:file"), ErrorCode::invalid_argument, "\"file\" is not a directory");
  EXPECT_EQ(daemon.connections(), 6);  // one fetch: what a failed source has fetched is not kept
}

TEST_F(GitSourceTest, AKeptGitDirKnowsItsCommitAndWhereItCameFrom) {
  repo.git({"tag", "-a", "-m", "annotated", "heavy"});
  EXPECT_TRUE(executes(git("main", {{"git.keepgitdir", "true"}})));
  EXPECT_THAT(names(), UnorderedElementsAre("file", ".git"));
  EXPECT_EQ(git_says({"rev-parse", "HEAD"}), first);
  EXPECT_EQ(git_says({"status", "--porcelain"}), "");
  EXPECT_EQ(git_says({"rev-parse", "refs/heads/main"}), first);
  EXPECT_EQ(git_says({"config", "remote.origin.url"}), daemon.url("repo"));
  EXPECT_EQ(git_says({"fsck", "--no-dangling"}), "");

  EXPECT_TRUE(executes(git("heavy", {{"git.keepgitdir", "true"}})));
  EXPECT_EQ(git_says({"cat-file", "-t", "refs/tags/heavy"}), "tag");
  EXPECT_EQ(git_says({"describe"}), "heavy");
  EXPECT_TRUE(executes(git(first, {{"git.keepgitdir", "true"}})));
  EXPECT_EQ(git_says({"rev-parse", "HEAD"}), first);
}

TEST_F(GitSourceTest, ACheckoutWithGitDirIsTheSameTwice) {
  const SolveRequest kept = git("main", {{"git.keepgitdir", "true"}});
  EXPECT_TRUE(executes(kept));
  const auto digest = must(result->content_digest({{}}));
  SolveRequest again = kept;
  again.use_cache = UseCache::no;
  EXPECT_TRUE(executes(again));
  EXPECT_EQ(must(result->content_digest({{}})), digest);
}

TEST_F(GitSourceTest, SubmodulesAreFetchedUnlessTheyAreSkipped) {
  const test::GitRepo inner(served / "inner");
  const std::string before = inner.commit_file("inside", "inner bytes");
  repo.git({"submodule", "--quiet", "add", inner.dir().str(), "sub"});
  repo.git({"config", "-f", ".gitmodules", "submodule.sub.url", "../inner"});
  repo.commit("with a submodule");
  inner.commit_file("inside", "later");  // what is pinned is no tip any more
  EXPECT_TRUE(executes(git("main")));
  EXPECT_EQ(content("sub/inside"), "inner bytes");
  EXPECT_THAT(names("sub"), UnorderedElementsAre("inside"));
  EXPECT_TRUE(executes(git("main", {{"git.skipsubmodules", "true"}})));
  EXPECT_THAT(names("sub"), UnorderedElementsAre());
  EXPECT_TRUE(executes(git("main", {{"git.keepgitdir", "true"}})));
  EXPECT_EQ(content("sub/inside"), "inner bytes");
  EXPECT_EQ(git_says({"-C", "sub", "rev-parse", "HEAD"}), before);
  EXPECT_EQ(git_says({"status", "--porcelain"}), "");
}

TEST_F(GitSourceTest, ASubmoduleByAnotherTransportIsRefused) {
  const test::GitRepo secret(served / "secret");
  secret.commit_file("inside", "secret");
  repo.git({"submodule", "--quiet", "add", secret.dir().str(), "sub"});
  for (const char* scheme : {"file", "ext", "ssh"}) {
    repo.git({"config", "-f", ".gitmodules", "submodule.sub.url", std::string(scheme) + "://127.0.0.1" + secret.dir().str()});
    repo.commit("with a submodule");
    expect_error(git("main"), ErrorCode::io, fmt::format("transport '{}' not allowed", scheme));
  }
}

TEST_F(GitSourceTest, AChecksumIsTheBeginningOfTheCommit) {
  EXPECT_TRUE(executes(git("main", {{"git.checksum", first.substr(0, 8)}})));
  const std::string second = repo.commit_file("file", "second");
  expect_error(git("main", {{"git.checksum", first.substr(0, 8)}}), ErrorCode::corrupt,
               "refs/heads/main is " + second + ", but the source is pinned to " + first.substr(0, 8));
  EXPECT_TRUE(executes(git("main", {{"git.checksum", first}, {"git.fetchbycommit", "true"}, {"git.keepgitdir", "true"}})));
  EXPECT_EQ(content("file"), "first");
  EXPECT_EQ(git_says({"rev-parse", "HEAD"}), first);
}

TEST_F(GitSourceTest, TheHashOfATagObjectIsAPinToo) {
  repo.git({"tag", "-a", "-m", "annotated", "heavy"});
  const std::string tag = repo.git({"rev-parse", "heavy"});
  EXPECT_TRUE(executes(git("heavy", {{"git.checksum", tag}})));
  EXPECT_EQ(content("file"), "first");
}

TEST_F(GitSourceTest, FetchesShareOneRepositoryThatGrows) {
  repo.commit_file("big", std::string(300'000, 'x'));
  EXPECT_TRUE(executes(git("main")));
  repo.commit_file("file", "second");
  EXPECT_TRUE(executes(git("main")));
  std::vector<cache::RecordInfo> repositories;
  must(store.cache->each_record([&](const cache::RecordInfo& info) -> base::Status {
    if (info.facts.description == "shared git repo for " + daemon.url("repo")) repositories.push_back(info);
    return {};
  }));
  ASSERT_EQ(repositories.size(), 2u);
  EXPECT_EQ(repositories[1].parents, std::vector{repositories[0].id});
  EXPECT_LT(repositories[1].usage.logical_bytes, 100'000);  // without what was there
  EXPECT_EQ(repositories[0].facts.type, cache::RecordType::source_git_checkout);
}

TEST_F(GitSourceTest, ARepositoryOfManyCommitsIsBegunAnew) {
  EXPECT_TRUE(executes(git("main")));
  const KeyDigest shared = git_repository_key(daemon.url("repo"), first);
  {
    const auto head = must(store.cache->find(store.results(shared).front()));
    cache::Publication publication;
    cache::MutableRef full = must(store.cache->create(*head));
    {
      const snapshot::MountedTree tree = must(full.mount(snapshot::Access::read_write));
      const base::Fd refs = must(base::open_beneath(tree.fd(), must(base::TreePath::parse("refs/cairn")), O_RDONLY | O_DIRECTORY));
      for (std::size_t i = 1; i < git_commits_max; ++i) {
        ASSERT_EQ(::linkat(refs.get(), first.c_str(), refs.get(), fmt::format("{:040}", i).c_str(), 0), 0);
      }
    }
    publication.add_result(shared, must(std::move(full).commit(publication, {.description = "full"})));
    must(store.writer->wait_durable(must(store.cache->publish(std::move(publication)))));
  }
  repo.commit_file("file", "last");
  EXPECT_TRUE(executes(git("main")));
  EXPECT_EQ(content("file"), "last");
  const auto anew = must(store.cache->find(store.results(shared).front()));
  EXPECT_TRUE(anew->info().parents.empty());
  EXPECT_EQ(anew->info().facts.description, "shared git repo for " + daemon.url("repo"));
}

TEST_F(GitSourceTest, RepositoriesOfSha256AreKnownByTheirHashes) {
  const test::GitRepo modern(served / "modern", "sha256");
  const std::string commit = modern.commit_file("file", "by sha256");
  ASSERT_EQ(commit.size(), 64u);
  EXPECT_TRUE(executes(git(daemon.url("modern"), "main")));
  EXPECT_EQ(content("file"), "by sha256");
  EXPECT_FALSE(executes(git(daemon.url("modern"), commit)));
}

TEST_F(GitSourceTest, AnEmptyCommitIsAnEmptyTree) {
  repo.git({"rm", "--quiet", "file"});
  repo.commit("nothing left");
  EXPECT_TRUE(executes(git("main")));
  EXPECT_THAT(names(), UnorderedElementsAre());
}

TEST_F(GitSourceTest, NeitherHooksNorFiltersOfARepositoryRun) {
  repo.write(".gitattributes", "* filter=lfs\n");
  repo.write("pointer", "version https://git-lfs.github.com/spec/v1\n");
  repo.commit("filtered");
  EXPECT_TRUE(executes(git("main")));
  EXPECT_EQ(content("pointer"), "version https://git-lfs.github.com/spec/v1\n");
}

TEST_F(GitSourceTest, OfflineTakesWhatIsKnownAndAsksNobody) {
  SolveRequest offline = git("main");
  offline.remote.ask = RemoteUse::Ask::never;
  expect_error(offline, ErrorCode::unavailable, "no remote side may be asked");
  EXPECT_EQ(daemon.connections(), 0);
  EXPECT_TRUE(executes(git("main")));
  EXPECT_FALSE(executes(offline));
  SolveRequest other = git("main", {{"git.keepgitdir", "true"}});  // another tree, of what was fetched
  other.remote.ask = RemoteUse::Ask::never;
  EXPECT_TRUE(executes(other));
  EXPECT_EQ(daemon.connections(), 2);
}

TEST_F(GitSourceTest, WhatIsYoungEnoughIsBelieved) {
  SolveRequest lazy = git("main");
  lazy.remote.believed_for = std::chrono::hours(1);
  EXPECT_TRUE(executes(lazy));
  repo.commit_file("file", "second");
  EXPECT_FALSE(executes(lazy));
  EXPECT_EQ(daemon.connections(), 2);
  store.clock.advance(std::chrono::hours(2));
  EXPECT_TRUE(executes(lazy));
  EXPECT_EQ(content("file"), "second");
}

TEST_F(GitSourceTest, WhatIsNotThereIsSaidSo) {
  expect_error(git("none"), ErrorCode::not_found, "no branch, tag or ref \"none\"");
  expect_error(git(std::string(40, '1')), ErrorCode::not_found, "has no commit " + std::string(40, '1'));
  expect_error(git(daemon.url("nowhere"), "main"), ErrorCode::io, "git source " + daemon.url("nowhere"));
  expect_error(git("main*"), ErrorCode::invalid_argument, "cannot be the name of a ref");
  expect_error(git("-x"), ErrorCode::invalid_argument, "cannot be the name of a ref");
  EXPECT_THAT(descriptions(), UnorderedElementsAre());
}

TEST_F(GitSourceTest, WhatIsNotSupportedIsSaidSo) {
  // Everything that a source can ask for (spec/solver 1.2) and that is not done here.
  for (const auto& [name, value] : Attrs{{"git.bundle", "oci-layout://x@" + digest_text("")}, {"git.checkoutbundle", "true"},
                                         {"git.sig.pubkey", "x"}, {"git.sig.rejectexpired", "true"},
                                         {"git.sig.requiresignedtag", "true"}, {"git.sig.ignoresignedtag", "true"}}) {
    expect_error(git("main", {{name, value}}), ErrorCode::unavailable, "not supported: " + name + " of a git source");
  }
  expect_error(git("main", {{"git.mtime", "now"}}), ErrorCode::unavailable, "not supported: git.mtime \"now\" of a git source");
  EXPECT_TRUE(executes(git("main", {{"git.checkoutbundle", "false"}})));
}

}  // namespace
}  // namespace cairn::solver
