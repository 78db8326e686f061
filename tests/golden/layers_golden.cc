// SPDX-License-Identifier: Apache-2.0
// The layers family: pairs of trees, and the layers that containerd's walking differ and BuildKit's overlay differ made of
// them. A layer has to be the same to the byte.
#include <cstdio>
#include <functional>

#include "libbase/hash/sha256.h"
#include "libsnapshot/digests.h"
#include "libsnapshot/tar/encoder.h"
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

}  // namespace
}  // namespace cairn::snapshot
