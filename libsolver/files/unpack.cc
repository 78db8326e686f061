// SPDX-License-Identifier: Apache-2.0
#include "libsolver/files/unpack.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "libbase/compress/archive_decoder.h"
#include "libbase/fs/beneath.h"
#include "libbase/fs/file_source.h"
#include "libbase/read_full.h"
#include "libsnapshot/layer.h"

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::fail_errno;
using base::Fd;
using base::Result;
using base::Status;

namespace {

constexpr std::size_t block = 512;
constexpr std::uint64_t extended_max = 1 << 20;  // of the headers that carry long names

// How much an archive may unpack to: as a layer of its size, whatever it is compressed with.
std::uint64_t unpacked_max(std::uint64_t size) {
  const snapshot::ApplyOptions limits;
  if (size > limits.unpacked_max / limits.ratio_max) return limits.unpacked_max;
  return std::max(limits.ratio_free, limits.ratio_max * size);
}

Result<std::string> first_bytes(int file) {
  std::array<char, 6> bytes{};
  const ssize_t count = ::pread(file, bytes.data(), bytes.size(), 0);
  if (count < 0) return fail_errno(errno, "read an archive");
  return std::string(bytes.data(), static_cast<std::size_t>(count));
}

Result<std::unique_ptr<base::ByteSource>> open_archive(int file) {
  const base::ArchiveCompression compression = base::detect_archive_compression(TRY(first_bytes(file)));
  const auto size = static_cast<std::uint64_t>(TRY(base::stat_fd(file)).st_size);
  // A descriptor of its own, since what reads may outlive the caller's.
  Fd own(::fcntl(file, F_DUPFD_CLOEXEC, 0));
  if (!own) return fail_errno(errno, "open an archive");
  return base::make_archive_decoder(compression, std::make_unique<base::FileSource>(std::move(own)), unpacked_max(size));
}

// A number in a header: octal text, or binary after a first byte with the highest bit set.
std::uint64_t number_in(std::string_view field) {
  std::uint64_t value = 0;
  if (!field.empty() && (static_cast<unsigned char>(field[0]) & 0x80) != 0) {
    for (const char byte : field.substr(1)) value = value << 8 | static_cast<unsigned char>(byte);
    return value;
  }
  for (const char digit : field) {
    if (digit >= '0' && digit <= '7') value = value * 8 + static_cast<std::uint64_t>(digit - '0');
    else if (digit != ' ') break;
  }
  return value;
}

bool is_header(std::string_view header) {
  constexpr std::size_t sum_at = 148, sum_size = 8;
  std::int64_t bytes = 0, signed_bytes = 0;
  for (std::size_t i = 0; i < block; ++i) {
    const char byte = i >= sum_at && i < sum_at + sum_size ? ' ' : header[i];
    bytes += static_cast<unsigned char>(byte);
    signed_bytes += static_cast<signed char>(byte);
  }
  const auto sum = static_cast<std::int64_t>(number_in(header.substr(sum_at, sum_size)));
  const bool has_bytes = header.find_first_not_of('\0') != std::string_view::npos;
  return has_bytes && (sum == bytes || sum == signed_bytes);
}

// Reads headers and passes over what follows them.
class HeaderWalk {
 public:
  explicit HeaderWalk(std::unique_ptr<base::ByteSource> source) : source_(std::move(source)) {}

  // The next header; "" at the end of what can be read as an archive.
  std::string next() {
    std::string header = take(block);
    return header.size() == block && is_header(header) ? header : std::string();
  }
  // What follows a header; only passed over if it is longer than `keep`. false: it ends too early.
  bool body(const std::string& header, std::uint64_t keep, std::string& out) {
    const std::uint64_t size = number_in(std::string_view(header).substr(124, 12));
    if (size > snapshot::ApplyOptions().unpacked_max) return false;
    const std::uint64_t padded = (size + block - 1) / block * block;
    if (size <= keep) {
      out = take(padded);
      return out.size() == padded;
    }
    for (std::uint64_t left = padded; left > 0;) {
      const std::size_t taken = take(static_cast<std::size_t>(std::min<std::uint64_t>(left, 1 << 20))).size();
      if (taken == 0) return false;
      left -= taken;
    }
    return true;
  }

 private:
  std::string take(std::uint64_t size) {
    std::string out(size, '\0');
    out.resize(base::read_full(*source_, std::span<char>(out)).value_or(0));
    return out;
  }

  std::unique_ptr<base::ByteSource> source_;
};

// Does a name in it begin with what makes a name of a layer a removal?
bool names_whiteout(std::string_view names) {
  constexpr std::string_view mark = ".wh.";
  for (std::size_t at = names.find(mark); at != std::string_view::npos; at = names.find(mark, at + 1)) {
    if (at == 0 || names[at - 1] == '/' || names[at - 1] == '=') return true;
  }
  return false;
}

bool carries_a_name(char type) { return type == 'x' || type == 'g' || type == 'L'; }

}  // namespace

Result<bool> is_archive(int file) {
  HeaderWalk walk(TRY(open_archive(file)));
  std::string header = walk.next();
  if (header.empty()) return false;
  for (; !header.empty(); header = walk.next()) {
    const std::string_view text = header;
    std::string long_name;
    const bool has_body = walk.body(header, carries_a_name(header[156]) ? extended_max : 0, long_name);
    if (names_whiteout(text.substr(0, 100)) || names_whiteout(long_name)) {
      return fail(ErrorCode::unavailable, "not supported: unpacking an archive in which a name begins with .wh.");
    }
    if (!has_body) break;  // unpacking it says what is wrong
  }
  return true;
}

namespace {

// Gives everything that is unpacked to one owner.
class OwnerGiver final : public snapshot::LayerObserver {
 public:
  OwnerGiver(int directory, Ownership owner) : directory_(directory), owner_(owner) {}
  const Status& outcome() const { return outcome_; }

  void begin_file(const File& says) override { mode_ = says.mode; }
  void bytes(std::uint64_t, std::span<const char>) override {}
  void made_file(const base::TreePath&, int file) override {
    // A change of the owner takes set-id bits away.
    note(::fchown(file, owner_.uid, owner_.gid) == 0 && ::fchmod(file, mode_ & 07777) == 0);
  }
  void made_other(const base::TreePath&, int directory, const std::string& name) override {
    note(::fchownat(directory, name.c_str(), owner_.uid, owner_.gid, AT_SYMLINK_NOFOLLOW) == 0);
  }
  void made_link(const base::TreePath&, const base::TreePath&, int directory, const std::string& name) override {
    note(::fchownat(directory, name.c_str(), owner_.uid, owner_.gid, AT_SYMLINK_NOFOLLOW) == 0);
  }
  void made_directory(const base::TreePath& path) override {
    const auto made = base::open_beneath(directory_, path, O_RDONLY | O_DIRECTORY);
    if (made) note(::fchown(made->get(), owner_.uid, owner_.gid) == 0);
    else if (outcome_) outcome_ = tl::make_unexpected(made.error());
  }
  void removed(const base::TreePath&) override {}

 private:
  void note(bool done) {
    if (!done && outcome_) outcome_ = fail_errno(errno, "set the owner of what was unpacked");
  }

  int directory_;
  Ownership owner_;
  mode_t mode_ = 0;
  Status outcome_;
};

}  // namespace

Status unpack(int file, int directory, std::optional<Ownership> owner, std::stop_token stop) {
  Fd own(::fcntl(directory, F_DUPFD_CLOEXEC, 0));
  if (!own) return fail_errno(errno, "open what is unpacked to");
  const snapshot::MountedTree tree(std::move(own));
  OwnerGiver giver(directory, owner.value_or(Ownership{}));
  snapshot::ApplyOptions options;
  options.observer = owner ? &giver : nullptr;
  options.stop = std::move(stop);
  // Decompressed here, because some formats of archives are none of layers.
  TRY(snapshot::apply_layer(tree, TRY(open_archive(file)), options), "unpack");
  return giver.outcome();
}

}  // namespace cairn::solver
