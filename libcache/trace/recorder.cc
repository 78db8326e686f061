// SPDX-License-Identifier: Apache-2.0
// Recording: the file is made by whoever wants the trace, and the owner of the store appends to it as long as it has its name.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "libbase/codec.h"
#include "libbase/crash_point.h"
#include "libbase/fs/beneath.h"
#include "libbase/fs/host_tree.h"
#include "libbase/log/log.h"
#include "libcache/account/account.h"
#include "libcache/account/totals.h"
#include "libcache/gc/candidates.h"
#include "libcache/keys/key_rows.h"
#include "libcache/records/record_rows.h"
#include "libcache/records/scan.h"
#include "libcache/trace.h"

namespace cairn::cache {

using base::ErrorCode;
using base::HostPath;
using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;

namespace {

constexpr std::size_t description_max = 256;
constexpr std::size_t keys_max = 32;
constexpr std::size_t records_per_row = 1000;
const std::size_t header_bytes = trace_header(0).size();

Result<TracedRecord> describe_record(ReadTxn& txn, RecordId id, const RecordRow& row) {
  const RecordInfo info = to_info(id, row);
  TracedRecord record;
  record.id = id;
  record.type = info.facts.type;
  record.bytes = freed_by(info);
  record.build_time = std::max(info.facts.build_time, std::chrono::nanoseconds(0));
  record.last_used = info.last_used;
  record.use_count = info.use_count;
  record.description = info.facts.description.substr(0, description_max);
  record.parents = info.parents;
  TRY(txn.scan_raw(table::record_keys, key_prefix(id), {}, [&](std::string_view raw, std::string_view) -> Result<Scan> {
    using Key = base::Codec<std::tuple<RecordId, KeyDigest>>;
    const auto key = TRY(Key::decode(raw));
    record.keys.push_back(traced(std::get<1>(key)));
    return record.keys.size() < keys_max ? Scan::next : Scan::stop;
  }));
  return record;
}

// Metadata, the journal, and blobs that no record names.
Result<std::int64_t> bytes_of_no_record(base::lmdb::Env& env) {
  std::int64_t of_records = 0;
  TRY(env.view([&](ReadTxn& txn) -> Status {
    of_records = 0;
    for (std::uint8_t type = 0; type <= static_cast<std::uint8_t>(RecordType::source_git_checkout); ++type) {
      const Totals total = TRY(total_of(txn, {TotalKind::type, std::string(to_string(static_cast<RecordType>(type)))}));
      of_records += total.exclusive_bytes + total.shared_bytes;
    }
    return {};
  }));
  return std::max<std::int64_t>(TRY(live_bytes(env)) - of_records, 0);
}

Result<TraceStanding> standing_of(int fd) {
  struct ::stat status {};
  if (::fstat(fd, &status) != 0) return base::fail_errno(errno, "look at the trace");
  std::string header(header_bytes, '\0');
  const ssize_t read = ::pread(fd, header.data(), header.size(), 0);
  if (read != static_cast<ssize_t>(header.size())) return base::fail(ErrorCode::corrupt, "the trace has no header");
  TRY(parse_trace(header));
  base::ByteReader reader(std::string_view(header).substr(header_bytes - 8));
  return TraceStanding{static_cast<std::uint64_t>(status.st_size), TRY(reader.u64())};
}

}  // namespace

Status begin_trace(base::lmdb::Env& env, const HostPath& root, std::uint64_t bytes_max) {
  if (bytes_max == 0 || bytes_max > trace_bytes_max)
    return base::fail(ErrorCode::invalid_argument, "a trace of {} bytes: want 1 to {}", bytes_max, trace_bytes_max);
  std::string bytes = trace_header(bytes_max);
  std::vector<TracedRecord> records;
  TRY(each_row(env, table::records, [&](ReadTxn& txn, const RecordId& id, const RecordRow& row) -> Status {
    records.push_back(TRY(describe_record(txn, id, row)));
    if (records.size() == records_per_row) bytes += trace_row(std::exchange(records, {}), Met::at_begin);
    return {};
  }));
  if (!records.empty()) bytes += trace_row(records, Met::at_begin);
  const HostPath made = root / ("tmp/trace-" + std::to_string(::getpid()));
  TRY(base::make_host_dirs(root / "tmp"), "begin a trace");
  TRY(base::write_file_atomic(made, bytes, base::Durable::no), "begin a trace");
  CRASH_POINT("cache.trace.written");
  const int linked = ::link(made.c_str(), (root / trace_file).c_str());
  const int why = errno;
  ::unlink(made.c_str());
  if (linked != 0 && why == EEXIST) {
    auto error = base::fail(ErrorCode::busy, "store {} is being traced already", root.str());
    error.value().hint = "cachectl trace record off ends that";
    return error;
  }
  if (linked != 0) return base::fail_errno(why, "begin a trace of {}", root.str());
  return {};
}

Status end_trace(const HostPath& root, const std::optional<HostPath>& to) {
  const HostPath from = root / trace_file;
  if (::access(from.c_str(), F_OK) != 0) return base::fail(ErrorCode::not_found, "store {} is not being traced", root.str());
  if (!to) {
    if (::unlink(from.c_str()) != 0) return base::fail_errno(errno, "delete {}", from.str());
    return {};
  }
  if (::rename(from.c_str(), to->c_str()) == 0) return {};
  if (errno != EXDEV) return base::fail_errno(errno, "move the trace to {}", to->str());
  const std::string bytes = TRY(base::read_file(from, 2 * trace_bytes_max));
  TRY(base::write_file_atomic(*to, bytes, base::Durable::no));
  if (::unlink(from.c_str()) != 0) return base::fail_errno(errno, "delete {}", from.str());
  return {};
}

Result<std::optional<TraceStanding>> trace_standing(const HostPath& root) {
  const auto fd = base::open_host(root / trace_file, O_RDONLY);
  if (!fd && fd.error().code == ErrorCode::not_found) return std::optional<TraceStanding>();
  if (!fd) return tl::unexpected(fd.error());
  return std::optional<TraceStanding>(TRY(standing_of(fd->get())));
}

bool TraceRecorder::is_on() { return ::access((root_ / trace_file).c_str(), F_OK) == 0; }

std::uint64_t TraceRecorder::dropped() const { return state_.lock()->dropped; }

// The file may have gone, and another one have come, since the last solve.
Status TraceRecorder::open(State& state) {
  struct ::stat named {};
  if (::stat((root_ / trace_file).c_str(), &named) != 0) return base::fail_errno(errno, "look at the trace");
  if (state.fd && named.st_ino == state.inode) return {};
  base::Fd fd = TRY(base::open_host(root_ / trace_file, O_RDWR | O_APPEND));
  struct ::stat opened {};
  if (::fstat(fd.get(), &opened) != 0) return base::fail_errno(errno, "look at the trace");
  state.bytes_max = std::min(TRY(standing_of(fd.get())).bytes_max, trace_bytes_max);
  state.inode = opened.st_ino;
  state.described.clear();
  state.full = false;
  // Behind what a crash has left half, nothing would be found.
  const std::string before = TRY(base::read_file(root_ / trace_file, 2 * trace_bytes_max));
  const Trace trace = TRY(parse_trace(before));
  if (trace.unread_bytes > 0 && ::ftruncate(fd.get(), static_cast<off_t>(before.size() - trace.unread_bytes)) != 0)
    return base::fail_errno(errno, "cut the trace");
  for (const TracedRecord& record : trace.records) state.described.insert(record.id);
  state.fd = std::move(fd);
  return {};
}

// What the trace has not met yet.
Result<std::string> TraceRecorder::describe(State& state, const TracedSolve& solve) {
  std::vector<RecordId> open;
  for (const TracedLookup& lookup : solve.lookups)
    if (lookup.record && !state.described.contains(lookup.record)) open.push_back(lookup.record);
  if (open.empty()) return std::string();
  std::vector<TracedRecord> records;
  TRY(env_.view([&](ReadTxn& txn) -> Status {
    while (!open.empty()) {
      const RecordId id = open.back();
      open.pop_back();
      const auto row = TRY(txn.get(table::records, id));
      if (!row || !state.described.insert(id).second) continue;
      records.push_back(TRY(describe_record(txn, id, *row)));
      for (const RecordId parent : records.back().parents)
        if (!state.described.contains(parent)) open.push_back(parent);
    }
    return {};
  }));
  return records.empty() ? std::string() : trace_row(records);
}

void TraceRecorder::add(TracedSolve solve) {
  auto state = state_.lock();
  const auto keep = [&]() -> Status {
    TRY(open(*state));
    if (state->full) return base::fail(ErrorCode::no_space, "the trace is full");
    solve.other_bytes = TRY(bytes_of_no_record(env_));
    const std::string rows = TRY(describe(*state, solve)) + trace_row(solve);
    struct ::stat status {};
    if (::fstat(state->fd.get(), &status) != 0) return base::fail_errno(errno, "look at the trace");
    state->full = static_cast<std::uint64_t>(status.st_size) + rows.size() > state->bytes_max;
    if (state->full) return base::fail(ErrorCode::no_space, "the trace of {} is full with {} bytes", root_.str(), status.st_size);
    if (Status written = base::write_full(state->fd.get(), rows); !written) {
      (void)::ftruncate(state->fd.get(), status.st_size);
      return written;
    }
    return {};
  };
  const Status kept = keep();
  if (kept) return;
  if (!state->full) state->fd.reset();  // what it was told of is not all there
  if (state->dropped++ == 0) base::log_warning("a solve is missing in the trace: {}", kept.error().message);
}

}  // namespace cairn::cache
