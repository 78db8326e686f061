// SPDX-License-Identifier: Apache-2.0
#include "tests/libsolver_sources/git_server.h"

#include <filesystem>
#include <fstream>

#include "tests/e2e/program.h"
#include "tests/support/must.h"

namespace cairn::test {
namespace {

const std::vector<std::string> quiet{"env",
                                     "GIT_CONFIG_NOSYSTEM=1",
                                     "GIT_CONFIG_GLOBAL=/dev/null",
                                     "GIT_AUTHOR_NAME=a",
                                     "GIT_AUTHOR_EMAIL=a@b",
                                     "GIT_COMMITTER_NAME=a",
                                     "GIT_COMMITTER_EMAIL=a@b",
                                     "GIT_AUTHOR_DATE=@1700000000 +0000",
                                     "GIT_COMMITTER_DATE=@1700000000 +0000"};

Ended run_git(std::vector<std::string> environment, const std::vector<std::string>& arguments, const std::string& input = "") {
  std::vector<std::string> all = quiet;
  all.insert(all.end(), environment.begin(), environment.end());
  all.emplace_back("git");
  all.insert(all.end(), arguments.begin(), arguments.end());
  const TempDir files;
  return run_program(files.path(), all, input);
}

}  // namespace

GitRepo::GitRepo(const base::HostPath& dir, const std::string& object_format) : dir_(dir) {
  std::filesystem::create_directories(dir.str());
  git({"init", "--quiet", "--initial-branch=main", "--object-format=" + object_format});
}

std::string GitRepo::git(std::vector<std::string> arguments) const {
  arguments.insert(arguments.begin(), {"-C", dir_.str(), "-c", "protocol.file.allow=always"});
  Ended ended = run_git({}, arguments);
  CHECK(ended.code == 0, "git {}: {}", fmt::join(arguments, " "), ended.err);
  while (ended.out.ends_with('\n')) ended.out.pop_back();
  return ended.out;
}

void GitRepo::write(const std::string& path, const std::string& bytes) const {
  const std::filesystem::path file = std::filesystem::path(dir_.str()) / path;
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary | std::ios::trunc) << bytes;
}

std::string GitRepo::commit(const std::string& message) const {
  git({"add", "--all"});
  git({"commit", "--quiet", "--allow-empty", "-m", message});
  return git({"rev-parse", "HEAD"});
}

std::string GitRepo::commit_file(const std::string& path, const std::string& bytes) const {
  write(path, bytes);
  return commit("write " + path);
}

GitDaemon::GitDaemon(const base::HostPath& dir)
    : server_({"env", "GIT_CONFIG_NOSYSTEM=1", "git", "-c", "safe.directory=*", "daemon", "--inetd", "--export-all",
               "--base-path=" + dir.str(), dir.str()}) {}

std::string GitDaemon::url(const std::string& name) const { return fmt::format("git://127.0.0.1:{}/{}", server_.port(), name); }

void answer_git_request(const base::HostPath& dir, const HttpRequest& request, HttpReply& reply, GitProtocol protocol) {
  const std::size_t mark = request.target.find('?');
  std::vector<std::string> environment{"GIT_PROJECT_ROOT=" + dir.str(), "GIT_HTTP_EXPORT_ALL=1", "REQUEST_METHOD=" + request.method,
                                       "PATH_INFO=" + request.target.substr(0, mark), "REMOTE_ADDR=127.0.0.1",
                                       "QUERY_STRING=" + (mark == std::string::npos ? "" : request.target.substr(mark + 1)),
                                       "CONTENT_TYPE=" + request.header("content-type"),
                                       "CONTENT_LENGTH=" + std::to_string(request.body.size()),
                                       "HTTP_CONTENT_ENCODING=" + request.header("content-encoding")};
  if (protocol == GitProtocol::as_asked) environment.push_back("GIT_PROTOCOL=" + request.header("git-protocol"));
  const Ended ended = run_git(environment, {"-c", "safe.directory=*", "http-backend"}, request.body);
  const std::size_t end = ended.out.find("\r\n\r\n");
  CHECK(end != std::string::npos, "git http-backend: {}", ended.err);
  int status = 200;
  HttpReply::Headers headers;
  for (std::size_t at = 0; at < end;) {
    const std::size_t next = std::min(ended.out.find("\r\n", at), end);
    const std::string line = ended.out.substr(at, next - at);
    at = next + 2;
    const std::size_t colon = line.find(": ");
    if (line.starts_with("Status: ")) status = std::stoi(line.substr(8));
    else if (colon != std::string::npos) headers.emplace_back(line.substr(0, colon), line.substr(colon + 2));
  }
  reply.send(status, headers, std::string_view(ended.out).substr(end + 4));
}

}  // namespace cairn::test
