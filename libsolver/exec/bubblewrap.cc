// SPDX-License-Identifier: Apache-2.0
// The command line of bwrap and the plan of step_init. Facts about bubblewrap: bwrap(1) of 0.8, and its behaviour.
#include "libsolver/exec/bubblewrap.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "libsolver/exec/call_filter.h"
#include "libsolver/exec/output_pump.h"
#include "libsolver/exec/runtime.h"
#include "libsolver/exec/step_init.h"
#include "libsolver/exec/step_process.h"

// step_init, linked by CMake and carried in this library.
extern "C" const unsigned char cairn_step_init_begin[];
extern "C" const unsigned char cairn_step_init_end[];
asm(R"(
  .pushsection .rodata
  .balign 16
  .global cairn_step_init_begin
  cairn_step_init_begin:
  .incbin ")" CAIRN_STEP_INIT R"("
  .global cairn_step_init_end
  cairn_step_init_end:
  .popsection
)");

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::Fd;
using snapshot::Access;

Fd make_memory_file(const char* name) {
#ifdef MFD_EXEC
  Fd file(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC));
  if (file || errno != EINVAL) return file;  // EINVAL: a kernel that does not know the flag
#endif
  return Fd(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
}

// Read-only for whoever gets it.
base::Result<Fd> sealed_file(const char* name, std::string_view content) {
  const Fd written = make_memory_file(name);
  if (!written) return base::fail_errno(errno, "make a file in memory");
  TRY(base::write_full(written.get(), content), "write a file in memory");
  if (::fcntl(written.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return base::fail_errno(errno, "seal a file in memory");
  }
  // A descriptor of its own that was never open for writing, or executing it would be ETXTBSY.
  Fd file(::open(fmt::format("/proc/self/fd/{}", written.get()).c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return base::fail_errno(errno, "open a file in memory");
  return file;
}

void append_bytes(std::string& plan, const auto& value) {
  plan.append(reinterpret_cast<const char*>(&value), sizeof value);
}

std::string init_plan(const PreparedStep& step) {
  const ExecRequest& request = step.request;
  const std::vector<std::string> environment = step_environment(request, step.user);
  const std::vector<ExecUlimit> ulimits = step_ulimits(request);
  const auto count = [](const auto& list) { return static_cast<std::uint32_t>(list.size()); };
  const bool is_insecure = request.security == SecurityMode::insecure;
  const step_init::Header header{step.capabilities,        step.user.uid,
                                 step.user.gid,            count(step.user.groups),
                                 count(ulimits),           count(request.args),
                                 count(environment),       request.network == NetworkMode::none ? 1u : 0u,
                                 is_insecure ? 1u : 0u};
  std::string plan;
  append_bytes(plan, header);
  for (const std::uint32_t group : step.user.groups) append_bytes(plan, group);
  if (step.user.groups.size() % 2 != 0) append_bytes(plan, std::uint32_t{0});  // what follows is aligned to 8
  for (const ExecUlimit& ulimit : ulimits) {
    append_bytes(plan, step_init::Limit{static_cast<std::uint64_t>(ulimit.soft), static_cast<std::uint64_t>(ulimit.hard),
                                        static_cast<std::uint32_t>(ulimit_number(ulimit.name)), 0});
  }
  plan.append(request.cwd).push_back('\0');
  for (const std::string& argument : request.args) plan.append(argument).push_back('\0');
  for (const std::string& variable : environment) plan.append(variable).push_back('\0');
  return plan;
}

class BubblewrapRun : public SandboxRun {
 public:
  BubblewrapRun(const ExecRequest& request, Fd plan, Pipe report, Fd call_filter)
      : request_(request), plan_(std::move(plan)), report_(std::move(report)), call_filter_(std::move(call_filter)) {}

  int plan() const { return plan_.get(); }
  int report() const { return report_.write.get(); }
  int call_filter() const { return call_filter_.get(); }  // -1: none

  base::Result<std::optional<base::Error>> failure(int code, std::string_view said) const override {
    step_init::Report reports[2] = {};
    const ::ssize_t size = ::read(report_.read.get(), reports, sizeof reports);
    const std::string& program = request_.args.front();
    if (size < static_cast<::ssize_t>(sizeof reports[0])) {
      // What bubblewrap says before it has made the sandbox.
      const std::size_t begin = said.rfind("bwrap: ");
      std::string why(begin == std::string_view::npos ? said : said.substr(begin));
      while (why.ends_with('\n')) why.pop_back();
      if (why.empty()) why = fmt::format("it ended with {}", code);
      const bool is_full = why.find("No space left") != std::string::npos;
      return base::Error{is_full ? ErrorCode::no_space : ErrorCode::io, fmt::format("start \"{}\" with bubblewrap: {}", program, why), {}};
    }
    if (size < static_cast<::ssize_t>(sizeof reports)) return std::nullopt;
    return explain(reports[1]);
  }

 private:
  base::Error explain(const step_init::Report& report) const {
    using step_init::Stage;
    const auto run = [&](std::string_view why) {
      return base::Error{ErrorCode::invalid_argument, fmt::format("run \"{}\": {}", request_.args.front(), why), {}};
    };
    const auto start = [&](ErrorCode code, std::string_view what) {
      return base::Error{code, fmt::format("start \"{}\": {}: {}", request_.args.front(), what, base::errno_text(report.error)), {}};
    };
    switch (report.stage) {
      case Stage::started: break;
      case Stage::network: return start(ErrorCode::io, "raise the loopback of its network");
      case Stage::proc: return start(ErrorCode::io, "uncover /proc");
      case Stage::limit: {
        const std::size_t which = report.detail;
        const std::string name = which < request_.ulimits.size() ? request_.ulimits[which].name : "core";
        return start(ErrorCode::invalid_argument, fmt::format("set its ulimit \"{}\"", name));
      }
      case Stage::directory: return start(ErrorCode::invalid_argument, fmt::format("enter the working directory {}", request_.cwd));
      case Stage::groups:
        return start(ErrorCode::unavailable, "not supported: more groups than one in this user namespace, by bubblewrap");
      case Stage::user:
        return start(ErrorCode::unavailable, fmt::format("become the user \"{}\", whom this user namespace may not have", request_.user));
      case Stage::capabilities: return start(ErrorCode::io, "set its capabilities");
      case Stage::not_found: return run("not found in the step's root");
      case Stage::not_executable: return run("not executable");
      case Stage::not_a_program: return run("not a program (exec format error)");
      case Stage::no_interpreter: return run("its interpreter is not in the step's root");
      case Stage::execute: return run(fmt::format("cannot be executed: {}", base::errno_text(report.error)));
    }
    return start(ErrorCode::io, "an unknown report");
  }

  const ExecRequest& request_;
  const Fd plan_;
  const Pipe report_;
  const Fd call_filter_;
};

bool is_below(std::string_view path, std::string_view top) { return path.starts_with(top) && path.size() > top.size(); }

}  // namespace

BubblewrapSandbox::BubblewrapSandbox(base::HostPath program, Fd init, std::string call_filter, std::vector<std::string> masked_files,
                                     std::vector<std::string> masked_directories, std::vector<std::string> read_only)
    : program_(std::move(program)),
      init_(std::move(init)),
      call_filter_(std::move(call_filter)),
      masked_files_(std::move(masked_files)),
      masked_directories_(std::move(masked_directories)),
      read_only_(std::move(read_only)) {}

base::Result<std::unique_ptr<BubblewrapSandbox>> BubblewrapSandbox::open() {
  base::HostPath program = TRY(find_program("bwrap"), "find bubblewrap: bwrap");
  const std::string_view init(reinterpret_cast<const char*>(cairn_step_init_begin),
                              static_cast<std::size_t>(cairn_step_init_end - cairn_step_init_begin));
  Fd file = TRY(sealed_file("cairn-step-init", init), "keep the first program of steps");
  std::vector<std::string> files, directories, read_only;
  struct ::stat about {};
  for (const char* path : masked_paths) {
    if (::lstat(path, &about) == 0) (S_ISDIR(about.st_mode) ? directories : files).emplace_back(path);
  }
  for (const char* path : read_only_paths) {
    if (::lstat(path, &about) == 0) read_only.emplace_back(path);
  }
  return std::unique_ptr<BubblewrapSandbox>(new BubblewrapSandbox(std::move(program), std::move(file), TRY(refused_calls_program()), std::move(files),
                                                                  std::move(directories), std::move(read_only)));
}

std::string BubblewrapSandbox::about() const { return program_.str(); }

base::Result<std::unique_ptr<SandboxRun>> BubblewrapSandbox::tell(const PreparedStep& step, Bundle& bundle, SpawnPlan& plan) const {
  const bool is_insecure = step.request.security == SecurityMode::insecure;
  std::vector<std::string>& command = plan.command;
  const auto add = [&command](std::initializer_list<std::string_view> words) { command.insert(command.end(), words.begin(), words.end()); };
  std::vector<std::string> lock;  // made read-only when all is mounted
  const auto hide = [&](std::string_view below) {
    if (is_insecure) return;
    for (const std::string& path : read_only_) {
      if (is_below(path, below)) add({"--ro-bind", path, path});
    }
    for (const std::string& path : masked_files_) {
      if (is_below(path, below)) add({"--dev-bind", "/dev/null", path});
    }
    for (const std::string& path : masked_directories_) {
      if (is_below(path, below)) add({"--perms", "0555", "--tmpfs", path, "--remount-ro", path});
    }
  };
  add({program_.str(), "--dev-bind", bundle.path("rootfs"), "/"});
  bool has_dev = false, has_proc = false;
  for (const StepMount& mount : step.mounts) {
    switch (mount.kind) {
      case MountKind::tree: add({"--dev-bind", mount.source, mount.dest}); break;  // read-only already, if it shall be
      case MountKind::file: add({"--ro-bind", mount.source, mount.dest}); break;
      case MountKind::tmpfs:
        add({"--perms", "1777"});
        if (mount.tmpfs_size > 0) add({"--size", std::to_string(mount.tmpfs_size)});
        add({"--tmpfs", mount.dest});
        if (mount.access == Access::read_only) lock.push_back(mount.dest);
        break;
      case MountKind::proc:
        has_proc = true;
        add({"--proc", mount.dest});
        hide("/proc");
        break;
      case MountKind::dev:
        has_dev = true;
        add({"--dev", mount.dest});
        if (!is_insecure) break;
        for (const char* device : insecure_devices) add({"--dev-bind-try", device, device});
        break;
      case MountKind::devpts: break;  // --dev has made it
      case MountKind::shm: add({"--perms", "1777", "--size", std::to_string(shm_size), "--tmpfs", mount.dest}); break;
      case MountKind::mqueue: add({"--mqueue", mount.dest}); break;
      case MountKind::sysfs:
        plan.sysfs = TRY(bundle.add_target("m", PointKind::directory));
        add({is_insecure ? "--dev-bind" : "--ro-bind", plan.sysfs, mount.dest});
        hide("/sys");
        break;
    }
  }
  if (!has_dev || !has_proc) {
    return base::fail(ErrorCode::unavailable, "not supported: a mount at {} by bubblewrap", has_dev ? "/proc" : "/dev");
  }
  for (const std::string& dest : lock) add({"--remount-ro", dest});
  if (step.request.read_only_root) add({"--remount-ro", "/"});
  Fd call_filter;
  if (!is_insecure) {
    call_filter = TRY(sealed_file("cairn-call-filter", call_filter_));
    add({"--seccomp", std::to_string(step_init::call_filter_fd)});
  }
  add({"--unshare-pid", "--as-pid-1", "--unshare-ipc", "--unshare-uts", "--hostname", step_hostname(step.request), "--die-with-parent", "--",
       fmt::format("/proc/self/fd/{}", static_cast<int>(step_init::program_fd))});

  auto run = std::make_unique<BubblewrapRun>(step.request, TRY(sealed_file("cairn-step", init_plan(step)), "describe a step"),
                                             TRY(make_pipe()), std::move(call_filter));
  static_assert(SpawnPlan::first_kept == step_init::program_fd && step_init::call_filter_fd == step_init::program_fd + 3);
  plan.keep = {init_.get(), run->plan(), run->report()};
  if (run->call_filter() >= 0) plan.keep.push_back(run->call_filter());
  if (step.request.network == NetworkMode::none) plan.own_network = OwnNetwork::yes;
  return run;
}

}  // namespace cairn::solver
