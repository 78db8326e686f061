// SPDX-License-Identifier: Apache-2.0
// Chooses the sandbox.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <vector>

#include "libbase/digest.h"
#include "libbase/fs/beneath.h"
#include "libbase/hash/sha256.h"
#include "libbase/log/log.h"
#include "libsolver/exec/bubblewrap.h"
#include "libsolver/exec/oci_sandbox.h"
#include "libsolver/exec/probe.h"
#include "libsolver/executor.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using SharedSandbox = std::shared_ptr<const Sandbox>;

// What a killed engine left is files only: its processes died with it, and their mounts with them.
base::Status empty_state_dir(const base::HostPath& path) {
  for (std::size_t end = 1; end != std::string::npos;) {
    end = path.str().find('/', end + 1);
    if (::mkdir(path.str().substr(0, end).c_str(), 0700) != 0 && errno != EEXIST) {
      return base::fail_errno(errno, "make {}", path.str().substr(0, end));
    }
  }
  const base::Fd dir = TRY(base::open_host_dir(path));
  for (const base::DirEntry& entry : TRY(base::list_dir(dir.get()), "look into {}", path.str())) {
    const base::TreePath left = TRY(base::TreePath::parse(entry.name));
    TRY(base::remove_all_beneath(dir.get(), left), "empty {}", path.str());
  }
  return {};
}

// The runtime with the first view of cgroups that it runs with.
base::Result<SharedSandbox> try_runtime(std::string_view name, const base::HostPath& state_dir, TreeTransfer transfer) {
  Runtime runtime = TRY(find_runtime(name));
  std::vector<CgroupView> views{CgroupView::host, CgroupView::private_v2};
  // runc makes cgroups; in a private cgroup2 there is one place where they can be.
  if (!runtime.is_crun()) std::swap(views[0], views[1]);
  base::Error first_error;
  for (const CgroupView view : views) {
    runtime.cgroups = view;
    SharedSandbox sandbox = std::make_shared<OciSandbox>(runtime);
    auto tried = probe_sandbox(sandbox, state_dir, transfer);
    if (tried) return sandbox;
    base::log_debug("executor: {} with {} cgroups: {}", name, view == CgroupView::host ? "the host's" : "own",
                    tried.error().message);
    if (tried.error().code == ErrorCode::no_space) return tl::unexpected(std::move(tried).error());  // says nothing about it
    if (view == views[0]) first_error = std::move(tried).error();
  }
  return tl::make_unexpected(std::move(first_error));
}

base::Result<SharedSandbox> try_sandbox(std::string_view name, const base::HostPath& state_dir, TreeTransfer transfer) {
  if (name != "bubblewrap") return try_runtime(name, state_dir, transfer);
  SharedSandbox sandbox = TRY(BubblewrapSandbox::open());
  TRY(probe_sandbox(sandbox, state_dir, transfer));
  return sandbox;
}

std::vector<std::string> names_of(const ExecutorOptions& options) {
  const char* variable = ::getenv("CAIRN_RUNTIME");
  std::string asked = options.runtime;
  if (asked.empty() && variable != nullptr) asked = variable;
  if (asked.empty() || asked == "auto") return {"crun", "runc", "bubblewrap"};
  if (asked == "oci") return {"crun", "runc"};
  return {std::move(asked)};
}

base::Result<SharedSandbox> choose_sandbox(const ExecutorOptions& options, TreeTransfer transfer) {
  std::string reasons;
  for (const std::string& name : names_of(options)) {
    auto sandbox = try_sandbox(name, options.state_dir, transfer);
    if (sandbox) {
      if (!reasons.empty()) base::log_warning("executor: {} is used because {}", name, reasons);
      return sandbox;
    }
    if (sandbox.error().code == ErrorCode::no_space) return sandbox;
    reasons.append(reasons.empty() ? "" : "; ").append(sandbox.error().message);
  }
  return tl::make_unexpected(
      base::Error{ErrorCode::unavailable, "find a sandbox that works here: " + reasons,
                  "apt-get install crun (or bubblewrap); steps also need root, or a user and a mount namespace of their own"});
}

// A number in the environment; what is none is said and does not count.
std::optional<std::uint64_t> number_of(const char* variable) {
  const char* text = ::getenv(variable);
  if (text == nullptr || *text == '\0') return std::nullopt;
  const std::string_view digits(text);
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error == std::errc() && end == digits.data() + digits.size()) return number;
  base::log_warning("executor: {}={}: not a number; it does not count", variable, digits);
  return std::nullopt;
}

// A step that makes processes without end must leave some to the others.
StepLimits default_limits() {
  constexpr std::uint64_t processes_max = 16'384;
  const auto text = base::read_file(*base::HostPath::parse("/proc/sys/kernel/pid_max"), 64);
  std::uint64_t of_kernel = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), of_kernel);
  const std::uint64_t half = of_kernel > 1 ? of_kernel / 2 : processes_max;
  return {.processes = number_of("CAIRN_STEP_PROCESSES").value_or(std::min(processes_max, half)),
          .memory_bytes = number_of("CAIRN_STEP_MEMORY").value_or(0)};
}

// What is in groups of this name is killed.
Cgroups find_cgroups(std::string_view name) {
  constexpr std::size_t text_max = 1 << 20;
  const auto read = [](const char* path) { return base::read_file(*base::HostPath::parse(path), text_max).value_or(""); };
  return Cgroups::open(Cgroups::find(read("/proc/self/mountinfo"), read("/proc/self/cgroup")), name);
}

Cgroups open_cgroups(const base::HostPath& state_dir) {
  Cgroups cgroups = find_cgroups(base::to_hex(base::sha256(state_dir.str())).substr(0, 12));
  if (!cgroups.why_not().empty()) base::log_info("executor: steps have no limits of their own: {}", cgroups.why_not());
  return cgroups;
}

}  // namespace

base::Result<std::unique_ptr<Executor>> open_executor(ExecutorOptions options) {
  TRY(empty_state_dir(options.state_dir), "open the executor");
  const TreeTransfer transfer = TRY(probe_transfer(), "open the executor");
  SharedSandbox sandbox = TRY(choose_sandbox(options, transfer), "open the executor");
  base::log_info("executor: {}{}", sandbox->about(),
                 transfer == TreeTransfer::attach ? ", one run a mounted tree (before Linux 6.15)" : "");
  return std::make_unique<StepExecutor>(std::move(sandbox), options.state_dir, TRY(Spawner::open()), transfer,
                                        open_cgroups(options.state_dir), options.limits ? *options.limits : default_limits());
}

base::Result<std::vector<ExecutorTrial>> try_executors(const base::HostPath& state_dir) {
  TRY(empty_state_dir(state_dir), "try executors");
  const TreeTransfer transfer = TRY(probe_transfer(), "try executors");
  std::vector<ExecutorTrial> trials;
  for (const char* name : {"crun", "runc", "bubblewrap"}) {
    const auto sandbox = try_sandbox(name, state_dir, transfer);
    trials.push_back({name, sandbox ? "" : sandbox.error().message});
  }
  return trials;
}

std::string why_no_step_limits() { return find_cgroups(fmt::format("probe-{}", ::getpid())).why_not(); }

}  // namespace cairn::solver
