// SPDX-License-Identifier: Apache-2.0
// The digest of a directory's contents and the short cuts of filters, each against a slower way to the same answer.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "tests/libcache_digest/tree_maker.h"

namespace cairn::cache {
namespace {

using namespace std::string_literals;

// spec/storage 3.3 taken literally: keys in a map, lower bounds, recursion.
class Reference {
 public:
  explicit Reference(const std::vector<std::string>& lines) {
    put("", "dir", "");
    for (const std::string& line : lines) {
      const std::size_t first = line.find(' ');
      const std::size_t second = std::min(line.find(' ', first + 1), line.size());
      std::string key = "\0"s + line.substr(0, first);
      std::replace(key.begin(), key.end(), '/', '\0');
      put(key, line.substr(first + 1, second - first - 1), line.substr(std::min(second + 1, line.size())));
    }
  }

  std::string contents(const std::string& key) const {
    std::string preimage;
    const std::string below = key + '\0';
    for (auto at = records_.lower_bound(below); at != records_.end() && at->first.starts_with(below);) {
      const bool is_directory = at->second.empty();
      preimage += at->first.substr(key.size()) + (is_directory ? contents(at->first) : at->second);
      at = is_directory ? records_.lower_bound(at->first + "\0\xff"s) : std::next(at);
    }
    return "sha256:" + hash_of(preimage);
  }

 private:
  void put(const std::string& key, const std::string& kind, const std::string& rest) {
    if (kind == "dir") {
      records_[key] = "";
      records_[key + '\0'] = header_digest().str();
    } else {
      records_[key] = (kind == "symlink" ? link_digest(rest) : file_digest(rest)).str();
    }
  }

  std::map<std::string, std::string> records_;  // key → digest; "" for the contents of a directory
};

// Names that stand close to the separators of keys, to wildcards, and to the byte FF.
std::vector<std::string> random_lines(std::mt19937& random) {
  const std::vector<std::string> names = {"a",
                                          "b",
                                          "a!",
                                          "a.b",
                                          "a-b",
                                          "ab",
                                          "\x01",
                                          "\xff",
                                          "\xff\xff",
                                          "\xff"
                                          "a",
                                          "\xfe"};
  const auto pick = [&random](std::size_t count) {
    return std::uniform_int_distribution<std::size_t>(0, count - 1)(random);
  };
  std::vector<std::string> directories = {""}, lines;
  std::set<std::string> used;
  for (int i = 0; i < 40; ++i) {
    const std::string path = directories[pick(directories.size())] + names[pick(names.size())];
    if (!used.insert(path).second) continue;
    switch (pick(4)) {
      case 0: lines.push_back(path + " file " + std::to_string(i)); break;
      case 1: lines.push_back(path + " symlink a"); break;
      default: lines.push_back(path + " dir"); directories.push_back(path + "/");
    }
  }
  return lines;
}

TEST(Contents, NamesThatBeginWithByteFFAreHashedAgainAbove) {
  const TestTree tree({"d dir", "d/s dir", "d/s/a file 1",
                       "d/s/\xff"
                       "b file 2",
                       "d/t file 3"});
  const std::string header = header_digest().str();
  const std::string b = file_digest("2").str();
  const std::string s = "sha256:" + hash_of("\0"s + header + "\0a"s + file_digest("1").str() +
                                            "\0\xff"
                                            "b"s +
                                            b);
  EXPECT_EQ(shown(tree.digest(plain("d/s"))), s.substr(7));
  EXPECT_EQ(shown(tree.digest(plain("d"))), hash_of("\0"s + header + "\0s"s + s +
                                                    "\0s\0\xff"
                                                    "b"s +
                                                    b + "\0t"s + file_digest("3").str()));
}

TEST(Contents, EqualsTheLiteralRuleOnRandomTrees) {
  for (std::uint32_t seed = 1; seed <= 25; ++seed) {
    std::mt19937 random(seed);
    const std::vector<std::string> lines = random_lines(random);
    const TestTree tree(lines);
    EXPECT_EQ("sha256:" + shown(tree.digest(plain("/"))), Reference(lines).contents("")) << "seed " << seed;
  }
}

TEST(Filters, SkippingExcludedDirectoriesChangesNothing) {
  const std::vector<std::string> patterns = {"a", "*", "**/a", "a/**", "?", "**b", "\\B", "a*/*", "**/*b*", "\xff"};
  for (std::uint32_t seed = 1; seed <= 12; ++seed) {
    std::mt19937 random(seed);
    const TestTree tree(random_lines(random));
    for (const std::string& pattern : patterns) {
      for (const char* path : {"/", "a", "a/", ""}) {
        // A pattern with "!" that matches nothing keeps the filter from skipping.
        EXPECT_EQ(shown(tree.digest(excluding(path, {pattern}))),
                  shown(tree.digest(excluding(path, {pattern, "!no/such/name"}))))
            << "seed " << seed << " pattern " << pattern << " path " << path;
      }
    }
  }
}

TEST(Filters, SkippingWhatIsTooDeepForAWildcardChangesNothing) {
  for (std::uint32_t seed = 1; seed <= 12; ++seed) {
    std::mt19937 random(seed);
    const TestTree tree(random_lines(random));
    // Brackets may match a '/', so with them nothing is skipped. Here they are only another way to write an 'a'.
    for (const auto& [pattern, bracketed] : std::map<std::string, std::string>{
             {"a*", "[a]*"}, {"a/a*", "a/[a]*"}, {"*a/*", "*[a]/*"}, {"?a*/*", "?[a]*/*"}, {"*/a*/*b", "*/[a]*/*b"}}) {
      const auto skipping = tree.digest(wildcard(pattern)), whole = tree.digest(wildcard(bracketed));
      ASSERT_EQ(skipping.has_value(), whole.has_value()) << "seed " << seed << " pattern " << pattern;
      if (skipping) {
        EXPECT_EQ(shown(skipping), shown(whole)) << "seed " << seed << " pattern " << pattern;
      }
    }
  }
}

}  // namespace
}  // namespace cairn::cache
