// SPDX-License-Identifier: Apache-2.0
#include "libsolver/sources/http_download.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "libbase/fs/beneath.h"

namespace cairn::solver {

base::Result<std::string> write_download(const snapshot::MountedTree& tree, const DownloadedFile& file,
                                         cache::FetchAnswer& answer, const DownloadRules& rules,
                                         const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
  const base::TreePath path = TRY(base::TreePath::parse(file.name));
  const base::Fd fd = TRY(base::open_beneath(tree.fd(), path, O_WRONLY | O_CREAT | O_EXCL, 0600), "write {}", file.name);
  const auto too_large = [&] {
    return base::fail(base::ErrorCode::invalid_argument, "{} has more than {} bytes", file.name, rules.bytes_max);
  };
  if (answer.size.value_or(0) > rules.bytes_max) return too_large();
  base::Sha2Hash hash(rules.algorithm);
  std::uint64_t done = 0;
  std::vector<std::byte> buffer(256 << 10);
  while (const std::size_t count = TRY(answer.body->read(buffer))) {
    const std::span<const std::byte> bytes(buffer.data(), count);
    if (count > rules.bytes_max - done) return too_large();
    hash.update(bytes);
    TRY(base::write_full(fd.get(), bytes), "write {}", file.name);
    done += count;
    progress(done, answer.size.value_or(0));
  }
  const auto failed = [&](const char* what) { return base::fail_errno(errno, "{} of {}", what, file.name); };
  if (::fchown(fd.get(), static_cast<uid_t>(file.uid), static_cast<gid_t>(file.gid)) != 0) return failed("set the owner");
  if (::fchmod(fd.get(), static_cast<mode_t>(file.mode)) != 0) return failed("set the mode");
  const struct ::timespec times[2] = {{file.mtime, 0}, {file.mtime, 0}};
  if (::futimens(fd.get(), times) != 0) return failed("set the time");
  return hash.finish();
}

}  // namespace cairn::solver
