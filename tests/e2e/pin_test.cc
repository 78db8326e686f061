// SPDX-License-Identifier: Apache-2.0
// cachectl pin and unpin, and record cat and diff.
#include <nlohmann/json.hpp>

#include "tests/e2e/world.h"

namespace cairn::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class Pin : public World {
 protected:
  Ended run(Words words) {
    Words all = {"--root", root_.str()};
    all.insert(all.end(), words.begin(), words.end());
    return cachectl(all);
  }
  // The record of a directory with these files.
  std::string record_of(const std::string& name, const std::map<std::string, std::string>& files) {
    make_dir(name);
    for (const auto& [file, bytes] : files) write_text(temp_ / (name + "/" + file), bytes);
    const Solved solved = solve(llb::local(name, {.unique_id = name, .name = name}), {"--local", name + "=" + (temp_ / name).str()});
    EXPECT_EQ(solved.code, 0) << solved.err;
    for (const json& record : records())
      if (record.at("description") == name) return record.at("id");
    ADD_FAILURE() << "no record of " << name;
    return "0";
  }
  json records() { return json::parse(run({"record", "list", "--json"}).out).at("records"); }
  json pins() { return json::parse(run({"pin", "--json"}).out).at("pins"); }
};

TEST_F(Pin, KeepsARecordUntilItIsReleased) {
  const std::string kept = record_of("kept", {{"a", "x"}}), other = record_of("other", {{"b", "y"}});
  const Ended pinned = run({"pin", kept, "--note", "why it stays"});
  ASSERT_EQ(pinned.code, 0) << pinned.err;
  ASSERT_EQ(pins().size(), 1u);
  EXPECT_EQ(pins()[0].at("records"), json({kept}));
  EXPECT_EQ(pins()[0].at("note"), "why it stays");
  EXPECT_FALSE(pins()[0].contains("expires"));
  ASSERT_EQ(run({"prune", "--all"}).code, 0);
  ASSERT_EQ(records().size(), 1u);
  EXPECT_EQ(records()[0].at("id"), kept);
  const std::string pin = pins()[0].at("pin");
  ASSERT_EQ(run({"unpin", pin}).code, 0);
  EXPECT_TRUE(pins().empty());
  ASSERT_EQ(run({"prune", "--all"}).code, 0);
  EXPECT_TRUE(records().empty());
}

TEST_F(Pin, EndsByItselfIfThatIsSaid) {
  const std::string kept = record_of("kept", {{"a", "x"}});
  ASSERT_EQ(run({"pin", kept, "--expires", "1h"}).code, 0);
  EXPECT_TRUE(pins()[0].contains("expires"));
  ASSERT_EQ(run({"pin", kept, "--expires", "1ns"}).code == 0, true);
  EXPECT_EQ(pins().size(), 1u) << "the second is over";
}

TEST_F(Pin, WhatThereIsNotIsSaid) {
  record_of("kept", {{"a", "x"}});
  EXPECT_EQ(run({"pin", "4711"}).code, 3);
  EXPECT_EQ(run({"pin", "sha256:" + std::string(64, 'a')}).code, 3);
  EXPECT_EQ(run({"pin", "kept"}).code, 2);
  const Ended released = run({"unpin", "9"});
  EXPECT_EQ(released.code, 3);
  EXPECT_THAT(released.err, HasSubstr("hint: pin without arguments lists"));
}

TEST_F(Pin, FilesOfARecordArePrintedWhole) {
  std::string large(20u << 20, 'x');  // several pieces
  for (std::size_t i = 0; i < large.size(); i += 4096) large[i] = static_cast<char>(i >> 12);
  const std::string record = record_of("files", {{"large", large}, {"empty", ""}});
  EXPECT_TRUE(run({"record", "cat", record, "large"}).out == large);
  const Ended empty = run({"record", "cat", record, "empty"});
  EXPECT_EQ(empty.code, 0) << empty.err;
  EXPECT_EQ(empty.out, "");
  EXPECT_EQ(run({"record", "cat", record, "nothing"}).code, 3);
  EXPECT_NE(run({"record", "cat", record, "."}).code, 0);
  EXPECT_NE(run({"record", "cat", record, "../../VERSION"}).code, 0);
  EXPECT_EQ(run({"record", "cat", "4711", "large"}).code, 3);
}

TEST_F(Pin, RecordsAreCompared) {
  const std::string a = record_of("a", {{"same", "x"}, {"differs", "1"}}), b = record_of("b", {{"same", "x"}, {"differs", "2"}, {"new", "y"}});
  const Ended ended = run({"record", "diff", a, b});
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("changed differs: content"));
  EXPECT_THAT(ended.out, HasSubstr("added new"));
  EXPECT_EQ(ended.out.find("same"), std::string::npos);
}

}  // namespace
}  // namespace cairn::test
