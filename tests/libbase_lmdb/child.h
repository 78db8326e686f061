// SPDX-License-Identifier: Apache-2.0
// A forked child that answers the test in single bytes. It runs `body` and leaves without destructors or exit handlers.
#pragma once

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>

namespace cairn::test {

class Child {
 public:
  // The child's ends of the two pipes.
  class Line {
   public:
    Line(int in, int out) : in_(in), out_(out) {}
    void say() const {
      const char byte = '!';
      if (::write(out_, &byte, 1) != 1) ::_exit(90);
    }
    void wait() const {  // for the parent; without it the child is of no use
      char byte = 0;
      if (::read(in_, &byte, 1) != 1) ::_exit(91);
    }

   private:
    int in_, out_;
  };

  // The exit code is 0 where body returns true. Fork before threads are started.
  explicit Child(const std::function<bool(const Line&)>& body) {
    int to_child[2], from_child[2];
    EXPECT_EQ(::pipe(to_child), 0);
    EXPECT_EQ(::pipe(from_child), 0);
    pid_ = ::fork();
    EXPECT_GE(pid_, 0);
    if (pid_ == 0) {
      ::close(to_child[1]);
      ::close(from_child[0]);
      ::_exit(body(Line(to_child[0], from_child[1])) ? 0 : 1);
    }
    ::close(to_child[0]);
    ::close(from_child[1]);
    to_ = to_child[1];
    from_ = from_child[0];
  }
  ~Child() {
    if (pid_ > 0) kill();
    ::close(to_);
    ::close(from_);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  bool wait_word() {  // false: it has ended
    char byte = 0;
    return ::read(from_, &byte, 1) == 1;
  }
  void say() { EXPECT_EQ(::write(to_, "!", 1), 1); }
  void kill() {
    ::kill(pid_, SIGKILL);
    (void)end();
  }
  // Its wait status.
  int end() {
    int status = 0;
    EXPECT_EQ(::waitpid(pid_, &status, 0), pid_);
    pid_ = -1;
    return status;
  }
  bool succeeds() {
    const int status = end();
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }

 private:
  pid_t pid_ = -1;
  int to_ = -1, from_ = -1;
};

}  // namespace cairn::test
