// SPDX-License-Identifier: Apache-2.0
// The layers family: pairs of trees, and the layers that containerd's walking differ and BuildKit's overlay differ made of
// them. A layer has to be the same to the byte.
#include <cstdio>
#include <functional>

#include "libbase/hash/sha256.h"
#include "libsnapshot/changes/layered_walk.h"
#include "libsnapshot/layer.h"
#include "libsnapshot/tar/encoder.h"
#include "libsnapshot/tar/tar_reader.h"
#include "tests/conformance/snapshotter_fixture.h"
#include "tests/golden/vector_tree.h"

namespace cairn::snapshot {
namespace {

using namespace golden;

constexpr const char* variants[] = {"walking", "walking_source_date_epoch", "overlay"};

struct Tally {
  std::size_t ran = 0, passed = 0;

  void report(const char* what, std::size_t cases) const {
    std::printf("golden.layers: %s: %zu cases, %zu layers, %zu passed\n", what, cases, ran, passed);
    EXPECT_GT(ran, 0u);
    EXPECT_EQ(passed, ran);
  }
};

EntryType type_of(const std::string& flag) {
  switch (flag.at(0)) {
    case '1': return EntryType::hard_link;
    case '2': return EntryType::symlink;
    case '3': return EntryType::character_device;
    case '4': return EntryType::block_device;
    case '5': return EntryType::directory;
    case '6': return EntryType::fifo;
    default: return EntryType::file;
  }
}

TarEntry member_of(const json& listed) {
  TarEntry member;
  member.type = type_of(listed.at("typeflag"));
  member.name = text_of(listed, "name");
  member.link = text_of(listed, "linkname");
  member.mode = static_cast<mode_t>(std::stoul(listed.value("mode_octal", "0"), nullptr, 8));
  member.uid = listed.value("uid", 0u);
  member.gid = listed.value("gid", 0u);
  member.size = listed.value("size", std::uint64_t{0});
  member.mtime.tv_sec = listed.value("mtime", std::int64_t{0});
  member.device = makedev(listed.value("devmajor", 0u), listed.value("devminor", 0u));
  const json records = listed.value("pax_b64", json::object());
  const std::string prefix = "SCHILY.xattr.";
  for (const auto& [key, value] : records.items()) {
    if (key.starts_with(prefix)) member.xattrs.emplace_back(key.substr(prefix.size()), from_base64(value));
  }
  return member;
}

// What the files of a case hold, by their digests, for a layer's listing names only those.
std::map<std::string, std::string> contents_of(const json& one) {
  std::map<std::string, std::string> contents = {{base::digest_of<BlobDigest>("").hex(), ""}};
  for (const char* part : {"lower", "changes"}) {
    const json entries = one.value(part, json::array());
    for (const json& entry : entries) {
      if (entry.value("type", "file") != "file") continue;
      const std::string content = content_of(entry);
      contents[base::digest_of<BlobDigest>(content).hex()] = content;
    }
  }
  return contents;
}

std::string encode(const json& layer, const std::map<std::string, std::string>& contents) {
  std::string tar;
  const json members = layer.value("entries", json::array());
  for (const json& listed : members) {
    const TarEntry member = member_of(listed);
    const auto status = append_header(member, tar);
    EXPECT_TRUE(status) << (status ? "" : status.error().message);
    const auto content = contents.find(listed.value("content_sha256", ""));
    if (content == contents.end()) continue;
    tar += content->second;
    tar.append(padding_after(content->second.size()), '\0');
  }
  tar.append(trailer_bytes, '\0');
  return tar;
}

// The encoder alone: what a vector lists, written again.
TEST(GoldenLayers, EncoderWritesTheSameBytes) {
  const auto cases = cases_of("layers");
  Tally tally;
  for (const fs::path& path : cases) {
    const json one = json::parse(read_file(path));
    const auto contents = contents_of(one);
    for (const char* variant : variants) {
      SCOPED_TRACE(path.filename().string() + " " + variant);
      const json& layer = one.at(variant);
      const std::string tar = encode(layer, contents);
      ++tally.ran;
      EXPECT_EQ(tar.size(), layer.at("size").get<std::size_t>());
      const std::string digest = base::digest_of<DiffId>(tar).str();
      EXPECT_EQ(digest, layer.at("uncompressed_digest").get<std::string>());
      tally.passed += digest == layer.at("uncompressed_digest") ? 1 : 0;
    }
  }
  tally.report("encoder", cases.size());
}

constexpr std::int64_t time_before = 1'600'000'000, time_after = 1'600'000'100, source_date_epoch = 1'600'000'050;

timespec time_of(const json& entry, std::int64_t usual) {
  return {.tv_sec = entry.value("mtime", usual), .tv_nsec = entry.value("mtime_ns", 0l)};
}

void set_time(const std::string& path, timespec time) {
  const timespec times[] = {time, time};
  expect_done(::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW) == 0, "set time of " + path);
}

// A change to what may be there already. A link that is to become another one, or a file that becomes something else, is
// taken away first.
void apply_change(const fs::path& top, const json& change, std::int64_t usual_time) {
  const std::string path = top.string() + "/" + text_of(change, "path");
  const std::string type = change.value("type", "file");
  if (type == "remove") {
    expect_done(fs::remove_all(path) > 0, "remove " + path);
    return;
  }
  struct ::stat status {};
  const bool exists = ::lstat(path.c_str(), &status) == 0;
  const bool stays = (type == "file" && S_ISREG(status.st_mode)) || (type == "dir" && S_ISDIR(status.st_mode));
  if (exists && !stays) expect_done(fs::remove_all(path) > 0, "remove " + path);
  make_entry(top, change);
  if (type != "hardlink" && type != "dir") set_time(path, time_of(change, usual_time));
}

// The times that directories have in the end; making what is in them changed them.
using DirectoryTimes = std::map<std::string, timespec>;

void note_directories(const json& entries, std::int64_t usual_time, DirectoryTimes& times) {
  for (const json& entry : entries) {
    if (entry.value("type", "file") == "dir") times[text_of(entry, "path")] = time_of(entry, usual_time);
  }
}

void set_directory_times(const fs::path& top, const DirectoryTimes& times) {
  for (const auto& entry : fs::recursive_directory_iterator(top)) {
    if (!entry.is_directory() || entry.is_symlink()) continue;
    const auto known = times.find(entry.path().lexically_relative(top).string());
    set_time(entry.path().string(), known == times.end() ? timespec{.tv_sec = time_before, .tv_nsec = 0} : known->second);
  }
}

struct Layer {
  std::string tar;
  std::optional<Written> written;
};

Layer write(int root, const ChangeSource& source, std::optional<std::int64_t> time_max) {
  Layer layer;
  auto tree = MountedTree(base::Fd(::fcntl(root, F_DUPFD_CLOEXEC, 0)));
  const auto sink = [&](std::string_view bytes) -> base::Status {
    layer.tar += bytes;
    return {};
  };
  const auto written = write_layer(tree, source, sink,
                                   {.compression = base::Compression::none, .level = 0, .threads = 1, .time_max = time_max,
                                    .progress = {}, .stop = {}});
  EXPECT_TRUE(written) << (written ? "" : written.error().message);
  if (written) layer.written = *written;
  return layer;
}

void expect_members(const std::string& tar, const json& expected) {
  std::string_view rest = tar;
  auto reader = TarReader::open([&] { return std::span<const char>(std::exchange(rest, {})); });
  ASSERT_TRUE(reader);
  std::vector<std::string> names, expected_names;
  while (true) {
    const auto member = (*reader)->next();
    ASSERT_TRUE(member) << member.error().message;
    if (!*member) break;
    names.push_back((*member)->name);
  }
  const json members = expected.value("entries", json::array());
  for (const json& listed : members) expected_names.push_back(text_of(listed, "name"));
  EXPECT_EQ(names, expected_names);
}

bool is_same(const Layer& layer, const json& expected) {
  if (!layer.written) return false;
  EXPECT_EQ(layer.written->diff_bytes, expected.at("size").get<std::size_t>());
  EXPECT_EQ(layer.written->diff.str(), expected.at("uncompressed_digest").get<std::string>());
  EXPECT_EQ(layer.written->diff, base::digest_of<DiffId>(layer.tar));
  EXPECT_EQ(layer.written->blob.str(), layer.written->diff.str()) << "nothing was compressed";
  const json members = expected.value("entries", json::array());
  EXPECT_EQ(layer.written->members, members.size());
  expect_members(layer.tar, expected);
  return layer.written->diff.str() == expected.at("uncompressed_digest").get<std::string>() &&
         layer.written->diff_bytes == expected.at("size").get<std::size_t>();
}

// Two directories and a walk of both.
TEST(GoldenLayers, WalkingWritesTheSameLayers) {
  ::umask(0);
  const auto cases = cases_of("layers");
  Tally tally;
  for (const fs::path& path : cases) {
    SCOPED_TRACE(path.filename().string());
    const json one = json::parse(read_file(path));
    const Scratch lower, upper;
    const json before = one.value("lower", json::array()), after = one.value("changes", json::array());
    DirectoryTimes times;
    note_directories(before, time_before, times);
    for (const fs::path& top : {lower.top(), upper.top()}) {
      for (const json& entry : before) apply_change(top, entry, time_before);
    }
    set_directory_times(lower.top(), times);
    for (const json& change : after) apply_change(upper.top(), change, time_after);
    note_directories(after, time_after, times);
    set_directory_times(upper.top(), times);

    const base::Fd old_root(::open(lower.top().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const base::Fd new_root(::open(upper.top().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const auto source = [&](const ChangeVisitor& visitor) {
      return changes_between(old_root.get(), new_root.get(), visitor, changes_for_layer());
    };
    tally.ran += 2;
    tally.passed += is_same(write(new_root.get(), source, std::nullopt), one.at("walking")) ? 1 : 0;
    tally.passed +=
        is_same(write(new_root.get(), source, source_date_epoch), one.at("walking_source_date_epoch")) ? 1 : 0;
  }
  tally.report("walking", cases.size());
}

// The changes made through a mount of our overlay driver, and the walk of what its upper directory holds.
TEST(GoldenLayers, OverlayWritesTheSameLayers) {
  ::umask(0);
  const auto cases = cases_of("layers");
  const test::TempDir root;
  OpenStore store(root.path(), "overlay");
  Tally tally;
  for (const fs::path& path : cases) {
    SCOPED_TRACE(path.filename().string());
    const json one = json::parse(read_file(path));
    const json before = one.value("lower", json::array()), after = one.value("changes", json::array());
    DirectoryTimes times;
    note_directories(before, time_before, times);
    const auto make = [&](std::optional<SnapshotId> parent, const json& entries, std::int64_t usual_time) {
      const auto id = must(store.snapshots->prepare(parent));
      {
        const auto mount = must(store.snapshots->mount(id, Access::read_write));
        for (const json& entry : entries) apply_change(fmt::format("/proc/self/fd/{}", mount.fd()), entry, usual_time);
      }
      note_directories(entries, usual_time, times);
      set_directory_times((root / "trees" / fmt::format("{}", id) / "fs").str(), times);
      must(store.snapshots->freeze(id));
      return id;
    };
    const auto lower = make(std::nullopt, before, time_before);
    const auto upper = make(lower, after, time_after);
    {
      const auto old_tree = must(store.snapshots->mount(lower, Access::read_only));
      const auto new_tree = must(store.snapshots->mount(upper, Access::read_only));
      const base::Fd changed = must(base::open_host_dir(root / "trees" / fmt::format("{}", upper) / "fs"));
      const int layers[] = {changed.get()};
      const auto source = [&](const ChangeVisitor& visitor) {
        return changes_in_layers(old_tree.fd(), new_tree.fd(), layers, visitor, changes_for_layer());
      };
      ++tally.ran;
      tally.passed += is_same(write(new_tree.fd(), source, std::nullopt), one.at("overlay")) ? 1 : 0;
    }
    must(store.snapshots->abandon(upper));
    must(store.snapshots->abandon(lower));
  }
  tally.report("overlay", cases.size());
}

}  // namespace
}  // namespace cairn::snapshot
