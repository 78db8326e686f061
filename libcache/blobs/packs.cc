// SPDX-License-Identifier: Apache-2.0
#include "libcache/blobs/packs.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "libbase/compress/crc32c.h"
#include "libbase/crash_point.h"
#include "libbase/fs/beneath.h"
#include "libbase/log/log.h"
#include "libcache/blobs/positioned.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Fd;
using base::HostPath;
using base::Result;
using base::Status;
using base::lmdb::DataToken;

namespace {

// A write-back error is told to whoever had the file open then, so packs stay open while appends to them may be unsynced.
constexpr std::uint64_t packs_written_max = 8;
constexpr std::string_view padding{"\0\0\0\0\0\0\0\0", 8};

std::uint64_t round_up(std::uint64_t size) { return (size + 7) / 8 * 8; }

Result<std::uint64_t> random_salt() {
  std::uint64_t salt = 0;
  if (::getrandom(&salt, sizeof salt, 0) != sizeof salt) return base::fail_errno(errno, "get random bytes");
  return salt;
}

}  // namespace

Result<std::vector<std::uint64_t>> list_packs(const HostPath& root) { return list_packs_in(root / "blobs/packs"); }

Result<std::vector<std::uint64_t>> list_packs_in(const HostPath& packs) {
  std::vector<std::uint64_t> ids;
  const auto dir = base::open_host_dir(packs);
  if (!dir && dir.error().code == ErrorCode::not_found) return ids;
  if (!dir) return tl::unexpected(dir.error());
  const auto entries = TRY(base::list_dir(dir->get()));
  for (const base::DirEntry& entry : entries)
    if (const auto id = parse_pack_name(entry.name)) ids.push_back(*id);
  std::sort(ids.begin(), ids.end());
  return ids;
}

Result<std::shared_ptr<const PackFile>> open_pack_file(const HostPath& path, std::uint64_t id, int flags) {
  auto pack = std::make_shared<PackFile>();
  pack->file = TRY(base::open_host(path, flags | O_NOFOLLOW));
  std::array<char, pack_header_size> bytes;
  const std::size_t count = TRY(read_at(pack->file.get(), 0, bytes.data(), bytes.size()), "read {}", path.str());
  pack->identity = TRY(decode_pack_header({bytes.data(), count}), "read {}", path.str());
  if (pack->identity.id != id) return base::fail(ErrorCode::corrupt, "{}: it is pack {}", path.str(), pack->identity.id);
  return std::shared_ptr<const PackFile>(std::move(pack));
}

Result<std::shared_ptr<Packs>> Packs::open(const HostPath& root, Options options) {
  const HostPath dir = root / "blobs/packs";
  if (::mkdir(dir.c_str(), 0755) == 0) {
    const Fd parent = TRY(base::open_host_dir(root / "blobs"));
    TRY(base::sync_file(parent.get()));
  } else if (errno != EEXIST) {
    return base::fail_errno(errno, "create {}", dir.str());
  }
  std::shared_ptr<Packs> packs(new Packs(dir, options));
  struct ::stat own {}, trees {};
  packs->beside_trees_ = ::stat(dir.c_str(), &own) == 0 && ::stat((root / "trees").c_str(), &trees) == 0 &&
                         own.st_dev == trees.st_dev;
  const std::vector<std::uint64_t> ids = TRY(list_packs(root));
  if (!ids.empty()) packs->active_.next_id = ids.back() + 1;
  if (!ids.empty()) TRY(packs->adopt_last());
  return packs;
}

// Many short-lived owners would else leave many small packs. One that is damaged, or full, is left as it is.
Status Packs::adopt_last() {
  const std::uint64_t id = active_.next_id - 1;
  auto pack = open_pack_file(path_of(id), id, O_RDWR);
  if (!pack) {
    base::log_warning("a new pack is begun: {}", pack.error().message);
    return {};
  }
  const auto stat = TRY(base::stat_fd((*pack)->file.get()));
  const std::uint64_t end = round_up(static_cast<std::uint64_t>(stat.st_size));
  if (end >= options_.pack_bytes_max) return {};
  active_.pack = std::move(*pack);
  active_.end = end;
  (*open_.lock())[id] = active_.pack;
  (*written_.lock())[id] = active_.pack;
  return {};
}

Result<std::shared_ptr<const PackFile>> Packs::create(std::uint64_t id) {
  auto pack = std::make_shared<PackFile>();
  pack->identity = {id, TRY(random_salt())};
  pack->file = TRY(base::open_host(path_of(id), O_RDWR | O_CREAT | O_EXCL, 0644), "begin a pack");
  const Status written = base::write_full(pack->file.get(), encode_pack_header(pack->identity));
  if (!written) {
    ::unlink(path_of(id).c_str());
    return tl::unexpected(written.error());
  }
  name_is_new_ = true;
  CRASH_POINT("cache.pack.begun");
  return std::shared_ptr<const PackFile>(std::move(pack));
}

Result<Appended> Packs::take_place(std::uint64_t bytes) {
  const std::lock_guard turn(append_turn_);
  if (active_.pack && active_.end + bytes > options_.pack_bytes_max && active_.end > pack_header_size)
    active_.pack = nullptr;
  if (!active_.pack) {
    const std::uint64_t id = active_.next_id++;
    active_.pack = TRY(create(id));
    active_.end = pack_header_size;
    (*open_.lock())[id] = active_.pack;
    auto written = written_.lock();
    std::erase_if(*written, [id](const auto& older) {
      return older.first + packs_written_max < id && older.second->appending == 0;
    });
    (*written)[id] = active_.pack;
  }
  ++active_.pack->appending;
  Appended place(active_.pack, active_.end);
  active_.end += bytes;
  return place;
}

Result<Appended> Packs::append(EntryHeader header, std::string_view payload) {
  if (payload.size() > entry_payload_max)
    return base::fail(ErrorCode::invalid_argument, "append to a pack: {} bytes", payload.size());
  header.size = payload.size();
  header.checksum = base::crc32c(payload);
  const std::uint64_t bytes = entry_bytes(payload.size());
  Appended place = TRY(take_place(bytes), "append to a pack");
  const std::size_t pad = static_cast<std::size_t>(bytes - entry_header_size - payload.size());
  TRY(write_three_at(place.pack().file.get(), place.at().offset,
                     encode_entry_header(header, place.pack().identity.salt, place.at().offset), payload,
                     padding.substr(0, pad)),
      "append to pack {}", pack_name(place.at().pack));
  return place;
}

Status Packs::sync(std::span<const DataToken> tokens, WholeFilesystem whole) {
  if (whole == WholeFilesystem::synced && beside_trees_) return {};
  bool any = false;
  for (const DataToken data : tokens) {
    if ((data >> 63) == 0) continue;
    any = true;
    const std::uint64_t id = data & ~(std::uint64_t{1} << 63);
    if (id == 0) continue;
    std::shared_ptr<const PackFile> pack;
    {
      auto written = written_.lock();
      if (const auto found = written->find(id); found != written->end()) pack = found->second;
    }
    if (!pack) pack = TRY(open_pack(id), "sync pack {}", pack_name(id));
    TRY(base::sync_data(pack->file.get()), "sync pack {}", pack_name(id));
  }
  if (any && name_is_new_.exchange(false)) {
    const Fd dir = TRY(base::open_host_dir(dir_));
    TRY(base::sync_file(dir.get()), "sync {}", dir_.str());
  }
  return {};
}

Result<std::shared_ptr<const PackFile>> Packs::open_pack(std::uint64_t id) {
  {
    auto open = open_.lock();
    if (const auto found = open->find(id); found != open->end()) return found->second;
  }
  auto opened = TRY(open_pack_file(path_of(id), id, O_RDONLY));
  auto open = open_.lock();
  if (open->size() >= options_.open_max) open->erase(open->begin());
  (*open)[id] = opened;
  return opened;
}

Result<std::string> Packs::read(const PackLocation& at, EntryKind kind, const BlobDigest& digest, std::uint64_t size) {
  const auto pack = TRY(open_pack(at.pack), "read pack {}", pack_name(at.pack));
  if (size > entry_payload_max) return base::fail(ErrorCode::corrupt, "read pack: an entry of {} bytes", size);
  std::array<char, entry_header_size> head;
  std::string payload(static_cast<std::size_t>(size), '\0');
  const std::size_t count =
      TRY(read_two_at(pack->file.get(), at.offset, head.data(), head.size(), payload.data(), payload.size()),
          "read pack {}", pack_name(at.pack));
  const auto damaged = [&](std::string_view what) {
    return base::fail(ErrorCode::corrupt, "pack {}, entry at {}: {}", pack_name(at.pack), at.offset, what);
  };
  if (count != head.size() + payload.size()) return damaged("cut short");
  const auto header = decode_entry_header({head.data(), head.size()}, pack->identity.salt, at.offset);
  if (!header) return damaged(header.error().message);
  if (header->kind != kind || header->digest != digest || header->size != size) return damaged("it is another");
  if (header->checksum != base::crc32c(payload)) return damaged("its bytes have changed");
  return payload;
}

std::uint64_t Packs::seal() {
  std::uint64_t first = 0;
  {
    const std::lock_guard turn(append_turn_);
    const bool empty = active_.pack && active_.end == pack_header_size;
    if (!empty) active_.pack = nullptr;
    first = empty ? active_.pack->identity.id : active_.next_id;
  }
  const OpenPacks written = *written_.lock();
  for (const auto& [id, pack] : written) {
    if (id >= first) continue;
    for (std::uint32_t count = pack->appending; count != 0; count = pack->appending) pack->appending.wait(count);
  }
  return first;
}

Status Packs::remove(std::uint64_t id) {
  open_.lock()->erase(id);
  written_.lock()->erase(id);
  if (::unlink(path_of(id).c_str()) != 0 && errno != ENOENT) return base::fail_errno(errno, "delete {}", path_of(id).str());
  return {};
}

}  // namespace cairn::cache
