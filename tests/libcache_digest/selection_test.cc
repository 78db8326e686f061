// SPDX-License-Identifier: Apache-2.0
// Digests of small trees on disk that BuildKit's own tests pin (spec/storage 3.9, spec/solver C1-C6), and the rules of
// spec/storage 3.4-3.6 one by one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "libbase/fs/fd.h"
#include "tests/libcache_digest/tree_maker.h"

namespace cairn::cache {
namespace {

using base::ErrorCode;
using testing::HasSubstr;
using testing::StartsWith;
using namespace std::string_literals;

constexpr std::string_view data0_digest = "cd8e75bca50f2d695f220d0cb0997d8ead387e4f926e8669a92d7f104cc9885b";
constexpr std::string_view d0_digest = "d47454417d2c554067fbefe5f5719edc49f3cfe969c36b62e34a187a4da0cc9a";
constexpr std::string_view nothing_digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

const std::vector<std::string> wildcard_lines = {
    "bar file data1", "foo file data0",      "fox file data2",       "x dir",
    "x/d0 dir",       "x/d0/abc file data0", "x/d0/def symlink abc", "x/d0/ghi symlink nosuchfile",
    "y1 symlink foo", "y2 symlink fox"};

Selection following(Selection selection) {
  selection.follow_links = true;
  return selection;
}

TEST(GoldenDigests, FilesLinksAndDirectories) {
  const TestTree tree({"foo file data0", "bar file data1", "sym symlink target", "d0 dir", "d0/abc file data0",
                       "d0/def symlink abc", "d0/ghi symlink nosuchfile"});
  EXPECT_EQ(shown(tree.digest(plain("foo"))), data0_digest);
  EXPECT_EQ(shown(tree.digest(plain("/d0/abc"))), data0_digest);
  EXPECT_EQ(shown(tree.digest(plain("bar"))), "c2b5e234f5f38fc5864da7def04782f82501a40d46192e4207d5b3f0c3c4732b");
  EXPECT_EQ(shown(tree.digest(plain("sym"))), "a2ba571981f48ec34eb79c9a3ab091b6491e825c2f7e9914ea86e8e958be7fae");
  EXPECT_EQ(shown(tree.digest(plain("d0"))), d0_digest);
  EXPECT_EQ(shown(tree.digest(plain("d0/"))), d0_digest);
}

TEST(GoldenDigests, TopOfASnapshot) {
  const TestTree d0({"abc file data0", "def symlink abc", "ghi symlink nosuchfile"});
  EXPECT_EQ(shown(d0.digest(plain("/"))), d0_digest);
  const TestTree less({"abc file data0", "def symlink abc"});
  EXPECT_EQ(shown(less.digest(plain("/"))), "555ffa3028630d97ba37832b749eda85ab676fd64ffb629fbf0f4ec8c1e3bff1");
  const TestTree root({"foo file data0", "bar file data1", "d0 dir", "d0/abc file data0", "d0/def symlink abc",
                       "d0/ghi symlink nosuchfile"});
  EXPECT_EQ(shown(root.digest(plain("/"))), "427c9cf9ae98c0f81fb57a3076b965c7c149b6b0a85625ad4e884236649a42c6");
}

TEST(GoldenDigests, Wildcards) {
  const TestTree tree(wildcard_lines);
  EXPECT_EQ(shown(tree.digest(wildcard("x/d?"))), "6b612ad5c13159112ae26357ef7bd34df29916941ba40ec2ce38dfb70c6c60c3");
  EXPECT_EQ(shown(tree.digest(wildcard("f*"))), "0b6731924f0a32a812bf8a729202e55e54ded331f9e4ff2397f681e43694e086");
  EXPECT_EQ(shown(tree.digest(wildcard("f*o"))), hash_of("\0foosha256:"s + std::string(data0_digest)));
  EXPECT_EQ(shown(tree.digest(following(wildcard("x/d?/def")))), data0_digest);
  EXPECT_EQ(shown(tree.digest(following(wildcard("y*")))),
            "982153600b9653a1decb0f961e09e2bc1be335cfcaac9b39dbd1120b65fdf92c");
  EXPECT_EQ(shown(tree.digest(wildcard("z*"))), nothing_digest);
}

TEST(GoldenDigests, BrokenLinkBelowTheTopIsNotFollowed) {
  const TestTree tree({"target file data0", "foo dir", "foo/ghi symlink target"});
  const std::string_view foo = "9b761577efcb1239cf4be971914c5d7404914dd32ff436401af1764dc5446b83";
  EXPECT_EQ(shown(tree.digest(followed("foo"))), foo);
  EXPECT_EQ(shown(tree.digest(following(excluding("foo", {"*.git"})))), foo);
  EXPECT_EQ(shown(tree.digest(following(wildcard("fo?")))),
            "2797e710c6d1a89ff2d91c834b828b1dc500f2982430a58241df8e146f4c4bb4");
  const auto broken = tree.digest(following(wildcard("foo/gh*")));
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().code, ErrorCode::not_found);
}

TEST(GoldenDigests, PatternsThatChangeNothing) {
  const TestTree tree({"test dir", "test/foo file data0"});
  const std::string_view expected = "8f36dfd60011a21345427f4d3177b1223e11fbb732c18dd07cd8b2a27a0b53ca";
  EXPECT_EQ(shown(tree.digest(plain("test"))), expected);
  EXPECT_EQ(shown(tree.digest(excluding("test", {"*.git"}))), expected);
}

TEST(GoldenDigests, DoubleStar) {
  const TestTree tree({"prefix dir", "prefix/a dir", "prefix/a/b dir", "prefix/a/b/c dir", "prefix/a/b/c/foo dir",
                       "prefix/a/b/c/foo/bar file abc"});
  for (const std::vector<std::string>& patterns :
       {std::vector<std::string>{"**/foo/**"}, {"**/foo"}, {"**/foo/**", "**/report"}, {"**/foo", "**/report"}}) {
    Selection selection = including("prefix/a", patterns);
    for (const bool with_wildcard : {false, true}) {
      selection.wildcard = with_wildcard;
      EXPECT_EQ(shown(tree.digest(selection)), "aa7448215bbf5b837b35ce64467857d8b9747965573d14d4b31b370586370971");
    }
  }
}

TEST(Selections, LinksOnTheWayAreFollowedWithinTheTree) {
  const TestTree tree({"a dir", "a/b dir", "a/b/f file data0", "abs symlink /a/b", "up symlink ../../../a/b",
                       "a/b/root symlink /", "twice symlink abs", "dots symlink a/../nosuch/../a/./b",
                       "through symlink abs/../b/f"});
  for (const char* path : {"abs/f", "up/f", "a/b/root/abs/f", "twice/f", "dots/f", "../a/b/f", "a/../a//b/./f"}) {
    EXPECT_EQ(shown(tree.digest(plain(path))), data0_digest) << path;
  }
  EXPECT_EQ(shown(tree.digest(followed("through"))), data0_digest);
  EXPECT_EQ(shown(tree.digest(plain("through"))), link_digest("abs/../b/f").hex());
  EXPECT_EQ(shown(tree.digest(followed("twice"))), shown(tree.digest(plain("a/b"))));
}

TEST(Selections, AtMost255LinksAreFollowed) {
  TestTree tree({"l0 file data0", "self symlink self"});
  for (int i = 1; i <= 256; ++i) tree.add("l" + std::to_string(i) + " symlink l" + std::to_string(i - 1));
  EXPECT_EQ(shown(tree.digest(followed("l255"))), data0_digest);
  for (const char* path : {"l256", "self"}) {
    const auto digest = tree.digest(followed(path));
    ASSERT_FALSE(digest);
    EXPECT_EQ(digest.error().code, ErrorCode::invalid_argument);
    EXPECT_THAT(digest.error().message, HasSubstr("too many links"));
  }
  EXPECT_TRUE(tree.digest(plain("self")));
}

TEST(Selections, MissingPathsAreNotFound) {
  const TestTree tree({"f file x", "d dir", "broken symlink nosuch"});
  for (const Selection& selection : {plain("nosuch"), plain("d/nosuch"), plain("f/x"), plain("f/x/y"),
                                     followed("broken"), plain("broken/x"), plain(std::string(300, 'n'))}) {
    const auto digest = tree.digest(selection);
    ASSERT_FALSE(digest) << selection.path;
    EXPECT_EQ(digest.error().code, ErrorCode::not_found) << digest.error().message;
  }
  EXPECT_EQ(shown(tree.digest(excluding("nosuch", {"x"}))), nothing_digest)
      << "a filter that finds nothing is no error";
}

TEST(Selections, NulInAPathIsRefused) {
  const TestTree tree({"a dir", "a/b file x"});
  const auto digest = tree.digest(plain("a\0b"s));
  ASSERT_FALSE(digest);
  EXPECT_EQ(digest.error().code, ErrorCode::invalid_argument);
}

TEST(Selections, BadPatternsAreRefused) {
  const TestTree tree({"a file x"});
  for (const Selection& selection :
       {wildcard("["), including("/", {"["}), excluding("/", {"!"}), including("/", {"[z-a]"})}) {
    const auto digest = tree.digest(selection);
    ASSERT_FALSE(digest);
    EXPECT_EQ(digest.error().code, ErrorCode::invalid_argument) << digest.error().message;
  }
}

TEST(Selections, ATrailingSlashLeavesOutTheHeader) {
  const TestTree tree({"src dir", "src/a file x", "src/b dir", "src/b/c file y"});
  const std::string a = "\0a"s + file_digest("x").str();
  const std::string b = "\0b"s + header_digest().str() + "\0b\0c"s + file_digest("y").str();
  EXPECT_EQ(shown(tree.digest(excluding("src/", {"no"}))), hash_of(a + b));
  EXPECT_EQ(shown(tree.digest(excluding("src", {"no"}))), hash_of("\0"s + header_digest().str() + a + b));
}

TEST(Selections, HeadersComeInWithWhatIsBelowThem) {
  const TestTree tree({"d dir", "d/e dir", "d/e/f.go file x", "d/g dir", "h dir"});
  EXPECT_EQ(shown(tree.digest(including("/", {"**/*.go"}))),
            hash_of("\0d"s + header_digest().str() + "\0d\0e"s + header_digest().str() + "\0d\0e\0f.go"s +
                    file_digest("x").str()));
}

TEST(Selections, OneRecordOfTheSameNameStandsForItself) {
  const TestTree tree({"d dir", "d/f file x"});
  EXPECT_EQ(shown(tree.digest(wildcard("d/f"))), file_digest("x").hex());
  EXPECT_EQ(shown(tree.digest(wildcard("*/f"))), file_digest("x").hex());
  EXPECT_EQ(shown(tree.digest(wildcard("*/f*"))), hash_of("\0d\0f"s + file_digest("x").str()));
}

TEST(Selections, APrefixWithABackslashIsLookedUpAsWrittenAndMatchedAsAPattern) {
  const TestTree tree({"a\\b file one", "ab file two", "zz file three"});
  // The name with the backslash exists, so the search begins there; the pattern matches the name without it.
  EXPECT_EQ(shown(tree.digest(wildcard("a\\b"))), hash_of("\0ab"s + file_digest("two").str()));
  EXPECT_EQ(shown(tree.digest(wildcard("z\\z"))), nothing_digest) << "no such name, so the search does not begin";
}

TEST(Selections, RequiredPathsMustBeAmongTheSelected) {
  const TestTree tree({"src dir", "src/a file x", "b file y"});
  Selection selection = including("/", {"src"});
  selection.required_paths = {"/src/a", "/src"};
  EXPECT_TRUE(tree.digest(selection));
  selection.required_paths = {"/b"};
  const auto missing = tree.digest(selection);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
  EXPECT_THAT(missing.error().message, HasSubstr("\"/b\""));
  selection.include_patterns.clear();
  EXPECT_TRUE(tree.digest(selection)) << "without a filter they do not count";
}

TEST(ContentDigest, IsTheHashOfTheDigestsOfAllSelections) {
  const TestTree tree({"a file data0", "b file data1"});
  const base::Fd fd = base::open_host_dir(tree.top()).value();
  const auto digest = [&](const std::vector<Selection>& selections) {
    return shown(content_digest(fd.get(), selections, DigestRules::scan, nullptr));
  };
  const std::string a = file_digest("data0").str(), b = file_digest("data1").str();
  EXPECT_EQ(digest({plain("a")}), hash_of(a)) << "hashed once more even for one";
  EXPECT_EQ(digest({plain("a"), plain("/b/")}), hash_of(a + "\0"s + b));
  EXPECT_EQ(digest({}), hash_of(tree.digest(plain("/"))->str()));
  EXPECT_EQ(digest({}), digest({plain("")}));
  EXPECT_THAT(digest({plain("a"), plain("nosuch")}), StartsWith("error"));
  // Joined to "/", the path of the top keeps its slash, so its header does not count.
  EXPECT_EQ(digest({excluding("", {"no"})}), hash_of(tree.digest(excluding("/", {"no"}))->str()));
  EXPECT_NE(shown(tree.digest(excluding("", {"no"}))), shown(tree.digest(excluding("/", {"no"}))));
}

TEST(ContentDigest, OfNothingIsKnownForTheTopOnly) {
  const std::string nothing = "sha256:" + std::string(nothing_digest);
  EXPECT_EQ(shown(content_digest_of_nothing({})), hash_of(nothing));
  EXPECT_EQ(shown(content_digest_of_nothing({plain("/"), followed("")})), hash_of(nothing + "\0"s + nothing));
  const auto missing = content_digest_of_nothing({plain("a")});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
}

// docs/formats/tree-digest.md, "A worked example".
TEST(TreeDigestPage, ShowsTheDigestsOfItsExample) {
  const auto page_path = base::HostPath::parse(CAIRN_SOURCE_DIR "/docs/formats/tree-digest.md");
  const auto page = base::read_file(*page_path, 1 << 20);
  ASSERT_TRUE(page);
  const TestTree tree({"hello file hi\n", "bin dir", "bin/run symlink ../hello"});
  const base::Fd fd = base::open_host_dir(tree.top()).value();
  for (const auto& digest :
       {tree.digest(plain("hello")), tree.digest(plain("bin/run")), tree.digest(plain("bin")), tree.digest(plain("/")),
        tree.digest(plain("/"), DigestRules::stream), tree.digest(including("/", {"**/run"})),
        content_digest(fd.get(), {}, DigestRules::scan, nullptr), base::Result<TreeDigest>(header_digest())}) {
    ASSERT_TRUE(digest);
    EXPECT_THAT(*page, HasSubstr("`" + digest->str() + "`"));
  }
}

}  // namespace
}  // namespace cairn::cache
