// SPDX-License-Identifier: Apache-2.0
// Filters mean what they mean in BuildKit, and what is no filter says where.
#include <gtest/gtest.h>

#include "libcache/policy.h"

namespace cairn::cache {
namespace {

RecordInfo record(RecordType type, std::string description, std::vector<RecordId> parents = {}) {
  RecordInfo info;
  info.id = RecordId(42);
  info.parents = std::move(parents);
  info.facts.type = type;
  info.facts.description = std::move(description);
  return info;
}

bool matches(std::string_view text, const RecordInfo& info, InUse in_use = InUse::no) {
  const auto filter = RecordFilter::parse(text);
  EXPECT_TRUE(filter) << text << ": " << (filter ? "" : filter.error().message);
  return filter && filter->matches(info, in_use);
}

const RecordInfo exec = record(RecordType::regular, "exec cc -c a.c, b.c", {RecordId(1), RecordId(7)});
const RecordInfo mount = record(RecordType::exec_cache_mount, "cached mount /root/.cache");

TEST(Filter, ComparesFields) {
  EXPECT_TRUE(matches("type==exec.cachemount", mount));
  EXPECT_FALSE(matches("type==exec.cachemount", exec));
  EXPECT_TRUE(matches("type!=exec.cachemount", exec));
  EXPECT_TRUE(matches("type=regular", exec));
  EXPECT_TRUE(matches("id==42", exec));
  EXPECT_TRUE(matches("parents==1;7", exec));
  EXPECT_TRUE(matches("parents", exec));
  EXPECT_FALSE(matches("parents", mount));
}

TEST(Filter, AllConditionsHoldAndSpacesDoNotCount) {
  EXPECT_TRUE(matches("type==regular,id==42", exec));
  EXPECT_FALSE(matches("type==regular,id==43", exec));
  EXPECT_TRUE(matches("  type == regular , id != 43 ", exec));
  EXPECT_TRUE(matches("", exec));
}

TEST(Filter, TruthsArePresence) {
  EXPECT_TRUE(matches("inuse", exec, InUse::yes));
  EXPECT_FALSE(matches("inuse", exec));
  EXPECT_TRUE(matches("immutable", exec));
  EXPECT_FALSE(matches("mutable", exec));
  EXPECT_TRUE(matches("private", exec));
  EXPECT_FALSE(matches("shared", exec));
  EXPECT_FALSE(matches("inuse==true", exec, InUse::yes));  // it is there and empty
  EXPECT_FALSE(matches("no_such_field", exec));
  EXPECT_TRUE(matches("no_such_field!=x", exec));
}

TEST(Filter, ReadsQuotesEscapesAndExpressions) {
  EXPECT_TRUE(matches(R"(description=="exec cc -c a.c, b.c")", exec));
  EXPECT_TRUE(matches("description==`exec cc -c a.c, b.c`", exec));
  EXPECT_TRUE(matches(R"(description=="\x65xec \143c -c a.c, b.\u0063")", exec));
  EXPECT_TRUE(matches("description~=cc", exec));
  EXPECT_TRUE(matches("description~=/a\\.c, b/", exec));
  EXPECT_TRUE(matches("description~=|^exec .*c$|", exec));
  EXPECT_TRUE(matches("description~=/^cached mount \\/root/", mount));
  EXPECT_FALSE(matches("description~=^cc", exec));
  EXPECT_TRUE(matches(R"("type"==regular)", exec));
}

TEST(Filter, UntilIsAnAge) {
  const auto filter = RecordFilter::parse("type==regular,until=24h");
  ASSERT_TRUE(filter);
  EXPECT_EQ(filter->unused_for(), std::chrono::hours(24));
  EXPECT_TRUE(filter->matches(exec, InUse::no));
  EXPECT_EQ(RecordFilter::parse("unused-for=2d")->unused_for(), std::chrono::hours(48));
  EXPECT_EQ(RecordFilter::parse("type==regular")->unused_for(), std::nullopt);
}

TEST(Filter, KnowsTheOneTypeItIsFor) {
  EXPECT_EQ(RecordFilter::parse("id!=1,type==source.local")->only_type(), RecordType::source_local);
  EXPECT_EQ(RecordFilter::parse("type!=source.local")->only_type(), std::nullopt);
  EXPECT_EQ(RecordFilter::parse("type~=source")->only_type(), std::nullopt);
}

TEST(Filter, WhatIsWrongSaysWhere) {
  const std::pair<const char*, const char*> wrong[] = {
      {",", "at 1: want a field"},          {"type==", "at 7: want a value"},     {"type=!x", "at 5: want ==, != or ~="},
      {"type==a b", "at 9: want a comma"},  {"type==\"a", "quotes do not end"},   {"type==a,", "at 9: want a field"},
      {"type==/a/", "use double quotes"},   {"description~=(", "missing )"},      {"description~=/a", "does not end"},
      {"until=soon", "no age"},             {"until!=1h", "want until=AGE"},      {R"(id=="\q")", "unknown escape"},
      {R"(id=="\u00")", "unknown escape"},  {"type..x", "want a field"},          {"!x", "want a field"}};
  for (const auto& [text, why] : wrong) {
    const auto filter = RecordFilter::parse(text);
    ASSERT_FALSE(filter) << text;
    EXPECT_EQ(filter.error().code, base::ErrorCode::invalid_argument);
    EXPECT_NE(filter.error().message.find(why), std::string::npos) << filter.error().message;
  }
}

TEST(Filter, AnExpressionThatBacktracksElsewhereTakesLinearTime) {
  const RecordInfo info = record(RecordType::regular, std::string(20'000, 'a'));
  EXPECT_FALSE(matches("description~=/^(a*)*b$/", info));
}

}  // namespace
}  // namespace cairn::cache
