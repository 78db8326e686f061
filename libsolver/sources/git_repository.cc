// SPDX-License-Identifier: Apache-2.0
#include "libsolver/sources/git_repository.h"

#include <fcntl.h>

#include "libbase/codec.h"
#include "libbase/fs/beneath.h"
#include "libsolver/cache_key.h"

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;
using snapshot::Access;

namespace {

base::TreePath ref_folder() {
  static const base::TreePath folder = base::TreePath().child("refs").child("cairn");
  return folder;
}

std::string ref_of(const GitResolved& resolved) { return "refs/cairn/" + resolved.sha; }

// Whether this failed because of how it was asked for, so that asking otherwise may help.
bool is_refusal(std::string_view error) {
  for (const char* part : {"unadvertised", "not our ref", "shallow", "remote ref", "upload-pack: not"}) {
    if (error.find(part) != error.npos) return true;
  }
  return false;
}

}  // namespace

KeyDigest git_repository_key(const std::string& remote, std::string_view sha) {
  base::ByteWriter name;
  name.raw("cairn.source.git.repository.v1:").string(remote).u8(sha.size() == 64 ? 1 : 0);
  return private_key(name.take());
}

Result<GitProgram::Ended> GitRepository::run(std::vector<std::string> arguments, GitProgram::Talks talks) const {
  arguments.insert(arguments.begin(), fmt::format("--git-dir={}", git_repository));
  GitProgram::Trees trees;
  trees.repository = TRY(tree_.mount(Access::read_write));
  return git_.run(std::move(arguments), std::move(trees), talks, stop_);
}

Status GitRepository::create(const GitResolved& like) {
  const auto ended = TRY(run({"init", "--quiet", "--bare", like.sha.size() == 64 ? "--object-format=sha256" : "--object-format=sha1"}));
  if (ended.code != 0) return tl::unexpected(git_.failure(ended));
  return {};
}

Result<bool> GitRepository::has(const GitResolved& resolved) const {
  const snapshot::MountedTree tree = TRY(tree_.mount(Access::read_only));
  return TRY(base::find_stat_beneath(tree.fd(), ref_folder().child(resolved.sha))).has_value();
}

Result<std::size_t> GitRepository::commits() const {
  const snapshot::MountedTree tree = TRY(tree_.mount(Access::read_only));
  auto folder = base::open_beneath(tree.fd(), ref_folder(), O_RDONLY | O_DIRECTORY);
  if (!folder && folder.error().code == ErrorCode::not_found) return 0;
  const base::Fd opened = TRY(std::move(folder));
  return TRY(base::list_dir(opened.get())).size();
}

Status GitRepository::fetch(const GitResolved& resolved) const {
  std::vector<std::string> names{resolved.sha};
  // A ref may have moved since: what is fetched by it counts only if it is the commit.
  if (resolved.ref.starts_with("refs/")) names.push_back(resolved.ref);
  for (const std::string& name : names) {
    const auto ended = TRY(run({"fetch", "--progress", "--depth=1", "--no-tags", "--no-write-fetch-head", git_remote_name,
                                "+" + name + ":refs/cairn-new/asked"},
                               GitProgram::Talks::yes));
    if (ended.code != 0 && !is_refusal(ended.error)) return tl::unexpected(git_.failure(ended));
    if (ended.code != 0) continue;
    const auto kept = TRY(run({"update-ref", ref_of(resolved), resolved.sha}));
    if (kept.code == 0) return {};
  }
  return fetch_all(resolved);
}

Status GitRepository::fetch_all(const GitResolved& resolved) const {
  std::vector<std::string> arguments{"fetch", "--progress", "--no-tags", "--no-write-fetch-head"};
  {
    const snapshot::MountedTree tree = TRY(tree_.mount(Access::read_only));
    if (TRY(base::find_stat_beneath(tree.fd(), base::TreePath().child("shallow")))) arguments.emplace_back("--unshallow");
  }
  arguments.insert(arguments.end(), {git_remote_name, "+refs/heads/*:refs/cairn-new/heads/*", "+refs/tags/*:refs/cairn-new/tags/*"});
  const auto fetched = TRY(run(std::move(arguments), GitProgram::Talks::yes));
  if (fetched.code != 0) return tl::unexpected(git_.failure(fetched));
  const auto kept = TRY(run({"update-ref", ref_of(resolved), resolved.sha}));
  if (kept.code == 0) return {};
  return fail(ErrorCode::not_found, "git source {}: the remote side has no commit {}", git_.name(), resolved.sha);
}

}  // namespace cairn::solver
