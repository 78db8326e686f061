// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/drivers/send_stream.h"

#include <cstdint>
#include <optional>

#include "libbase/codec.h"

namespace cairn::snapshot {
namespace {

using base::ErrorCode;
using base::fail;
using base::Status;

constexpr std::string_view magic("btrfs-stream\0", 13);

// The numbers of version 1 (fs/btrfs/send.h).
enum Command : std::uint16_t {
  subvol = 1, snapshot, mkfile, mkdir, mknod, mkfifo, mksock, symlink, rename, link, unlink, rmdir, set_xattr,
  remove_xattr, write, clone, truncate, chmod, chown, utimes, end, update_extent
};
enum Attribute : std::uint16_t { path = 15, path_to = 16, path_link = 17 };

struct Names {
  std::optional<std::string_view> path, to, link;
};

base::Result<std::uint16_t> read_u16(base::ByteReader& reader) {
  const unsigned low = TRY(reader.u8());
  const unsigned high = TRY(reader.u8());
  return static_cast<std::uint16_t>(low | high << 8);
}

base::Result<Names> read_attributes(std::string_view payload) {
  base::ByteReader reader(payload);
  Names names;
  while (!reader.at_end()) {
    const auto type = TRY(read_u16(reader));
    const auto size = TRY(read_u16(reader));
    const auto value = TRY(reader.raw(size));
    if (type == Attribute::path) names.path = value;
    if (type == Attribute::path_to) names.to = value;
    if (type == Attribute::path_link) names.link = value;
  }
  return names;
}

// True after the last command.
base::Result<bool> run(std::uint16_t command, std::string_view payload, TouchedPaths& touched) {
  using Reach = TouchedPaths::Reach;
  if (command == Command::end) return true;
  if (command < Command::subvol || command > Command::update_extent) {
    return fail(ErrorCode::corrupt, "send stream: command {} is not known", command);
  }
  const auto names = TRY(read_attributes(payload), "send stream, command {}", command);
  if (command == Command::subvol || command == Command::snapshot) return false;  // the name of the whole
  if (!names.path) return fail(ErrorCode::corrupt, "send stream: command {} names no path", command);
  touched.add(*names.path, Reach::itself);
  if (command == Command::rename) {
    if (!names.to) return fail(ErrorCode::corrupt, "send stream: a rename to nothing");
    touched.add(*names.to, Reach::whole);
  }
  // The other names of what gets a new link belong to it.
  if (command == Command::link && names.link) touched.add(*names.link, Reach::itself);
  return false;
}

}  // namespace

void TouchedPaths::add(std::string_view path, Reach reach) {
  touched_.emplace(path);
  if (reach == Reach::whole) whole_.emplace(path);
  while (on_the_way_.emplace(path).second && !path.empty()) {
    const auto slash = path.rfind('/');
    path = slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
  }
}

bool TouchedPaths::may_differ(std::string_view path) const {
  if (on_the_way_.contains(std::string(path))) return true;
  while (!path.empty()) {
    if (whole_.contains(std::string(path))) return true;
    const auto slash = path.rfind('/');
    path = slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
  }
  return whole_.contains("");
}

Status read_send_stream(std::string_view stream, TouchedPaths& touched) {
  base::ByteReader reader(stream);
  if (TRY(reader.raw(magic.size()), "send stream") != magic) return fail(ErrorCode::corrupt, "no send stream");
  if (const auto version = TRY(reader.u32()); version != 1) {
    return fail(ErrorCode::corrupt, "send stream of version {}", version);
  }
  while (true) {
    const auto size = TRY(reader.u32(), "send stream");
    const auto command = TRY(read_u16(reader), "send stream");
    (void)TRY(reader.u32(), "send stream");  // a checksum; the stream has been in memory only
    if (TRY(run(command, TRY(reader.raw(size), "send stream"), touched))) return {};
  }
}

}  // namespace cairn::snapshot
