// SPDX-License-Identifier: Apache-2.0
#include "tests/e2e/program.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>

#include "tests/support/host_state.h"
#include "tests/support/oci_layout_builder.h"

namespace cairn::test {

Program::Program(const base::HostPath& dir, std::vector<std::string> argv, const std::string& input) {
  static std::atomic<int> counter{0};
  const std::string name = "program-" + std::to_string(++counter);
  files_ = (dir / name).str();
  write_text(dir / (name + ".in"), input);
  std::vector<char*> arguments;
  for (std::string& argument : argv) arguments.push_back(argument.data());
  arguments.push_back(nullptr);

  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, (files_ + ".in").c_str(), O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, 1, (files_ + ".out").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  posix_spawn_file_actions_addopen(&files, 2, (files_ + ".err").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  const int error = ::posix_spawnp(&pid_, arguments[0], &files, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  CHECK(error == 0, "start {}: {}", argv[0], base::errno_text(error));
}

Program::~Program() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void Program::signal(int number) const { ::kill(pid_, number); }
std::string Program::out_so_far() const { return read_text(files_ + ".out"); }
std::string Program::err_so_far() const { return read_text(files_ + ".err"); }

Ended Program::wait() {
  int status = 0;
  CHECK(::waitpid(pid_, &status, 0) == pid_, "wait for {}", pid_);
  pid_ = -1;
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), out_so_far(), err_so_far()};
}

Ended run_program(const base::HostPath& dir, std::vector<std::string> argv, const std::string& input) {
  Program program(dir, std::move(argv), input);
  return program.wait();
}

}  // namespace cairn::test
