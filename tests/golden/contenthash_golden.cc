// SPDX-License-Identifier: Apache-2.0
// The contenthash family: trees ("scan") and series of announced changes ("handle-change"), and the digests that
// BuildKit gave for selections of them. Trees are made on disk with their owners, devices and attributes, so this needs
// root.
#include <cstdio>

#include "libcache/streamed_tree.h"
#include "libcache/tree_digest.h"
#include "tests/golden/vector_tree.h"

namespace cairn::cache {
namespace {

using namespace golden;

Selection selection_of(const json& query) {
  Selection selection;
  selection.path = text_of(query, "path");
  selection.follow_links = query.value("followLinks", false);
  selection.wildcard = query.value("wildcard", false);
  selection.include_patterns = query.value("includePatterns", std::vector<std::string>());
  selection.exclude_patterns = query.value("excludePatterns", std::vector<std::string>());
  selection.required_paths = query.value("requiredPaths", std::vector<std::string>());
  return selection;
}

EntryType type_of(const std::string& type) {
  if (type == "dir") return EntryType::directory;
  if (type == "symlink") return EntryType::symlink;
  if (type == "char") return EntryType::char_device;
  if (type == "block") return EntryType::block_device;
  if (type == "fifo") return EntryType::fifo;
  if (type == "socket") return EntryType::socket;
  return EntryType::file;  // and hardlink
}

void announce(StreamedTree& tree, const json& change) {
  const std::string path = text_of(change, "path");
  if (change.at("kind") == "delete") return tree.remove(path);
  const std::string type = change.value("type", "file");
  const std::string content = content_of(change);
  TreeEntry entry;
  entry.type = type_of(type);
  entry.mode = mode_of(change);
  entry.uid = change.value("uid", 0u);
  entry.gid = change.value("gid", 0u);
  entry.size = content.size();
  entry.link = text_of(change, "target");
  entry.device_major = change.value("major", 0u);
  entry.device_minor = change.value("minor", 0u);
  entry.xattrs = xattrs_of(change);
  EntryHasher hasher(entry);
  hasher.update(content);
  tree.apply({path, entry.type, entry.link, hasher.finish()});
}

struct Tally {
  std::size_t queries = 0, passed = 0;
};

template <class Ask>
void ask_all(const std::string& name, const json& queries, Tally& tally, Ask&& ask) {
  for (const json& query : queries) {
    ++tally.queries;
    const auto digest = ask(selection_of(query));
    const std::string expected = query.value("digest", "");
    if (!query.value("error", "").empty() || expected.empty()) {
      EXPECT_FALSE(digest) << name << ": " << query.dump(-1, ' ', true, json::error_handler_t::replace);
      tally.passed += digest ? 0 : 1;
      continue;
    }
    const std::string got = digest ? digest->str() : "error: " + digest.error().message;
    EXPECT_EQ(got, expected) << name << ": " << query.dump(-1, ' ', true, json::error_handler_t::replace);
    tally.passed += got == expected ? 1 : 0;
  }
}

void run_scan(const std::string& name, const json& one, Tally& tally) {
  const Scratch scratch;
  for (const json& entry : one.at("entries")) make_entry(scratch.top(), entry);
  const auto top = base::HostPath::parse(scratch.top().string());
  ASSERT_TRUE(top);
  ask_all(name, one.at("queries"), tally,
          [&](const Selection& selection) { return digest_directory(*top, selection, nullptr); });
}

void run_changes(const std::string& name, const json& one, Tally& tally) {
  StreamedTree tree;
  std::size_t number = 0;
  for (const json& step : one.at("steps")) {
    for (const json& change : step.value("changes", json::array())) announce(tree, change);
    ask_all(name + " step " + std::to_string(number++), step.value("queries", json::array()), tally,
            [&](const Selection& selection) { return tree.digest(selection); });
  }
}

TEST(GoldenContenthash, EveryCase) {
  ::umask(0);
  const std::set<fs::path> cases = cases_of("contenthash");
  Tally tally;
  std::size_t pending = 0;
  for (const fs::path& path : cases) {
    SCOPED_TRACE(path.filename().string());
    const json one = json::parse(read_file(path));
    const std::string mode = one.at("mode");
    const std::string name = one.value("name", path.stem().string());
    if (mode == "scan") {
      run_scan(name, one, tally);
    } else if (mode == "handle-change") {
      run_changes(name, one, tally);
    } else {
      std::printf("pending: %s: unknown mode %s\n", name.c_str(), mode.c_str());
      ++pending;
      ADD_FAILURE() << "unknown mode " << mode;
    }
  }
  std::printf("golden.contenthash: %zu cases, %zu queries, %zu passed, %zu pending\n", cases.size(), tally.queries,
              tally.passed, pending);
  EXPECT_GT(tally.queries, 0u) << "no queries";
}

}  // namespace
}  // namespace cairn::cache
