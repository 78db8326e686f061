// SPDX-License-Identifier: Apache-2.0
// Each way in which a layer can be hostile, against a whole store: it is refused with an error that says what is wrong and
// where, nothing outside the tree is touched, and once the tree is abandoned nothing of it is left: no file, no
// descriptor, no thread. What looks like a trick and is none (duplicates, case, links that stay inside) is in
// hostile_layer_test.cc; more links than a file system knows in layer_limits_test.cc and tests/faults/links_test.cc.
#include <filesystem>

#include "tests/libsnapshot/layer_fixture.h"

namespace cairn::snapshot {
namespace {

using base::Compression;
using base::ErrorCode;
using testing::HasSubstr;

struct Hostile {
  std::string name;
  ErrorCode code;
  std::vector<std::string> says;
  std::function<std::string(const std::string& outside)> layer;  // outside: the path of a directory beside the tree
  ApplyOptions options = {};
};

std::string noise(std::size_t size) {
  std::string bytes;
  for (std::uint32_t x = 1; bytes.size() < size;) bytes += static_cast<char>((x = x * 1103515245 + 12345) >> 16);
  return bytes;
}

std::string packed(Compression compression, const std::string& tar) { return must(base::compress(compression, tar)); }

std::string cut_off(Compression compression) {
  const std::string blob = packed(compression, TarBuilder().file("a", noise(200'000)).finish());
  return blob.substr(0, blob.size() / 2);
}

std::string with_a_flipped_bit(Compression compression) {
  std::string blob = packed(compression, TarBuilder().file("a", noise(200'000)).finish());
  blob[blob.size() - 5] = static_cast<char>(blob[blob.size() - 5] ^ 0x10);  // in the checksum
  return blob;
}

std::string bomb(Compression compression) {
  return packed(compression, TarBuilder().file("zeros", std::string(32 << 20, '\0')).finish());
}

std::string long_name(char type) {
  return TarBuilder()
      .file("before", "x")
      .add({.name = "long", .type = type, .data = std::string(4096, 'n'), .says_size = std::uint64_t{4} << 30})
      .file("x", "1")
      .finish();
}

ApplyOptions without_devices() {
  ApplyOptions options;
  options.devices = Devices::refuse;
  return options;
}

ApplyOptions up_to(std::uint64_t bytes) {
  ApplyOptions options;
  options.unpacked_max = bytes;
  return options;
}

ApplyOptions ratio_of_100() {
  ApplyOptions options;
  options.ratio_free = 1 << 20;
  options.ratio_max = 100;
  return options;
}

ApplyOptions of_two_entries() {
  ApplyOptions options;
  options.entries_max = 2;
  return options;
}

const std::string nul("a\0b", 3);

using Tar = TarBuilder;
constexpr auto invalid = ErrorCode::invalid_argument, corrupt = ErrorCode::corrupt;

std::vector<Hostile> names() {
  return {
      {"ANameThatStepsUp", invalid, {"../sentinel"},
       [](const std::string&) { return Tar().file("d/f", "x").file("../sentinel", "evil").finish(); }},
      {"ANameThatStepsUpInTheMiddle", invalid, {"d/../../sentinel"},
       [](const std::string&) { return Tar().dir("d").file("d/../../sentinel", "evil").finish(); }},
      {"AnAbsoluteName", invalid, {"/sentinel", "is an absolute path"},
       [](const std::string& outside) { return Tar().file("d/f", "x").file(outside + "/sentinel", "evil").finish(); }},
      {"AnAbsoluteWhiteout", invalid, {"/.wh.sentinel", "is an absolute path"},
       [](const std::string& outside) { return Tar().file(outside + "/.wh.sentinel", "").finish(); }},
      {"AWhiteoutThatStepsUp", invalid, {"../.wh.sentinel"},
       [](const std::string&) { return Tar().file("../.wh.sentinel", "").finish(); }},
      {"AWhiteoutOfWhatIsAbove", invalid, {".wh...", "a whiteout of nothing"},
       [](const std::string&) { return Tar().file(".wh...", "").finish(); }},
      {"ALoopOfLinks", invalid, {"a/x", "too many symlinks"},
       [](const std::string&) { return Tar().symlink("a", "b").symlink("b", "a").file("a/x", "1").finish(); }},
      {"AFileOnTheWay", invalid, {"f/x", "is not a directory"},
       [](const std::string&) { return Tar().file("f", "1").file("f/x", "2").finish(); }},
  };
}

std::vector<Hostile> links_and_devices() {
  return {
      {"AHardLinkThatStepsUp", invalid, {"apply \"h\"", "../sentinel"},
       [](const std::string&) { return Tar().hard_link("h", "../sentinel").finish(); }},
      {"AnAbsoluteHardLink", invalid, {"apply \"h\"", "is an absolute path"},
       [](const std::string& outside) { return Tar().hard_link("h", outside + "/sentinel").finish(); }},
      {"AHardLinkThroughALinkToOutside", invalid, {"up/sentinel", "there is no such file"},
       [](const std::string& outside) { return Tar().symlink("up", outside).hard_link("h", "up/sentinel").finish(); }},
      {"AHardLinkToADirectory", invalid, {"apply \"h\"", "it is a directory"},
       [](const std::string&) { return Tar().dir("d").hard_link("h", "d").finish(); }},
      {"AHardLinkToTheRoot", invalid, {"a hard link to the root"},
       [](const std::string&) { return Tar().hard_link("h", ".").finish(); }},
      {"AHardLinkToItself", invalid, {"a hard link to itself"},
       [](const std::string&) { return Tar().file("f", "x").hard_link("f", "f").finish(); }},
      {"ADeviceWhereNoneIsAllowed", invalid, {"dev/sda", "devices are not allowed"},
       [](const std::string&) { return Tar().file("f", "1").add({.name = "dev/sda", .type = '4', .major = 8}).finish(); },
       without_devices()},
      {"AWhiteoutAsADevice", invalid, {"apply \"w\"", "a whiteout of overlay"},
       [](const std::string&) { return Tar().add({.name = "w", .type = '3'}).finish(); }},
  };
}

std::vector<Hostile> headers() {
  return {
      {"ANameOfFourGigabytes", corrupt, {"damaged tar"}, [](const std::string&) { return long_name('L'); }},
      {"ALinkTargetOfFourGigabytes", corrupt, {"damaged tar"}, [](const std::string&) { return long_name('K'); }},
      {"AnExtendedHeaderOfFourGigabytes", corrupt, {"damaged tar"}, [](const std::string&) { return long_name('x'); }},
      {"AGlobalHeaderOfFourGigabytes", corrupt, {"damaged tar"}, [](const std::string&) { return long_name('g'); }},
      {"ANameLongerThanTheKernelKnows", invalid, {"nnnn"},
       [](const std::string&) { return Tar().pax("path", std::string(300, 'n')).file("x", "1").finish(); }},
      {"ANulInAName", invalid, {"a NUL in the path"},
       [](const std::string&) { return Tar().pax("path", nul).file("x", "1").finish(); }},
      {"ANulInALinkTarget", invalid, {"a NUL in the linkpath"},
       [](const std::string&) { return Tar().pax("linkpath", nul).symlink("x", "y").finish(); }},
      {"ANulInALongName", invalid, {"a NUL in the long name"},
       [](const std::string&) { return Tar().add({.name = "long", .type = 'L', .data = nul}).file("x", "1").finish(); }},
      {"AnUnknownType", invalid, {"unknown type 0x51"},
       [](const std::string&) { return Tar().add({.name = "x", .type = 'Q'}).finish(); }},
      {"AnOwnerThatMeansNobody", invalid, {"owner 4294967295 is out of range"},
       [](const std::string&) { return Tar().pax("uid", "4294967295").file("x", "1").finish(); }},
  };
}

std::vector<Hostile> streams() {
  return {
      {"ATruncatedHeader", corrupt, {"damaged tar"},
       [](const std::string&) { return Tar().file("a", "x").unfinished().substr(0, 511); }},
      {"TruncatedData", corrupt, {"damaged tar"},
       [](const std::string&) { return Tar().file("a", noise(5000)).unfinished().substr(0, 3000); }},
      {"AWrongChecksum", corrupt, {"damaged tar"},
       [](const std::string&) {
         std::string tar = Tar().file("a", "x").finish();
         tar[0] = 'z';
         return tar;
       }},
      {"NoArchive", corrupt, {"damaged tar"}, [](const std::string&) { return std::string("this is no archive at all"); }},
      {"TruncatedGzip", corrupt, {"gzip: truncated"}, [](const std::string&) { return cut_off(Compression::gzip); }},
      {"TruncatedZstd", corrupt, {"zstd: truncated"}, [](const std::string&) { return cut_off(Compression::zstd); }},
      {"CorruptGzip", corrupt, {"gzip: "}, [](const std::string&) { return with_a_flipped_bit(Compression::gzip); }},
      {"CorruptZstd", corrupt, {"zstd: "}, [](const std::string&) { return with_a_flipped_bit(Compression::zstd); }},
      {"ABombOfGzip", invalid, {"unpack to more than"}, [](const std::string&) { return bomb(Compression::gzip); }, ratio_of_100()},
      {"ABombOfZstd", invalid, {"unpack to more than"}, [](const std::string&) { return bomb(Compression::zstd); }, ratio_of_100()},
      {"MoreBytesThanAllowed", invalid, {"more bytes than allowed"},
       [](const std::string&) { return bomb(Compression::zstd); }, up_to(1 << 20)},
      {"MoreEntriesThanAllowed", invalid, {"more than 2 entries"},
       [](const std::string&) { return Tar().file("a", "1").file("b", "2").file("c", "3").finish(); }, of_two_entries()},
  };
}

std::vector<Hostile> all_of_them() {
  std::vector<Hostile> all;
  for (const auto& part : {names(), links_and_devices(), headers(), streams()}) all.insert(all.end(), part.begin(), part.end());
  return all;
}

std::size_t entries_in(const char* directory) {
  const auto entries = std::filesystem::directory_iterator(directory);
  return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
}

class RefusedLayers : public testing::TestWithParam<Hostile> {
 protected:
  RefusedLayers() {
    const Tree beside(MountedTree(must(base::open_host_dir(outside_.path()))));
    Tree(MountedTree(must(base::open_host_dir(outside_.path())))).write("sentinel", "untouched", 0640);
    CHECK(::mkdirat(beside.fd(), "store", 0755) == 0);
    store_ = std::make_unique<OpenStore>(outside_ / "store", "overlay");
    below_ = must(snapshots().prepare(std::nullopt));
    Tree(must(snapshots().mount(below_, Access::read_write))).write("kept", "as it was");
    must(snapshots().freeze(below_));
  }
  Snapshotter& snapshots() { return *store_->snapshots; }

  // All that must be as it was.
  std::string state() {
    const Tree outside(MountedTree(must(base::open_host_dir(outside_.path()))));
    const auto status = outside.stat("sentinel");
    std::string text = fmt::format("{} {:o} {} {}.{}", outside.read("sentinel"), status.st_mode, status.st_nlink,
                                   status.st_ctim.tv_sec, status.st_ctim.tv_nsec);
    for (const char* directory : {".", "store", "store/trees"}) {
      for (const auto& name : outside.names(directory)) text += fmt::format(" {}/{}", directory, name);
    }
    const Tree below(must(snapshots().mount(below_, Access::read_only)));
    for (const auto& name : below.names()) text += fmt::format(" {}={}", name, below.read(name));
    return text + fmt::format(" {} descriptors {} threads", entries_in("/proc/self/fd"), entries_in("/proc/self/task"));
  }

  test::TempDir outside_;
  std::unique_ptr<OpenStore> store_;
  SnapshotId below_;
};

TEST_P(RefusedLayers, SayWhyAndLeaveNothing) {
  const Hostile& hostile = GetParam();
  const std::string layer = hostile.layer(outside_.path().str());
  const std::string before = state();
  const SnapshotId tree = must(snapshots().prepare(below_));
  {
    const auto applied = apply_layer(must(snapshots().mount(tree, Access::read_write)),
                                     layer_source(layer), hostile.options);
    ASSERT_FALSE(applied);
    EXPECT_EQ(applied.error().code, hostile.code) << applied.error().message;
    for (const auto& text : hostile.says) EXPECT_THAT(applied.error().message, HasSubstr(text));
  }
  must(snapshots().abandon(tree));
  EXPECT_EQ(state(), before);
}

INSTANTIATE_TEST_SUITE_P(Each, RefusedLayers, testing::ValuesIn(all_of_them()),
                         [](const auto& about) { return about.param.name; });

}  // namespace
}  // namespace cairn::snapshot
