// SPDX-License-Identifier: Apache-2.0
// Repositories that a test makes with git itself, and git's own servers for them on the loopback: git:// by `git daemon`,
// http:// by `git http-backend`.
#pragma once

#include <string>
#include <vector>

#include "tests/support/http_server.h"
#include "tests/support/loopback_listener.h"
#include "tests/support/temp_dir.h"

namespace cairn::test {

// A repository with a work tree, in a folder of its own, and what it says of itself.
class GitRepo {
 public:
  explicit GitRepo(const base::HostPath& dir, const std::string& object_format = "sha1");
  static GitRepo at(const base::HostPath& dir) { return GitRepo(dir, AsIs{}); }  // one that is there
  std::string git(std::vector<std::string> arguments) const;  // what it prints, without the last line break
  void write(const std::string& path, const std::string& bytes) const;
  std::string commit(const std::string& message) const;  // everything there is; its hash
  std::string commit_file(const std::string& path, const std::string& bytes) const;
  const base::HostPath& dir() const { return dir_; }

 private:
  struct AsIs {};
  GitRepo(const base::HostPath& dir, AsIs) : dir_(dir) {}
  base::HostPath dir_;
};

// Serves all repositories below a folder at /NAME, over git://.
class GitDaemon {
 public:
  explicit GitDaemon(const base::HostPath& dir);
  std::string url(const std::string& name) const;
  int connections() const { return server_.connections(); }

 private:
  InetdServer server_;
};

// The CGI answer of `git http-backend` to a request. protocol: what servers that know no newer one do without.
enum class GitProtocol { as_asked, oldest };
void answer_git_request(const base::HostPath& dir, const HttpRequest& request, HttpReply& reply,
                        GitProtocol protocol = GitProtocol::as_asked);

}  // namespace cairn::test
