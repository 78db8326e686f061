// SPDX-License-Identifier: Apache-2.0
#include "libcache/history.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "libbase/crash_point.h"
#include "libbase/fs/fd.h"
#include "libbase/log/log.h"
#include "libbase/sync.h"
#include "libcache/history/history_rows.h"
#include "libcache/records/scan.h"

namespace cairn::cache {

using base::HostPath;
using base::Result;
using base::Status;
using base::lmdb::Env;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;
using base::lmdb::WriteTxn;

namespace {

constexpr std::uint64_t move_at = 256u << 10;      // bytes that wait
constexpr std::uint64_t move_anyway_at = 4u << 20;  // also if the solve has written nothing else
constexpr std::uint64_t waiting_max = 64u << 20; // they could not be moved for long: they go

HostPath file_of(const HostPath& root) { return root / "history"; }

Result<std::string> read_waiting(const HostPath& root) {
  auto bytes = base::read_file(file_of(root), 2 * waiting_max);
  if (!bytes && bytes.error().code == base::ErrorCode::not_found) return std::string();
  return bytes;
}

// Oldest first, until the rest is within bounds. Writing them twice is writing them once.
Status write_rows(WriteTxn& txn, const std::string& waiting, const HistoryOptions& options) {
  for (const std::string_view bytes : decode_waiting(waiting)) {
    const auto row = base::Codec<SolveRow>::decode(bytes);
    if (row) TRY(txn.put(table::history, row->id, *row));
  }
  std::vector<std::pair<std::string, std::uint64_t>> sizes;
  std::uint64_t bytes = 0;
  TRY(txn.scan_raw(table::history, {}, {}, [&](std::string_view key, std::string_view value) -> Result<Scan> {
    sizes.emplace_back(key, value.size());
    bytes += value.size();
    return Scan::next;
  }));
  std::uint64_t left = sizes.size();
  for (const auto& [key, size] : sizes) {
    if (left <= options.solves_max && bytes <= options.bytes_max) break;
    TRY(txn.erase(table::history, TRY(base::Codec<SolveId>::decode(key))));
    --left;
    bytes -= size;
  }
  CRASH_POINT("cache.history.rows_written");
  return {};
}

}  // namespace

struct History::State {
  struct File {
    base::Fd fd;              // open for appending, once something was written
    std::uint64_t bytes = 0;  // in it
    SolveId last;
    bool moving = false;      // handed to the writer
  };
  State(HostPath root_in, HistoryOptions options_in) : root(std::move(root_in)), options(options_in) {}

  Status append(File& to, std::string_view bytes);
  void moved(std::uint64_t bytes, const Status& outcome);

  const HostPath root;
  const HistoryOptions options;
  base::Guarded<File> file;
  std::atomic<std::uint64_t> dropped{0};
};

Status History::State::append(File& to, std::string_view bytes) {
  if (!to.fd) {
    to.fd = TRY(base::open_host(file_of(root), O_RDWR | O_CREAT | O_APPEND, 0644));
    struct ::stat status {};
    if (::fstat(to.fd.get(), &status) != 0) return base::fail_errno(errno, "look at {}", file_of(root).str());
    // Behind what a crash has left half, nothing would be found.
    const std::string before = TRY(read_waiting(root));
    const auto rows = decode_waiting(before);
    to.bytes = rows.empty() ? 0 : static_cast<std::uint64_t>(rows.back().data() + rows.back().size() + 8 - before.data());
    if (::ftruncate(to.fd.get(), static_cast<off_t>(to.bytes)) != 0) return base::fail_errno(errno, "cut {}", file_of(root).str());
  }
  if (to.bytes + bytes.size() > waiting_max) return base::fail(base::ErrorCode::no_space, "too much waits in {}", file_of(root).str());
  if (Status written = base::write_full(to.fd.get(), bytes); !written) {
    if (::ftruncate(to.fd.get(), static_cast<off_t>(to.bytes)) != 0) to.fd.reset();
    return written;
  }
  to.bytes += bytes.size();
  return {};
}

// What came meanwhile goes on waiting.
void History::State::moved(std::uint64_t bytes, const Status& outcome) {
  auto held = file.lock();
  held->moving = false;
  if (!outcome) return base::log_warning("the history of solves stays in {}: {}", file_of(root).str(), outcome.error().message);
  const auto all = read_waiting(root);
  if (!all || all->size() < bytes) return;
  const std::string_view rest = std::string_view(*all).substr(bytes);
  // A crash before the rest is there again loses it, and no more.
  held->bytes = 0;
  if (::ftruncate(held->fd.get(), 0) != 0) return;
  CRASH_POINT("cache.history.moved");
  if (!rest.empty() && base::write_full(held->fd.get(), rest)) held->bytes = rest.size();
}

History::History(HostPath root, base::lmdb::GroupWriter& writer, HistoryOptions options)
    : writer_(writer), state_(std::make_shared<State>(std::move(root), options)) {}

History::~History() = default;

std::uint64_t History::dropped() const { return state_->dropped.load(); }

void History::add(SolveRow row) {
  // What has all been found writes nothing, and shall not begin to for its history.
  const bool has_written = std::any_of(row.steps.begin(), row.steps.end(),
                                       [](const SolvedStep& step) { return step.state != SolvedStep::State::cached; });
  auto waiting = std::make_shared<std::string>();
  {
    auto file = state_->file.lock();
    if (row.id <= file->last) row.id = SolveId(file->last.value() + 1);
    file->last = row.id;
    if (Status kept = state_->append(*file, encode_waiting(base::Codec<SolveRow>::encode(row))); !kept) {
      ++state_->dropped;
      base::log_warning("a solve is missing in the history: {}", kept.error().message);
    }
    if (file->bytes < (has_written ? move_at : move_anyway_at) || file->moving) return;
    auto all = read_waiting(state_->root);
    if (!all) return;
    *waiting = std::move(*all);
    file->moving = true;
  }
  base::lmdb::GroupWriter::Entry entry;
  entry.bytes = waiting->size();
  entry.change = [waiting, options = state_->options](WriteTxn& txn) { return write_rows(txn, *waiting, options); };
  entry.done = [state = state_, bytes = waiting->size()](const Status& outcome) { state->moved(bytes, outcome); };
  if (auto queued = writer_.enqueue(std::move(entry)); !queued) state_->moved(0, tl::unexpected(queued.error()));
}

Result<std::vector<SolveRow>> solve_history(Env& env, const HostPath& root) {
  std::map<SolveId, SolveRow> all;
  const auto take = [&](std::string_view bytes) {
    auto row = base::Codec<SolveRow>::decode(bytes);
    if (row) all.insert_or_assign(row->id, std::move(*row));
  };
  const std::string waiting = TRY(read_waiting(root));
  for (const std::string_view bytes : decode_waiting(waiting)) take(bytes);
  TRY(env.view([&](ReadTxn& txn) {
    const auto visit = [&](std::string_view, std::string_view bytes) -> Result<Scan> {
      take(bytes);
      return Scan::next;
    };
    return txn.scan_all(table::history, {}, visit, [](std::string_view) {});
  }));
  std::vector<SolveRow> rows;
  for (auto& [id, row] : all) rows.push_back(std::move(row));
  return rows;
}

Result<std::optional<SolveRow>> find_solve(Env& env, const HostPath& root, SolveId id) {
  const std::string waiting = TRY(read_waiting(root));  // first: what waits may move
  std::optional<SolveRow> found;
  TRY(env.view([&](ReadTxn& txn) -> Status {
    found = TRY(txn.get(table::history, id));
    return {};
  }));
  if (found) return found;
  for (const std::string_view bytes : decode_waiting(waiting)) {
    const auto row = base::Codec<SolveRow>::decode(bytes);
    if (row && row->id == id) return std::optional<SolveRow>(*row);
  }
  return std::optional<SolveRow>();
}

}  // namespace cairn::cache
