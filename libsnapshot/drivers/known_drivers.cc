// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/drivers/known_drivers.h"

#include <sys/statfs.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "libbase/fs/beneath.h"
#include "libbase/hash/sha256.h"
#include "libsnapshot/digests.h"
#include "libsnapshot/mounts/user_namespace.h"

namespace cairn::snapshot {
namespace {

using base::ErrorCode;
using base::fail;

constexpr std::size_t bytes_max = 64 * 1024;
constexpr std::string_view first_line = "cairn drivers 1\n";

base::HostPath file_of(const base::HostPath& root) { return root / "drivers"; }

// The line of /proc/self/status that tells what we may do.
base::Result<std::string> read_capabilities() {
  static const auto path = base::HostPath::parse("/proc/self/status").value();
  const auto text = TRY(base::read_file(path, 1 << 20));
  const auto start = text.find("\nCapEff:");
  if (start == std::string::npos) return fail(ErrorCode::unavailable, "{} names no capabilities", path.str());
  return text.substr(start + 9, text.find('\n', start + 1) - start - 9);
}

std::string one_line(std::string text) {
  std::replace_if(text.begin(), text.end(), [](char c) { return c == '\n' || c == '\t'; }, ' ');
  return text;
}

std::string checksum(std::string_view bytes) { return base::digest_of<BlobDigest>(bytes).str(); }

}  // namespace

base::Result<std::string> describe_place(const base::HostPath& root) {
  struct ::statfs fs {};
  struct ::utsname kernel {};
  if (::statfs(root.c_str(), &fs) != 0) return base::fail_errno(errno, "look at the file system of {}", root.str());
  if (::uname(&kernel) != 0) return base::fail_errno(errno, "ask for the kernel's release");
  std::uint64_t fsid = 0;
  static_assert(sizeof fsid == sizeof fs.f_fsid);
  std::memcpy(&fsid, &fs.f_fsid, sizeof fsid);
  return one_line(fmt::format("file system {:x} {:x}, kernel {} {}, users {}, privileges {}",
                              static_cast<std::uint32_t>(fs.f_type), fsid, kernel.release, kernel.version,
                              TRY(read_uid_map()), TRY(read_capabilities())));
}

KnownDrivers KnownDrivers::load(const base::HostPath& root, std::string place) {
  KnownDrivers known(std::move(place));
  const auto bytes = base::read_file(file_of(root), bytes_max);
  if (!bytes) return known;
  if (auto answers = decode(*bytes, known.place_)) known.answers_ = std::move(*answers);
  return known;
}

std::optional<std::string> KnownDrivers::find(const std::string& driver) const {
  const auto found = answers_.find(driver);
  return found == answers_.end() ? std::nullopt : std::optional(found->second);
}

void KnownDrivers::remember(const std::string& driver, const std::string& why_not) {
  answers_[driver] = one_line(why_not);
  changed_ = true;
}

base::Status KnownDrivers::save(const base::HostPath& root) const {
  if (!changed_) return {};
  return base::write_file_atomic(file_of(root), encode(place_, answers_), base::Durable::no);
}

std::string KnownDrivers::encode(const std::string& place, const std::map<std::string, std::string>& answers) {
  std::string text(first_line);
  text += place + "\n";
  for (const auto& [driver, why_not] : answers) text += driver + "\t" + why_not + "\n";
  return text + checksum(text) + "\n";
}

base::Result<std::map<std::string, std::string>> KnownDrivers::decode(std::string_view bytes,
                                                                      const std::string& place) {
  const auto damaged = [] { return fail(ErrorCode::corrupt, "the file of known drivers is damaged"); };
  if (!bytes.starts_with(first_line) || !bytes.ends_with('\n')) return damaged();
  const auto last = bytes.rfind('\n', bytes.size() - 2) + 1;
  if (bytes.substr(last, bytes.size() - last - 1) != checksum(bytes.substr(0, last))) return damaged();
  auto lines = bytes.substr(first_line.size(), last - first_line.size());
  const auto next = [&] {
    const auto end = lines.find('\n');
    const auto line = lines.substr(0, end);
    lines.remove_prefix(end == std::string_view::npos ? lines.size() : end + 1);
    return line;
  };
  if (next() != place) return fail(ErrorCode::unavailable, "the file of known drivers is of another place");
  std::map<std::string, std::string> answers;
  while (!lines.empty()) {
    const auto line = next();
    const auto tab = line.find('\t');
    if (tab == std::string_view::npos) return damaged();
    answers.emplace(line.substr(0, tab), line.substr(tab + 1));
  }
  return answers;
}

}  // namespace cairn::snapshot
