// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "libbase/digest.h"
#include "libbase/fs/fd.h"
#include "libcache/fsck.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Fd;
using base::HostPath;
using base::Result;
using base::Status;
using base::lmdb::Env;
using base::lmdb::RawTableSpec;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;

namespace {

constexpr std::uint64_t rows_per_step = 10'000;
constexpr std::size_t damaged_max = 1000;
constexpr std::size_t answer_max = 4u << 20;

// One table, a new view for each step, so that a live owner's pages are not held back.
Status walk_table(Env& env, const RawTableSpec& table, MetadataWalk& walk) {
  std::string from;
  for (bool more = true; more;) {
    more = false;
    std::uint64_t seen = 0;
    TRY(env.view([&](ReadTxn& txn) {
      const auto visit = [&](std::string_view key, std::string_view) -> Result<Scan> {
        if (seen == rows_per_step) {
          from.assign(key);
          more = true;
          return Scan::stop;
        }
        ++seen;
        return Scan::next;
      };
      return txn.scan_all(table, from, visit, [&](std::string_view key) {
        ++walk.damaged_count;
        if (walk.damaged.size() >= damaged_max) return;
        const auto* const bytes = reinterpret_cast<const std::uint8_t*>(key.data());
        walk.damaged.push_back(fmt::format("{} {}", table.name, base::to_hex({bytes, key.size()})));
      });
    }));
    walk.rows += seen;
  }
  return {};
}

// In the child: what it finds as lines, the last of them "end". Returns its exit code.
int report_walk(const HostPath& root, TableList tables, int out) {
  Env::Options options;
  options.mode = base::lmdb::Mode::read_only;
  const auto env = Env::open(root / "meta", tables, options);
  if (!env) {
    (void)base::write_full(out, fmt::format("broken {}\n", env.error().message));
    return 0;
  }
  MetadataWalk walk;
  std::string text;
  for (const RawTableSpec* table : tables) {
    const Status walked = walk_table(**env, *table, walk);
    if (!walked) text += fmt::format("broken {}\n", walked.error().message);
  }
  for (const std::string& row : walk.damaged) text += "damaged " + row + "\n";
  text += fmt::format("rows {}\ncount {}\nend\n", walk.rows, walk.damaged_count);
  return base::write_full(out, text) ? 0 : 1;
}

std::uint64_t number_in(std::string_view text) {
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

MetadataWalk parse_walk(std::string_view text) {
  MetadataWalk walk;
  bool ended = false;
  while (!text.empty()) {
    const std::size_t length = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, length);
    text.remove_prefix(std::min(length + 1, text.size()));
    const std::size_t space = line.find(' ');
    const std::string_view word = line.substr(0, space);
    const std::string_view rest = space == std::string_view::npos ? "" : line.substr(space + 1);
    if (word == "broken" && walk.broken.empty()) walk.broken = rest;
    if (word == "damaged") walk.damaged.emplace_back(rest);
    if (word == "rows") walk.rows = number_in(rest);
    if (word == "count") walk.damaged_count = number_in(rest);
    ended = ended || word == "end";
  }
  if (!ended && walk.broken.empty()) walk.broken = "the walk ended early";
  return walk;
}

}  // namespace

Result<MetadataWalk> walk_metadata(const HostPath& root, TableList tables) {
  if (::access((root / "meta/data.mdb").c_str(), F_OK) != 0) {
    MetadataWalk missing;
    missing.broken = "meta/data.mdb is missing";
    return missing;
  }
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return base::fail_errno(errno, "walk the metadata of {}", root.str());
  const Fd from(ends[0]);
  Fd to(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return base::fail_errno(errno, "walk the metadata of {}", root.str());
  if (child == 0) {
    for (const int number : {SIGBUS, SIGSEGV, SIGABRT}) ::signal(number, SIG_DFL);
    ::_exit(report_walk(root, tables, to.get()));
  }
  to.reset();
  const auto text = base::read_all(from.get(), answer_max);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!text) return tl::unexpected(text.error());
  MetadataWalk walk = parse_walk(*text);
  if (WIFSIGNALED(status)) walk.broken = fmt::format("reading it ends in {}", ::strsignal(WTERMSIG(status)));
  return walk;
}

}  // namespace cairn::cache
