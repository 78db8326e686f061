// SPDX-License-Identifier: Apache-2.0
// What a well-made layer becomes in a tree: metadata, whiteouts, replacement, digests, limits.
#include <sys/sysmacros.h>

#include <clocale>
#include <cstdlib>

#include "libbase/hash/sha256.h"
#include "tests/libsnapshot/layer_fixture.h"

namespace cairn::snapshot {
namespace {

using base::ErrorCode;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST_F(LayerTest, AppliesEveryTypeWithItsMetadata) {
  apply(TarBuilder()
            .dir("./", 01777)
            .add({.name = "d/", .type = '5', .data = "", .link = "", .mode = 02750, .uid = 5, .gid = 6, .mtime = 1000})
            .add({.name = "d/suid", .data = "text", .link = "", .mode = 06711, .uid = 3'000'000, .gid = 2})
            .symlink("d/link", "../../sentinel")
            .add({.name = "hard", .type = '1', .link = "d/suid", .mode = 06711, .uid = 3'000'000, .gid = 2})
            .add({.name = "null", .type = '3', .data = "", .link = "", .mode = 0666, .major = 1, .minor = 3})
            .add({.name = "disk", .type = '4', .data = "", .link = "", .mode = 0660, .major = 8, .minor = 1})
            .add({.name = "fifo", .type = '6', .data = "", .link = "", .mode = 0600})
            .finish());
  EXPECT_EQ(tree().mode("."), 01777u);
  EXPECT_EQ(tree().mode("d"), 02750u);
  EXPECT_EQ(tree().stat("d").st_mtim.tv_sec, 1000) << "set after its contents";
  EXPECT_EQ(tree().stat("d").st_gid, 6u);
  EXPECT_EQ(tree().read("d/suid"), "text");
  EXPECT_EQ(tree().stat("d/suid").st_uid, 3'000'000u);
  EXPECT_EQ(tree().mode("d/suid"), 06711u) << "not lost by the change of owner";
  EXPECT_TRUE(S_ISLNK(tree().stat("d/link").st_mode));
  EXPECT_EQ(tree().stat("hard").st_ino, tree().stat("d/suid").st_ino);
  EXPECT_EQ(tree().stat("null").st_rdev, makedev(1, 3));
  EXPECT_TRUE(S_ISBLK(tree().stat("disk").st_mode));
  EXPECT_EQ(tree().stat("disk").st_rdev, makedev(8, 1));
  EXPECT_TRUE(S_ISFIFO(tree().stat("fifo").st_mode));
}

TEST_F(LayerTest, PaxRecordsAreExact) {
  const std::string long_name = std::string(200, 'a') + "/" + std::string(200, 'b');
  const std::string decomposed = "e\xcc\x81";  // a letter and a combining accent; not to be composed
  ASSERT_NE(std::setlocale(LC_ALL, "C.UTF-8"), nullptr);
  apply(TarBuilder()
            .pax("path", long_name).file("short", "1")
            .pax("path", decomposed).file("x", "2")
            .pax("path", "\xff\xfe").file("y", "not UTF-8")
            .pax("mtime", "-1.25").file("past", "3")
            .pax("mtime", "1234567890.123456789").file("nano", "4")
            .pax("mtime", "-0.5").file("halfway", "x")
            .pax("mtime", "-9223372036854775808").file("lowest", "x")
            .pax("SCHILY.xattr.user.note", std::string("a\0b", 3)).file("noted", "5")
            .pax("SCHILY.xattr.security.capability",
                 std::string("\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20)).file("capable", "6")
            .pax("SCHILY.xattr.trusted.overlay.opaque", "y").dir("plain")
            .pax("uid", "4000000000").file("big", "7")
            .finish());
  std::setlocale(LC_ALL, "C");
  EXPECT_EQ(tree().read(long_name), "1");
  EXPECT_EQ(tree().read(decomposed), "2");
  EXPECT_EQ(tree().read("\xff\xfe"), "not UTF-8");
  EXPECT_EQ(tree().stat("past").st_mtim.tv_sec, -2);
  EXPECT_EQ(tree().stat("past").st_mtim.tv_nsec, 750'000'000);
  EXPECT_EQ(tree().stat("halfway").st_mtim.tv_sec, -1);
  EXPECT_EQ(tree().stat("halfway").st_mtim.tv_nsec, 500'000'000);
  EXPECT_LT(tree().stat("lowest").st_mtim.tv_sec, -1) << "as far back as the file system goes";
  EXPECT_EQ(tree().stat("nano").st_mtim.tv_nsec, 123'456'789);
  EXPECT_EQ(must(base::list_xattrs_at(tree().fd(), "noted")).at("user.note"), std::string("a\0b", 3));
  EXPECT_EQ(must(base::list_xattrs_at(tree().fd(), "capable")).at("security.capability").size(), 20u);
  EXPECT_THAT(must(base::list_xattrs_at(tree().fd(), "plain")), IsEmpty()) << "a layer does not steer overlay";
  EXPECT_EQ(tree().stat("big").st_uid, 4'000'000'000u);
}

TEST_F(LayerTest, WhiteoutsRemoveAndOpaqueHidesOnlyWhatIsBelow) {
  apply(TarBuilder().dir("d").file("d/old", "1").dir("d/sub").file("d/sub/old", "2").file("gone", "3").dir("full")
            .file("full/x", "4").finish());
  apply(TarBuilder()
            .file(".wh.gone", "").file(".wh.full", "").file(".wh.never-there", "").file("absent/.wh.x", "")
            .file("d/new", "5").file("d/sub/new", "6").file("d/.wh..wh..opq", "").file("d/after", "7")
            .file(".wh..wh.plnk", "ignored").file("empty/.wh..wh..opq", "")
            .finish());
  EXPECT_THAT(tree().names(), ElementsAre("d"));
  EXPECT_THAT(tree().names("d"), ElementsAre("after", "new", "sub"));
  EXPECT_THAT(tree().names("d/sub"), ElementsAre("new"));
}

TEST_F(LayerTest, WhiteoutsThatNameNothingAreRefused) {
  for (const auto* name : {".wh.", ".wh..", ".wh...", "d/.wh..."}) {
    EXPECT_THAT(refusal(TarBuilder().file(name, "").finish(), ErrorCode::invalid_argument), HasSubstr(name));
  }
}

TEST_F(LayerTest, EntriesReplaceWhatIsThere) {
  apply(TarBuilder().file("a", "old").dir("b").file("b/x", "1").dir("c").file("c/kept", "2").symlink("s", "c").finish());
  apply(TarBuilder().dir("a").file("b", "now a file").dir("c", 0700).dir("s").file("s/y", "3").file("twice", "1")
            .file("twice", "22").finish());
  EXPECT_TRUE(S_ISDIR(tree().stat("a").st_mode));
  EXPECT_EQ(tree().read("b"), "now a file");
  EXPECT_EQ(tree().mode("c"), 0700u);
  EXPECT_EQ(tree().read("c/kept"), "2");
  EXPECT_TRUE(S_ISDIR(tree().stat("s").st_mode)) << "a directory replaces a link";
  EXPECT_THAT(tree().names("c"), ElementsAre("kept"));
  EXPECT_EQ(tree().read("twice"), "22");
}

TEST_F(LayerTest, MissingDirectoriesAreMadeAndLinksStayInside) {
  apply(TarBuilder().file("x/y/z", "1").dir("real").symlink("abs", "/real").symlink("up", "../../../../real")
            .symlink("var", "missing/dir").file("abs/one", "1").file("up/two", "2").file("var/three", "3").finish());
  EXPECT_EQ(tree().mode("x/y"), 0755u);
  EXPECT_THAT(tree().names("real"), ElementsAre("one", "two"));
  EXPECT_THAT(tree().names("missing/dir"), ElementsAre("three"));
}

TEST_F(LayerTest, DigestsCoverBothStreamsToTheirEnds) {
  const std::string tar = TarBuilder().file("a", std::string(300'000, 'a')).finish() + std::string(20'000, '\0');
  for (const auto compression : {base::Compression::none, base::Compression::gzip, base::Compression::zstd}) {
    const auto blob = must(base::compress(compression, tar));
    const auto applied = apply(blob);
    EXPECT_EQ(applied.blob, base::digest_of<BlobDigest>(blob));
    EXPECT_EQ(applied.blob_bytes, blob.size());
    EXPECT_EQ(applied.diff, base::digest_of<DiffId>(tar));
    EXPECT_EQ(applied.entries, 1u);
    EXPECT_EQ(tree().read("a").size(), 300'000u);
  }
}

TEST_F(LayerTest, EmptyLayersAreLayers) {
  EXPECT_EQ(apply(TarBuilder().finish()).entries, 0u);
  EXPECT_EQ(apply("").entries, 0u);
}

TEST_F(LayerTest, LimitsProgressAndStop) {
  const std::string tar = TarBuilder().file("a", std::string(100'000, 'a')).file("b", "b").finish();
  ApplyOptions options;
  std::uint64_t seen = 0;
  options.progress = [&](std::uint64_t bytes) { seen = bytes; };
  must(apply_bytes(tree(), tar, options));
  EXPECT_EQ(seen, tar.size());
  options.entries_max = 1;
  EXPECT_EQ(code_of(apply_bytes(tree(), tar, options)), ErrorCode::invalid_argument);
  options.entries_max = 2;
  options.unpacked_max = 50'000;
  EXPECT_EQ(code_of(apply_bytes(tree(), must(base::compress(base::Compression::gzip, tar)), options)),
            ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(apply_bytes(tree(), must(base::compress(base::Compression::zstd, tar)), options)),
            ErrorCode::invalid_argument);
  std::stop_source stopped;
  stopped.request_stop();
  options.stop = stopped.get_token();
  EXPECT_EQ(code_of(apply_bytes(tree(), tar, options)), ErrorCode::cancelled);
}

// An ACL of a directory is not what the layer says of the files in it.
TEST_F(LayerTest, AclsAreThoseOfTheLayer) {
  const std::string acl("\2\0\0\0\1\0\7\0\377\377\377\377\2\0\7\0\350\3\0\0\4\0\5\0\377\377\377\377"
                        "\20\0\7\0\377\377\377\377\40\0\5\0\377\377\377\377", 44);
  apply(TarBuilder()
            .pax("SCHILY.xattr.system.posix_acl_default", acl).dir("d")
            .file("d/plain", "1")
            .pax("SCHILY.xattr.system.posix_acl_access", acl).add({.name = "d/listed", .data = "2", .mode = 0775})
            .pax("SCHILY.acl.access", "user::rwx,user:1000:rwx,group::r-x,mask::rwx,other::r-x")
            .add({.name = "d/text", .data = "3", .mode = 0775})
            .pax("SCHILY.acl.access", "user::rwx,user:somebody:rwx,group::r-x,mask::rwx,other::r-x")
            .add({.name = "d/named", .data = "4", .mode = 0775})
            .pax("SCHILY.acl.default", "user::rwx,user:lisa:rwx:1000,group::r-x,mask::rwx,other::r-x").dir("d/deep")
            .dir("d/sub").symlink("d/link", "plain").add({.name = "d/fifo", .type = '6', .mode = 0600})
            .finish());
  apply(TarBuilder().file("d/later", "3").dir("d/sub2").finish());
  const auto xattrs = [&](const std::string& path) {
    const auto directory = must(base::open_beneath(tree().fd(), must(base::TreePath::parse("d")), O_RDONLY));
    return must(base::list_xattrs_at(path == "d" ? tree().fd() : directory.get(), path));
  };
  EXPECT_EQ(xattrs("d").at("system.posix_acl_default"), acl);
  EXPECT_EQ(xattrs("listed").at("system.posix_acl_access"), acl);
  EXPECT_EQ(xattrs("text").at("system.posix_acl_access"), acl);
  EXPECT_EQ(xattrs("deep").at("system.posix_acl_default"), acl);
  for (const auto* name : {"named", "plain", "sub", "fifo", "later", "sub2"}) EXPECT_THAT(xattrs(name), IsEmpty()) << name;
  EXPECT_EQ(tree().mode("d/plain"), 0644u);
  EXPECT_EQ(tree().mode("d/sub2"), 0755u);
}

TEST_F(LayerTest, XattrsThatNoFileSystemHoldsAreCounted) {
  const auto applied = apply(TarBuilder()
                                 .pax("SCHILY.xattr.nosuch.space", "1").file("f", "x")
                                 .pax("SCHILY.xattr.user.note", "1").symlink("s", "f")
                                 .pax("SCHILY.xattr.user.note", "1").file("g", "x")
                                 .finish());
  EXPECT_EQ(applied.xattrs_skipped, 2u);
  EXPECT_EQ(must(base::list_xattrs_at(tree().fd(), "g")).at("user.note"), "1");
}

TEST_F(LayerTest, StreamsInPiecesAreOneLayer) {
  const std::string tar = TarBuilder().file("a", std::string(300'000, 'a')).file("b", "b").finish();
  for (const auto compression : {base::Compression::gzip, base::Compression::zstd}) {
    const std::string_view text = tar;
    const std::string blob = must(base::compress(compression, text.substr(0, 777))) +
                             must(base::compress(compression, text.substr(777, 200'000))) +
                             must(base::compress(compression, "")) +
                             must(base::compress(compression, text.substr(200'777)));
    const auto applied = apply(blob);
    EXPECT_EQ(applied.diff, base::digest_of<DiffId>(tar));
    EXPECT_EQ(applied.blob, base::digest_of<BlobDigest>(blob));
    EXPECT_EQ(tree().read("b"), "b");
  }
}

// A layer of many files that is made while it is read, and looks at the tree meanwhile.
class GrowingLayer final : public base::ByteSource {
 public:
  static constexpr int files = 64;
  static std::string name(int number) { return "f" + std::to_string(number); }

  explicit GrowingLayer(const Tree& tree, int& behind_max) : tree_(tree), behind_max_(behind_max) {}
  base::Result<std::size_t> read(std::span<std::byte> out) override {
    if (rest_.empty() && made_ <= files) {
      int behind = 0;
      while (behind < made_ && !tree_.exists(name(made_ - behind - 1))) ++behind;
      behind_max_ = std::max(behind_max_, behind);
      rest_ = made_ < files ? TarBuilder().file(name(made_), std::string(1 << 20, 'x')).unfinished() : TarBuilder().finish();
      ++made_;
    }
    const std::size_t count = std::min(out.size(), rest_.size());
    std::memcpy(out.data(), rest_.data(), count);
    rest_.erase(0, count);
    return count;
  }

 private:
  const Tree& tree_;
  int& behind_max_;
  std::string rest_;
  int made_ = 0;
};

// A few MiB are under way, however large the layer is.
TEST_F(LayerTest, IsUnpackedWhileItIsRead) {
  int behind_max = 0;
  const auto applied = must(apply_layer(MountedTree(base::Fd(::fcntl(tree().fd(), F_DUPFD_CLOEXEC, 0))),
                                        std::make_unique<GrowingLayer>(tree(), behind_max), {}));
  EXPECT_EQ(applied.entries, std::uint64_t{GrowingLayer::files});
  EXPECT_GT(behind_max, 0);
  EXPECT_LE(behind_max, 10) << "MiB are held back";
}

// The program that most layers are made with, its sparse format included.
TEST_F(LayerTest, ReadsWhatTarWrites) {
  for (const std::string format : {"gnu", "pax", "posix --sparse", "gnu --sparse",
                                   "posix --sparse --sparse-version=0.0", "posix --sparse --sparse-version=0.1"}) {
    test::TempDir from;
    const std::string dir = from.path().str();
    const std::string script =
        "cd " + dir + " && mkdir -p src/d src/" + std::string(120, 'n') +
        " && echo text > src/d/f && ln src/d/f src/h && ln -s f src/d/l && mkfifo src/p"
        " && truncate -s 10M src/sparse && printf end >> src/sparse && chmod 4755 src/d/f"
        " && touch -d '2001-02-03 04:05:06.789' " + dir + "/src/d" +
        " && tar --numeric-owner --format=" + format + " -C " + dir + "/src -cf " + dir + "/t.tar .";
    ASSERT_EQ(std::system(script.c_str()), 0);
    apply(must(base::read_file(from / "t.tar", 64 << 20)));
    EXPECT_EQ(tree().read("d/f"), "text\n");
    EXPECT_EQ(tree().mode("d/f"), 04755u);
    EXPECT_EQ(tree().stat("h").st_ino, tree().stat("d/f").st_ino);
    EXPECT_EQ(tree().stat("sparse").st_size, (10 << 20) + 3);
    EXPECT_EQ(tree().stat("d").st_mtim.tv_sec % 60, 6);
    EXPECT_TRUE(tree().exists(std::string(120, 'n')));
    if (format.find("sparse") != std::string::npos) {
      EXPECT_LT(tree().stat("sparse").st_blocks, 100) << format;
    }
    for (const auto& name : tree().names()) tree().remove(name);
  }
}

}  // namespace
}  // namespace cairn::snapshot
