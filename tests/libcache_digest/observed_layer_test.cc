// SPDX-License-Identifier: Apache-2.0
// Layers that are observed while they are unpacked: what is known of the tree afterwards is what is in it, and no file of it
// is opened to know it.
#include "libcache/observed_layer.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

#include "libcache/pages/page_rows.h"
#include "libcache/trees/subtree_digester.h"
#include "tests/libcache/store_fixture.h"
#include "tests/libcache_digest/random_edits.h"
#include "tests/libcache_digest/tree_maker.h"
#include "tests/libsnapshot/tar_builder.h"
#include "tests/support/string_source.h"
#include "tests/support/test_seed.h"

namespace cairn::cache {
namespace {

using snapshot::TarBuilder;

// The entries of a tree by path, without what only other pages depend on. A link group stands for the first of its names, and
// for none if it has one.
using Entries = std::map<std::string, PageEntry>;
Entries flatten(const PageName& root, const PageLoad& load) {
  Entries entries;
  std::vector<std::pair<std::string, PageName>> pending = {{"", root}};
  while (!pending.empty()) {
    const auto [path, page] = pending.back();
    pending.pop_back();
    DirectoryPage directory = must(load_directory(page, load));
    entries[path + "/"] = directory.header;
    for (PageEntry& entry : directory.names) {
      const std::string own = path + "/" + entry.name;
      if (entry.is_directory()) pending.emplace_back(own, entry.page);
      entry.page = {};
      entries[own] = std::move(entry);
    }
  }
  std::map<std::uint64_t, std::vector<PageEntry*>> groups;
  for (auto& [path, entry] : entries)
    if (entry.link_group != 0) groups[entry.link_group].push_back(&entry);
  std::uint64_t number = 0;
  for (auto& [group, members] : groups) number = std::max(number, group);
  std::map<std::string, PageEntry*> firsts;
  for (auto& [path, entry] : entries) {
    const auto group = groups.find(entry.link_group);
    if (group == groups.end()) continue;
    const std::uint64_t stands_for = group->second.size() == 1 ? 0 : firsts.size() + 1;
    if (stands_for != 0) firsts[path] = &entry;
    for (PageEntry* member : group->second) member->link_group = stands_for;
    groups.erase(group);
  }
  return entries;
}

std::string first_difference(const Entries& expected, const Entries& found) {
  for (const auto& [path, entry] : expected) {
    const auto other = found.find(path);
    if (other == found.end()) return path + " is not known";
    if (!(other->second == entry)) {
      return fmt::format("{} differs: mode {:o} and {:o}, owner {} and {}, size {} and {}, time {}.{} and {}.{}, group {} and {}, "
                         "digests {} and {}", path, entry.mode, other->second.mode, entry.uid, other->second.uid, entry.size,
                         other->second.size, entry.mtime_seconds, entry.mtime_nanoseconds, other->second.mtime_seconds,
                         other->second.mtime_nanoseconds, entry.link_group, other->second.link_group, entry.digests.scan,
                         other->second.digests.scan);
    }
  }
  for (const auto& [path, entry] : found)
    if (!expected.contains(path)) return path + " is not there";
  return "";
}

class Image {
 public:
  explicit Image(const std::string& driver = "overlay") : store(driver) {}

  // The tree with one more layer; nullopt if the layer is refused. Durable, or not yet, in turns.
  std::optional<ImmutableRef> add(const std::string& tar) {
    MutableRef tree = must(store.cache->create(top));
    ObservedLayer observed;
    {
      const auto mount = must(tree.mount(snapshot::Access::read_write));
      snapshot::ApplyOptions options;
      options.observer = &observed;
      const auto applied = snapshot::apply_layer(mount, std::make_unique<test::StringSource>(tar), options);
      if (!applied) {
        refusal = applied.error().message;
        return std::nullopt;
      }
    }
    Publication publication;
    top = must(std::move(tree).commit(publication, {}, std::move(observed)));
    const auto number = must(store.cache->publish(std::move(publication)));
    if (++layers % 2 == 1) must(store.writer->wait_durable(number));
    return top;
  }

  DigestCounts counts() const { return store.cache->counts().digests; }

  // What the store knows of the tree; nullopt if it has no pages.
  std::optional<Entries> known() {
    base::lmdb::GroupWriter::Entry nothing;
    nothing.change = [](base::lmdb::WriteTxn&) -> base::Status { return {}; };
    must(store.writer->wait_durable(must(store.writer->enqueue(std::move(nothing)))));
    const auto root = must(store.env->view([&](base::lmdb::ReadTxn& txn) {
      return txn.get(table::page_roots, {top->id(), digest_path_name("")});
    }));
    if (!root) return std::nullopt;
    return flatten(root->page, [&](const PageName& page) -> base::Result<std::string> {
      return must(store.env->view([&](base::lmdb::ReadTxn& txn) { return txn.get(table::pages, page); })).value().bytes;
    });
  }
  Entries found() const {
    const auto mount = must(top->mount());
    std::map<PageName, std::string> pages;
    SubtreeDigester digester(mount.fd(), {.normalisation = {},
                                          .stop = {},
                                          .pages = [&](const PageName& name, std::string bytes) { pages[name] = std::move(bytes); },
                                          .link_salt = top->info().snapshot.value()});
    must(digester.digest(""));
    return flatten(digester.page().page, [&](const PageName& page) -> base::Result<std::string> { return pages.at(page); });
  }
  std::string digest(const Selection& selection) const { return shown(top->content_digest({selection})); }
  std::string digest_from_scratch(const Selection& selection) const {
    const auto mount = must(top->mount());
    return shown(content_digest(mount.fd(), {selection}, top->info().facts.rules, nullptr));
  }

  OpenStore store;
  std::optional<ImmutableRef> top;
  std::string refusal;
  int layers = 0;
};

std::string some_layer() {
  return TarBuilder()
      .dir("usr", 0755)
      .dir("usr/bin", 0700)
      .file("usr/bin/tool", std::string(70'000, 't'))
      .hard_link("usr/bin/alias", "usr/bin/tool")
      .symlink("bin", "usr/bin")
      .file("bin/through", "a link")
      .file("implicit/directories/file", "x")
      .add({.name = "usr/owned", .data = "o", .link = "", .mode = 04755, .uid = 7, .gid = 8})
      .pax("SCHILY.xattr.user.a", "value")
      .file("usr/attributes", "a")
      .add({.name = "pipe", .type = '6', .data = "", .link = ""})
      .file("empty", "")
      .finish();
}

TEST(ObservedLayer, TheFirstDigestOpensNoFileAndListsNoDirectory) {
  for (const char* driver : {"overlay", "native"}) {
    Image image(driver);
    ASSERT_TRUE(image.add(some_layer())) << image.refusal;
    ASSERT_TRUE(image.add(TarBuilder().file("usr/bin/tool", "new").file("usr/new", "n").finish())) << image.refusal;
    for (const Selection& selection : {plain("/"), plain("/usr/bin"), followed("/bin"), including("/", {"**/tool"}), wildcard("/u*/b*")}) {
      EXPECT_EQ(image.digest(selection), image.digest_from_scratch(selection)) << selection.path;
    }
    EXPECT_EQ(image.counts().files_opened, 0u);
    EXPECT_EQ(image.counts().bytes_read, 0u);
    EXPECT_EQ(image.counts().directories_listed, 0u);
    EXPECT_EQ(first_difference(image.found(), image.known().value()), "");
    EXPECT_EQ(image.store.findings(), std::vector<std::string>());
  }
}

// Layers whose bytes come when they are needed are unpacked under the same eyes, the parent's before the child's.
TEST(ObservedLayer, ALazyRecordsTreeComesWithItsPages) {
  for (const char* driver : {"overlay", "native"}) {
    Image image(driver);
    std::map<BlobDigest, std::string> elsewhere;
    for (const std::string& tar : {some_layer(), TarBuilder().file("usr/bin/tool", "new").file("usr/new", "n").finish()}) {
      const auto blob = base::digest_of<BlobDigest>(tar);
      elsewhere[blob] = tar;
      Publication publication;
      image.top = must(image.store.cache->add_lazy({base::digest_of<DiffId>(tar), blob, tar.size(), base::Compression::none},
                                                   image.top, publication, {}));
      must(image.store.writer->wait_durable(must(image.store.cache->publish(std::move(publication)))));
    }
    int fetched = 0;
    must(image.store.cache->unlazy(*image.top, [&](const BlobDigest& blob, const std::stop_token&) -> base::Result<std::unique_ptr<base::ByteSource>> {
      ++fetched;
      return std::make_unique<test::StringSource>(elsewhere.at(blob));
    }));
    EXPECT_EQ(fetched, 2);
    for (const Selection& selection : {plain("/"), plain("/usr/bin"), followed("/bin"), including("/", {"**/tool"})}) {
      EXPECT_EQ(image.digest(selection), image.digest_from_scratch(selection)) << selection.path;
    }
    EXPECT_EQ(image.counts().files_opened, 0u);
    EXPECT_EQ(image.counts().bytes_read, 0u);
    EXPECT_EQ(image.counts().directories_listed, 0u);
    EXPECT_EQ(first_difference(image.found(), image.known().value()), "");
    EXPECT_EQ(image.store.findings(), std::vector<std::string>());
  }
}

// A digest brings the tree if the bytes are here, and reads none of it.
TEST(ObservedLayer, TheDigestOfALazyRecordReadsNoTree) {
  Image image;
  const std::string tar = some_layer();
  must(image.store.cache->blobs().put(tar));
  Publication publication;
  image.top = must(image.store.cache->add_lazy({base::digest_of<DiffId>(tar), base::digest_of<BlobDigest>(tar), tar.size(), base::Compression::none},
                                               {}, publication, {}));
  must(image.store.writer->wait_durable(must(image.store.cache->publish(std::move(publication)))));
  EXPECT_TRUE(image.top->is_lazy());
  const std::string digest = image.digest(plain("/"));
  EXPECT_FALSE(image.top->is_lazy());
  EXPECT_EQ(image.counts().files_opened, 0u);
  EXPECT_EQ(image.counts().directories_listed, 0u);
  EXPECT_EQ(digest, image.digest_from_scratch(plain("/")));
}

// Names that are hashed belong to the directories that the layer speaks of, not to those of the layers below.
TEST(ObservedLayer, ALayerCostsWhatIsInIt) {
  Image image;
  TarBuilder base;
  for (int d = 0; d < 100; ++d) {
    for (int f = 0; f < 10; ++f) base.file(fmt::format("src/d{}/f{}", d, f), "x");
  }
  ASSERT_TRUE(image.add(base.finish())) << image.refusal;
  const DigestCounts before = image.counts();
  EXPECT_EQ(before.names_hashed, 1'000u + 100 + 1);
  ASSERT_TRUE(image.add(TarBuilder().file("src/d3/f2", "changed").finish()));
  EXPECT_EQ(image.counts().names_hashed - before.names_hashed, 10u + 100 + 1);
  EXPECT_EQ(first_difference(image.found(), image.known().value()), "");
}

TEST(ObservedLayer, WhiteoutsAndOpaqueDirectoriesTakeAwayWhatWasBelow) {
  for (const char* driver : {"overlay", "native"}) {
    Image image(driver);
    ASSERT_TRUE(image.add(some_layer())) << image.refusal;
    ASSERT_TRUE(image.add(TarBuilder()
                              .file("usr/.wh.attributes", "")
                              .file("nowhere/.wh.nothing", "")
                              .file("usr/bin/fresh", "f")
                              .file("usr/bin/.wh..wh..opq", "")
                              .file("implicit/.wh.directories", "")
                              .file("implicit/directories/again", "a")
                              .finish()))
        << image.refusal;
    EXPECT_EQ(first_difference(image.found(), image.known().value()), "") << driver;
    EXPECT_EQ(image.counts().files_opened, 0u);
  }
}

TarBuilder repeated_names() {
  TarBuilder tar;
  tar.file("a", "first").hard_link("b", "a").file("a", "second").hard_link("c", "a").hard_link("d", "b");
  tar.dir("e").file("e/f", "gone").symlink("e", "a");
  return tar;
}

// The last of several entries with one name counts, whatever was there before.
TEST(ObservedLayer, RepeatedNames) {
  Image image;
  ASSERT_TRUE(image.add(repeated_names().file("g", "gone").file("g/h", "never").finish()) == std::nullopt)
      << "a file is no directory";
  ASSERT_TRUE(image.add(repeated_names().finish()))
      << image.refusal;
  EXPECT_EQ(first_difference(image.found(), image.known().value()), "");
  EXPECT_EQ(image.counts().files_opened, 0u);
}

// The other names of what was there before stay names of that.
TEST(ObservedLayer, ANewFileWithLinksAtTheNameOfAnotherIsNotThatOne) {
  Image image;
  ASSERT_TRUE(image.add(TarBuilder().file("a", "x").hard_link("b", "a").finish())) << image.refusal;
  ASSERT_TRUE(image.add(TarBuilder().file("a", "x").hard_link("c", "a").finish())) << image.refusal;
  EXPECT_EQ(first_difference(image.found(), image.known().value()), "");
  ASSERT_TRUE(image.add(TarBuilder().file("a", "x").hard_link("d", "a").finish())) << image.refusal;
  EXPECT_EQ(first_difference(image.found(), image.known().value()), "");
}

// What the layer says is not always what the tree then holds: such a file is read.
TEST(ObservedLayer, AFileThatBecameSomethingElseThanWasSaidIsRead) {
  Image image;
  ASSERT_TRUE(image.add(TarBuilder()
                            .add({.name = "a", .data = "x", .link = "", .mode = 0640})
                            .add({.name = "b", .type = '1', .data = "", .link = "a", .mode = 0600, .uid = 5})
                            .pax("SCHILY.xattr.trusted.overlay.opaque", "y")
                            .file("marked", "m")
                            .finish()))
      << image.refusal;
  EXPECT_EQ(first_difference(image.found(), image.known().value()), "");
  EXPECT_EQ(image.counts().files_opened, 3u) << "both names of one file, and the file with the mark";
}

TEST(ObservedLayer, WhatItDoesNotFollowIsReadWhenItIsAskedFor) {
  Image image;
  ASSERT_TRUE(image.add(TarBuilder().file("a", "x").file("b", "y").finish())) << image.refusal;
  ASSERT_TRUE(image.add(TarBuilder().hard_link("c", "a").finish())) << image.refusal;
  EXPECT_FALSE(image.known()) << "another name of a file of the parent";
  EXPECT_EQ(image.digest(plain("/")), image.digest_from_scratch(plain("/")));
  ASSERT_TRUE(image.add(TarBuilder().file("d", "z").finish())) << image.refusal;
  EXPECT_EQ(image.digest(plain("/")), image.digest_from_scratch(plain("/")));
  EXPECT_TRUE(image.known()) << "the digest of its parent was asked for, so its pages are there";
}

TEST(ObservedLayer, AnEmptyLayerIsItsParentsTree) {
  Image image;
  ASSERT_TRUE(image.add(TarBuilder().finish())) << image.refusal;
  EXPECT_EQ(first_difference(image.found(), image.known().value()), "");
  ASSERT_TRUE(image.add(some_layer())) << image.refusal;
  ASSERT_TRUE(image.add(TarBuilder().finish())) << image.refusal;
  EXPECT_EQ(first_difference(image.found(), image.known().value()), "");
}

// Members that may follow each other: mostly, for a layer may be refused.
class RandomLayer {
 public:
  explicit RandomLayer(std::mt19937_64& random) : random_(random) {}

  std::string make() {
    TarBuilder tar;
    for (std::uint64_t left = random_() % 12; left > 0; --left) add(tar);
    return tar.finish();
  }

 private:
  std::uint64_t below(std::uint64_t end) { return random_() % end; }
  std::string directory() {
    static const std::vector<std::string> directories = {"", "", "d/", "d/e/", "d/e/g/", "l/", "k/", "d/up/"};
    return directories[below(directories.size())];
  }
  std::string file_name() {
    static const std::vector<std::string> names = {"a", "b", "c", "a.c", "\xff", "\xff\xfe"};
    return names[below(names.size())];
  }
  snapshot::TarMember member(std::string name, char type) {
    snapshot::TarMember member;
    member.name = std::move(name);
    member.type = type;
    static const unsigned modes[] = {0644, 0755, 0600, 04755, 01777};
    member.mode = modes[below(5)];
    member.uid = below(4) == 0 ? 1000 : 0;
    member.mtime = 1'600'000'000 + static_cast<std::int64_t>(below(3));
    return member;
  }
  void add_attributes(TarBuilder& tar) {
    static const std::vector<std::string> keys = {"user.x", "user.y", "com.apple.z", "trusted.t", "security.capability"};
    if (below(4) != 0) return;
    const std::string& key = keys[below(keys.size())];
    // A capability in the kernel's form, or any bytes.
    const std::string value = key.starts_with("security.") ? std::string("\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20)
                                                             : std::to_string(below(3));
    tar.pax("SCHILY.xattr." + key, value);
  }
  void add(TarBuilder& tar) {
    const std::string place = directory();
    switch (below(10)) {
      case 0: case 1: case 2: {
        add_attributes(tar);
        snapshot::TarMember file = member(place + file_name(), '0');
        file.data = std::string(below(3) == 0 ? 0 : below(70), static_cast<char>('0' + below(4)));
        files_.push_back(file.name);
        tar.add(file);
        return;
      }
      case 3: case 4: {
        static const std::vector<std::string> names = {"", "d", "d/e", "d/e/g", "k"};
        add_attributes(tar);
        tar.add(member(names[below(names.size())], '5'));
        return;
      }
      case 5: {
        snapshot::TarMember link = member(below(3) == 0 ? "l" : place + file_name(), '2');
        link.link = below(2) == 0 ? "d" : "/d/e";
        tar.add(link);
        return;
      }
      case 6: {
        if (files_.empty()) return;
        snapshot::TarMember link = member(place + "h" + file_name(), '1');
        link.link = files_[below(files_.size())];
        tar.add(link);
        return;
      }
      case 7:
        tar.add(member(place + file_name(), '6'));
        return;
      case 8: {
        static const std::vector<std::string> hidden = {"a", "b", "e", "g", "ha"};
        tar.file(place + ".wh." + hidden[below(hidden.size())], "");
        return;
      }
      default:
        if (below(3) == 0) {
          tar.file(place + ".wh..wh..opq", "");
        } else if (below(4) == 0) {  // something else with the name of a directory
          tar.add(member("d", below(2) == 0 ? '0' : '6'));
        }
    }
  }

  std::mt19937_64& random_;
  std::vector<std::string> files_;  // of this layer
};

TEST(ObservedLayerProperty, WhatIsKnownIsWhatIsThere) {
  const bool all = std::getenv("CAIRN_TEST_FULL") != nullptr;
  const std::uint64_t seed = test::test_seed();
  int layers = 0, known = 0, unread = 0;
  for (std::uint64_t i = 0; i < (all ? 2'000 : 20); ++i) {
    SCOPED_TRACE(fmt::format("CAIRN_TEST_SEED={}", seed + i));
    std::mt19937_64 random(seed + i);
    Image image(i % 4 == 3 ? "native" : "overlay");
    for (int layer = 0; layer < 6; ++layer) {
      const DigestCounts before = image.counts();
      if (!image.add(RandomLayer(random).make())) continue;
      ++layers;
      if (image.counts().files_opened == before.files_opened) ++unread;
      if (const auto entries = image.known()) {
        ++known;
        ASSERT_EQ(first_difference(image.found(), *entries), "") << "layer " << layer;
      }
      for (const Selection& selection : {plain("/"), plain("/d"), including("/", {"**/a", "d"}), wildcard("/*/a")}) {
        const std::string kept = image.digest(selection), scratch = image.digest_from_scratch(selection);
        const bool both_fail = kept.starts_with("error") && scratch.starts_with("error");
        ASSERT_TRUE(kept == scratch || both_fail) << selection.path << ": " << kept << " instead of " << scratch;
      }
    }
    ASSERT_EQ(image.store.findings(), std::vector<std::string>());
  }
  std::printf("%d layers, of %d all was known, of %d no file was read\n", layers, known, unread);
  EXPECT_GT(known, layers / 2);
  EXPECT_GT(unread, layers / 2);
}

}  // namespace
}  // namespace cairn::cache
