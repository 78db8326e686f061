// SPDX-License-Identifier: Apache-2.0
// An executor without processes: a step's first argument names a program, which is a function. The program that is
// always there is `write DEST PATH TEXT`: it makes a file in the tree that is mounted at DEST.
#pragma once

#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "libbase/fs/beneath.h"
#include "libbase/fs/fd.h"
#include "libbase/path.h"
#include "libbase/sync.h"
#include "libsolver/executor.h"

namespace cairn::solver {

class FakeExecutor final : public Executor {
 public:
  using Program = std::function<base::Result<ExecExit>(const ExecRequest&, std::stop_token)>;
  // What a test and the executor that a solver owns have in common.
  struct Script {
    std::map<std::string, Program> programs;  // filled before the first solve
    std::atomic<std::uint64_t> runs{0};
    base::Guarded<std::vector<std::vector<std::string>>> log;  // the arguments of each run, as they began
  };

  explicit FakeExecutor(Script& script) : script_(script) {}
  std::string_view name() const override { return "fake"; }
  std::uint64_t processes_run() const override { return script_.runs; }

  base::Result<ExecExit> run(const ExecRequest& request,
                                     const std::function<void(Stream, std::string_view)>& output,
                                     std::stop_token stop) override {
    ++script_.runs;
    script_.log.lock()->push_back(request.args);
    output(Stream::out, request.args.front() + "\n");
    const auto program = script_.programs.find(request.args.front());
    if (program != script_.programs.end()) return program->second(request, stop);
    return write(request);
  }

  static base::Status write_file(const ExecRequest& request, const std::string& dest, const std::string& path,
                                 const std::string& text) {
    const auto mount = std::find_if(request.mounts.begin(), request.mounts.end(),
                                    [&](const ExecMount& each) { return each.dest == dest; });
    if (mount == request.mounts.end()) return base::fail(base::ErrorCode::invalid_argument, "no mount at {}", dest);
    const base::Fd file = TRY(base::open_beneath(mount->tree->fd(), TRY(base::TreePath::parse(path)),
                                                 O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0644));
    return base::write_full(file.get(), std::string_view(text));
  }

 private:
  static base::Result<ExecExit> write(const ExecRequest& request) {
    const std::vector<std::string>& args = request.args;
    if (args.size() < 4 || args.front() != "write") {
      return base::fail(base::ErrorCode::invalid_argument, "no program {}", args.front());
    }
    TRY(write_file(request, args[1], args[2], args[3]));
    return ExecExit{};
  }

  Script& script_;
};

}  // namespace cairn::solver
