// SPDX-License-Identifier: Apache-2.0
#include "tests/e2e/power/check_image.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <set>

#include "libbase/fs/host_tree.h"
#include "tests/support/tree_state.h"

namespace cairn::test {
namespace {

using base::Status;
using base::lmdb::Scan;
using snapshot::Access;
using snapshot::SnapshotId;
using Kind = Violation::Kind;

class Checker {
 public:
  Checker(base::HostPath root, const Expected& expected, const StoreOptions& options)
      : root_(std::move(root)), expected_(expected), options_(options) {}

  std::vector<Violation> run() {
    if (const auto checked = check(); !checked) say(Kind::unopenable, checked.error().message);
    return std::move(found_);
  }

 private:
  void say(Kind kind, std::string text) { found_.push_back({kind, std::move(text)}); }

  Status check() {
    {
      auto store = TRY(PowerStore::open(root_, options_), "open the store");
      TRY(read_rows(store->env()));
      compare_rows();
      TRY(compare_names());
      TRY(compare_trees(store->snapshots()));
      TRY(store->snapshots().erase_trash(store->writer(), {}));
      TRY(commit_one(*store));
    }
    // What was committed now is there after a restart, with everything that was before.
    auto store = TRY(PowerStore::open(root_, options_), "open the store again");
    TRY(read_rows(store->env()));
    if (!rows_.contains(fresh_)) say(Kind::unopenable, fmt::format("snapshot {}, committed after the cut, is gone", fresh_));
    return compare_tree(store->snapshots(), fresh_, fresh_state_);
  }

  Status read_rows(base::lmdb::Env& env) {
    rows_.clear();
    trash_.clear();
    ours_.clear();
    return env.view([&](base::lmdb::ReadTxn& txn) -> Status {
      TRY(snapshot::each_snapshot(txn, [&](const snapshot::SnapshotInfo& info) -> base::Result<Scan> {
        rows_.insert(info.id);
        return Scan::next;
      }));
      TRY(snapshot::each_trash(txn, [&](SnapshotId id, snapshot::Usage) -> base::Result<Scan> {
        trash_.insert(id);
        return Scan::next;
      }));
      return txn.scan(caller_table, "", [&](const SnapshotId& id, const std::string&) -> base::Result<Scan> {
        ours_.insert(id);
        return Scan::next;
      });
    });
  }

  void compare_rows() {
    for (const SnapshotId id : expected_.must_exist) {
      if (!rows_.contains(id)) say(Kind::lost, fmt::format("snapshot {} was acknowledged and has no row", id));
    }
    for (const SnapshotId id : expected_.must_be_gone) {
      if (rows_.contains(id)) say(Kind::came_back, fmt::format("snapshot {} was acknowledged as retired", id));
    }
    if (rows_ != ours_) say(Kind::stray, "the caller's rows and those of the snapshots are not the same");
  }

  // I6, and I1 for the trash: a directory for each row, a row for each directory.
  Status compare_names() {
    std::set<std::string> named;
    for (const SnapshotId id : rows_) named.insert(fmt::format("{}", id));
    for (const std::string& name : TRY(base::list_host_dir(root_ / "trees"))) {
      if (named.erase(name) == 0 && !trash_.contains(SnapshotId(std::stoull(name)))) {
        say(Kind::stray, fmt::format("trees/{} is named by no row", name));
      }
    }
    for (const std::string& name : named) say(Kind::bad_tree, fmt::format("trees/{} is missing", name));
    return {};
  }

  Status compare_trees(snapshot::Snapshotter& snapshots) {
    const std::map<SnapshotId, std::string> states(expected_.may_exist.begin(), expected_.may_exist.end());
    for (const SnapshotId id : rows_) {
      const auto state = states.find(id);
      if (state == states.end()) {
        say(Kind::stray, fmt::format("snapshot {} was never published", id));
        continue;
      }
      TRY(compare_tree(snapshots, id, state->second));
    }
    return {};
  }

  Status compare_tree(snapshot::Snapshotter& snapshots, SnapshotId id, const std::string& expected) {
    const auto state = [&]() -> base::Result<std::string> {
      return tree_state(TRY(snapshots.mount(id, Access::read_only)).fd());
    }();
    if (!state) {
      say(Kind::bad_tree, fmt::format("snapshot {}: {}", id, state.error().message));
    } else if (*state != expected) {
      say(Kind::bad_tree, fmt::format("snapshot {}: {}", id, first_difference(expected, *state)));
    }
    return {};
  }

  Status commit_one(PowerStore& store) {
    const auto parent = rows_.empty() ? std::nullopt : std::optional(*rows_.rbegin());
    auto& snapshots = store.snapshots();
    fresh_ = TRY(snapshots.prepare(parent), "a new snapshot");
    {
      const auto tree = TRY(snapshots.mount(fresh_, Access::read_write));
      const base::Fd file(::openat(tree.fd(), "fresh", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
      if (!file) return base::fail_errno(errno, "make a file in a new snapshot");
      TRY(base::write_full(file.get(), std::string_view("written after the cut")));
    }
    TRY(snapshots.freeze(fresh_));
    fresh_state_ = TRY(tree_state(TRY(snapshots.mount(fresh_, Access::read_only)).fd()));
    return store.writer().wait_durable(TRY(store.publish(fresh_)));
  }

  base::HostPath root_;
  const Expected& expected_;
  const StoreOptions& options_;
  std::set<SnapshotId> rows_, trash_, ours_;
  SnapshotId fresh_;
  std::string fresh_state_;
  std::vector<Violation> found_;
};

std::vector<Violation> mount_and_check(FileSystem kind, int image, const base::HostPath& where,
                                       const std::string& store, const Expected& expected,
                                       const StoreOptions& options) {
  CHECK(::unshare(CLONE_NEWNS) == 0, "a mount namespace for a check: {}", ::strerror(errno));
  const LoopDevice device(image);
  auto mount = Mount::make(kind, device.path(), where);
  if (!mount) return {{Kind::unmountable, mount.error().message}};
  auto found = Checker(where / store, expected, options).run();
  if (!mount->unmount()) found.push_back({Kind::unopenable, "the file system is still busy after the check"});
  return found;
}

// "<kind> <text>\n" for each, and "end\n".
void report(int pipe, const std::vector<Violation>& found) {
  std::string text;
  for (const Violation& violation : found) {
    std::string line = violation.text;
    std::replace(line.begin(), line.end(), '\n', ' ');
    text += fmt::format("{} {}\n", static_cast<std::uint32_t>(violation.kind), line);
  }
  (void)base::write_full(pipe, std::string_view(text + "end\n"));
}

std::vector<Violation> parse_report(const std::string& text, int status) {
  std::vector<Violation> found;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    if (line == "end") return found;
    const std::size_t space = line.find(' ');
    found.push_back({static_cast<Kind>(std::stoul(line)), line.substr(space + 1)});
  }
  found.push_back({Kind::crashed, fmt::format("status {:#x}", status)});
  return found;
}

}  // namespace

std::string_view to_string(Violation::Kind kind) {
  switch (kind) {
    case Kind::unmountable: return "unmountable";
    case Kind::unopenable: return "unopenable";
    case Kind::bad_tree: return "bad tree";
    case Kind::lost: return "lost";
    case Kind::came_back: return "came back";
    case Kind::stray: return "stray";
    case Kind::crashed: return "crashed";
  }
  return "";
}

Expected expected_after(const std::vector<Event>& events, std::size_t cut_end) {
  Expected expected;
  std::map<SnapshotId, std::uint64_t> committed, retiring, retired;
  for (const Event& event : events) {
    switch (event.kind) {
      case Event::Kind::intent: expected.may_exist.emplace_back(event.id, event.state); break;
      case Event::Kind::committed: committed[event.id] = event.position; break;
      case Event::Kind::retiring: retiring[event.id] = event.position; break;
      case Event::Kind::retired: retired[event.id] = event.position; break;
    }
  }
  for (const auto& [id, position] : committed) {
    const auto end = retiring.find(id);
    if (position <= cut_end && (end == retiring.end() || cut_end <= end->second)) expected.must_exist.push_back(id);
  }
  for (const auto& [id, position] : retired) {
    if (position <= cut_end) expected.must_be_gone.push_back(id);
  }
  return expected;
}

std::vector<Violation> check_image(FileSystem kind, int image, const base::HostPath& where, const std::string& store,
                                   const Expected& expected, const StoreOptions& options) {
  std::array<int, 2> ends{};
  CHECK(::pipe2(ends.data(), O_CLOEXEC) == 0, "pipe: {}", ::strerror(errno));
  base::Fd from(ends[0]), to(ends[1]);
  const pid_t child = ::fork();
  CHECK(child >= 0, "fork: {}", ::strerror(errno));
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::alarm(120);  // a check that hangs is a finding too
    report(to.get(), mount_and_check(kind, image, where, store, expected, options));
    ::_exit(0);
  }
  to.reset();
  const auto text = base::read_all(from.get(), 1u << 26);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return parse_report(text ? *text : "", status);
}

}  // namespace cairn::test
