// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/tar/tar_reader.h"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <tuple>
#include <string>
#include <utility>
#include <vector>

#include "libsnapshot/tar/header_check.h"
#include "libsnapshot/tar/metadata.h"

namespace cairn::snapshot {
namespace {

using base::ErrorCode;
using base::fail;

// Extended headers of a member beyond this are refused: names and xattrs are bounded by the kernel to far less.
constexpr std::size_t header_bytes_max = 8u << 20;

// libarchive converts names between the archive's character set and the locale's, and normalises Unicode on the way.
// In the "C" locale every conversion fails and it keeps the bytes, which is what a tree wants.
class PlainLocale {
 public:
  PlainLocale() : previous_(::uselocale(plain())) {}
  ~PlainLocale() { ::uselocale(previous_); }
  PlainLocale(const PlainLocale&) = delete;
  PlainLocale& operator=(const PlainLocale&) = delete;

 private:
  static locale_t plain() {
    static const locale_t locale = ::newlocale(LC_ALL_MASK, "C", nullptr);
    return locale;
  }
  locale_t previous_;
};

std::string text_or_empty(const char* text) { return text == nullptr ? std::string() : std::string(text); }

base::Result<EntryType> type_of(::archive_entry* entry) {
  switch (::archive_entry_filetype(entry)) {
    case AE_IFREG: return EntryType::file;
    case AE_IFDIR: return EntryType::directory;
    case AE_IFLNK: return EntryType::symlink;
    case AE_IFCHR: return EntryType::character_device;
    case AE_IFBLK: return EntryType::block_device;
    case AE_IFIFO: return EntryType::fifo;
    default: return fail(ErrorCode::invalid_argument, "an entry of unknown type");
  }
}

}  // namespace

struct TarReader::State {
  explicit State(BlockSource blocks) : source(std::move(blocks)) {}
  ~State() {
    if (archive != nullptr) ::archive_read_free(archive);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  // Gives libarchive the next block. Of those before it keeps what has not been consumed and what belongs to the headers
  // being read, for the look at their raw form.
  ::la_ssize_t pull(const void** bytes) {
    const auto consumed = static_cast<std::uint64_t>(std::max<::la_int64_t>(0, ::archive_filter_bytes(archive, 0)));
    keep_from(in_header ? header_start : consumed);
    if (in_header && kept.size() > header_bytes_max) {
      error = base::Error{ErrorCode::invalid_argument, "the extended headers of an entry are too large", {}};
      return -1;
    }
    block_start += block.size();
    block = {};
    const auto got = source();
    if (!got) {
      error = got.error();
      ::archive_set_error(archive, -1, "source failed");
      return -1;
    }
    block = {got->data(), got->size()};
    *bytes = block.data();
    return static_cast<::la_ssize_t>(block.size());
  }

  void keep_from(std::uint64_t start) {
    const std::uint64_t kept_start = block_start - kept.size();
    if (start > kept_start) kept.erase(0, std::min<std::uint64_t>(start - kept_start, kept.size()));
    if (start < block_start + block.size()) kept += block.substr(start > block_start ? start - block_start : 0);
  }

  // What has been read from `start` on, which lies in the headers that were read last.
  std::string raw_from(std::uint64_t start) const {
    const auto end = static_cast<std::uint64_t>(::archive_filter_bytes(archive, 0));
    std::string raw;
    const std::uint64_t kept_start = block_start - kept.size();
    CHECK(start >= kept_start, "the raw header at {} is no longer there", start);
    if (start < block_start) raw = kept.substr(start - kept_start);
    if (end > block_start) {
      const std::uint64_t from = start > block_start ? start - block_start : 0;
      raw += block.substr(from, end - block_start - from);
    }
    return raw;
  }

  base::Error failure() const {
    if (error) return *error;
    const char* reason = ::archive_error_string(archive);
    return base::Error{ErrorCode::corrupt, fmt::format("damaged tar: {}", reason == nullptr ? "unknown" : reason), {}};
  }

  BlockSource source;
  ::archive* archive = nullptr;
  std::optional<base::Error> error;  // of the source
  std::string_view block;            // the last one
  std::uint64_t block_start = 0;     // in the archive
  std::string kept;                  // what came right before it, as far as it may still be asked for
  bool in_member = false;
  bool in_header = false;
  std::uint64_t header_start = 0;
};

namespace {

template <class State>
::la_ssize_t pull_block(::archive*, void* state, const void** block) {
  return static_cast<State*>(state)->pull(block);
}

std::vector<std::pair<std::string, std::string>> xattrs_of(::archive_entry* entry) {
  std::vector<std::pair<std::string, std::string>> xattrs;
  const char* key = nullptr;
  const void* value = nullptr;
  std::size_t size = 0;
  ::archive_entry_xattr_reset(entry);
  while (::archive_entry_xattr_next(entry, &key, &value, &size) == ARCHIVE_OK) {
    if (key != nullptr) xattrs.emplace_back(key, std::string(static_cast<const char*>(value), size));
  }
  return xattrs;
}

// An ACL that the archive has as text, in the form the kernel takes; nothing if there is none, or if it speaks of somebody
// by name only, for whose names they are nobody knows.
std::string acl_of(::archive_entry* entry, int wanted) {
  struct Row {
    std::uint16_t tag = 0, permissions = 0;
    std::uint32_t id = 0xffffffff;
    auto operator<=>(const Row& other) const { return std::tie(tag, id) <=> std::tie(other.tag, other.id); }
  };
  std::vector<Row> rows;
  int type = 0, permissions = 0, tag = 0, id = 0;
  const char* name = nullptr;
  if (::archive_entry_acl_reset(entry, wanted) == 0) return "";
  while (::archive_entry_acl_next(entry, wanted, &type, &permissions, &tag, &id, &name) == ARCHIVE_OK) {
    Row row{.permissions = static_cast<std::uint16_t>(permissions & 7)};
    switch (tag) {
      case ARCHIVE_ENTRY_ACL_USER_OBJ: row.tag = 0x01; break;
      case ARCHIVE_ENTRY_ACL_USER: row.tag = 0x02; break;
      case ARCHIVE_ENTRY_ACL_GROUP_OBJ: row.tag = 0x04; break;
      case ARCHIVE_ENTRY_ACL_GROUP: row.tag = 0x08; break;
      case ARCHIVE_ENTRY_ACL_MASK: row.tag = 0x10; break;
      case ARCHIVE_ENTRY_ACL_OTHER: row.tag = 0x20; break;
      default: return "";
    }
    if (row.tag == 0x02 || row.tag == 0x08) {
      if (id < 0) return "";
      row.id = static_cast<std::uint32_t>(id);
    }
    rows.push_back(row);
  }
  std::sort(rows.begin(), rows.end());  // the kernel insists
  std::string acl("\2\0\0\0", 4);
  const auto append = [&acl](std::uint32_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) acl += static_cast<char>(value >> (8 * i));
  };
  for (const Row& row : rows) {
    append(row.tag, 2);
    append(row.permissions, 2);
    append(row.id, 4);
  }
  return acl;
}

void add_acls(::archive_entry* entry, TarEntry& result) {
  const auto add = [&](int type, std::string_view key) {
    const bool is_known = std::any_of(result.xattrs.begin(), result.xattrs.end(),
                                      [&](const auto& xattr) { return xattr.first == key; });
    std::string acl = is_known ? "" : acl_of(entry, type);
    if (!acl.empty()) result.xattrs.emplace_back(key, std::move(acl));
  };
  add(ARCHIVE_ENTRY_ACL_TYPE_ACCESS, access_acl_key);
  if (result.type == EntryType::directory) add(ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, default_acl_key);
}

base::Result<std::uint32_t> id_of(::la_int64_t value, std::string_view what, const std::string& name) {
  // (uid_t)-1 means "leave it" to chown.
  if (value < 0 || value >= 0xffffffffll) {
    return fail(ErrorCode::invalid_argument, "\"{}\": {} {} is out of range", name, what, value);
  }
  return static_cast<std::uint32_t>(value);
}

base::Result<TarEntry> convert(::archive_entry* entry, const HeaderFacts& facts) {
  TarEntry result;
  result.name = text_or_empty(::archive_entry_pathname(entry));
  if (const char* target = ::archive_entry_hardlink(entry); target != nullptr || facts.type == '1') {
    result.type = EntryType::hard_link;
    result.link = text_or_empty(target);
  } else {
    result.type = TRY(type_of(entry), "\"{}\"", result.name);
    if (result.type == EntryType::symlink) result.link = text_or_empty(::archive_entry_symlink(entry));
  }
  // Archives older than POSIX mark directories by the slash alone.
  if (result.type == EntryType::file && result.name.ends_with('/')) result.type = EntryType::directory;
  result.mode = ::archive_entry_mode(entry) & 07777;
  result.uid = TRY(id_of(::archive_entry_uid(entry), "owner", result.name));
  result.gid = TRY(id_of(::archive_entry_gid(entry), "group", result.name));
  result.device = ::archive_entry_rdev(entry);
  if (result.type == EntryType::file && ::archive_entry_size_is_set(entry)) {
    if (::archive_entry_size(entry) < 0) {
      return fail(ErrorCode::corrupt, "\"{}\": the size is negative", result.name);
    }
    result.size = static_cast<std::uint64_t>(::archive_entry_size(entry));
  }
  result.mtime.tv_sec = ::archive_entry_mtime(entry);
  result.mtime.tv_nsec = ::archive_entry_mtime_nsec(entry);
  if (facts.mtime) result.mtime = *facts.mtime;
  result.xattrs = xattrs_of(entry);
  if (result.type != EntryType::symlink && result.type != EntryType::hard_link) add_acls(entry, result);
  return result;
}

}  // namespace

TarReader::TarReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
TarReader::~TarReader() = default;

base::Result<std::unique_ptr<TarReader>> TarReader::open(BlockSource source) {
  const PlainLocale locale;
  auto state = std::make_unique<State>(std::move(source));
  state->archive = ::archive_read_new();
  CHECK(state->archive != nullptr, "out of memory");
  ::archive_read_support_format_tar(state->archive);
  ::archive_read_support_format_empty(state->archive);
  if (::archive_read_open(state->archive, state.get(), nullptr, &pull_block<State>, nullptr) != ARCHIVE_OK) {
    return tl::unexpected(state->failure());
  }
  return std::unique_ptr<TarReader>(new TarReader(std::move(state)));
}

base::Result<std::optional<TarEntry>> TarReader::next() {
  const PlainLocale locale;
  State& state = *state_;
  if (std::exchange(state.in_member, false) && ::archive_read_data_skip(state.archive) < ARCHIVE_WARN) {
    return tl::unexpected(state.failure());
  }
  // Until it is known where the member's headers begin, everything not consumed is kept.
  state.header_start = static_cast<std::uint64_t>(::archive_filter_bytes(state.archive, 0));
  state.in_header = true;
  ::archive_entry* entry = nullptr;
  const int outcome = ::archive_read_next_header(state.archive, &entry);
  state.in_header = false;
  if (outcome == ARCHIVE_EOF) return std::optional<TarEntry>();
  // A warning is a conversion between character sets that did not happen.
  if (outcome != ARCHIVE_OK && outcome != ARCHIVE_WARN) return tl::unexpected(state.failure());
  state.in_member = true;
  const auto start = static_cast<std::uint64_t>(::archive_read_header_position(state.archive));
  const auto facts = TRY(check_header(state.raw_from(start)), "\"{}\"",
                         text_or_empty(::archive_entry_pathname(entry)));
  return std::optional<TarEntry>(TRY(convert(entry, facts)));
}

base::Result<std::optional<TarReader::Block>> TarReader::read_block() {
  const PlainLocale locale;
  const void* bytes = nullptr;
  std::size_t size = 0;
  ::la_int64_t offset = 0;
  const int outcome = ::archive_read_data_block(state_->archive, &bytes, &size, &offset);
  if (outcome == ARCHIVE_EOF) return std::optional<Block>();
  if (outcome != ARCHIVE_OK) return tl::unexpected(state_->failure());
  return std::optional<Block>(Block{{static_cast<const char*>(bytes), size}, static_cast<std::uint64_t>(offset)});
}

}  // namespace cairn::snapshot
