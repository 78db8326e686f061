// SPDX-License-Identifier: Apache-2.0
#include "libsolver/files/mode_text.h"

#include <gtest/gtest.h>

namespace cairn::solver {
namespace {

mode_t changed(std::string_view text, mode_t mode) {
  const auto change = ModeChange::parse(text);
  EXPECT_TRUE(change) << text;
  return change ? change->apply(mode) : 0;
}

TEST(ModeText, NumbersAreTheWholeMode) {
  EXPECT_EQ(changed("755", S_IFREG | 04644), 0755u);
  EXPECT_EQ(changed("0", S_IFREG | 0777), 0u);
  EXPECT_EQ(changed("1777", S_IFDIR | 0755), 01777u);
  EXPECT_EQ(changed("07777", S_IFDIR | 0), 07777u);
}

TEST(ModeText, ClausesAreDoneInOrder) {
  EXPECT_EQ(changed("u+x", S_IFREG | 0644), 0744u);
  EXPECT_EQ(changed("+x", S_IFREG | 0644), 0755u);
  EXPECT_EQ(changed("go-w", S_IFREG | 0666), 0644u);
  EXPECT_EQ(changed("a=r", S_IFREG | 0777), 0444u);
  EXPECT_EQ(changed("u=rwx,go=rx", S_IFREG | 0), 0755u);
  EXPECT_EQ(changed("a=,u+r", S_IFREG | 0777), 0400u);
  EXPECT_EQ(changed("u+w-x", S_IFREG | 0544), 0644u);
  EXPECT_EQ(changed("go=", S_IFREG | 0777), 0700u);
}

TEST(ModeText, CapitalXIsForDirectoriesAndWhatRunsAlready) {
  EXPECT_EQ(changed("u=rwX,go=rX", S_IFREG | 0600), 0644u);
  EXPECT_EQ(changed("u=rwX,go=rX", S_IFREG | 0700), 0755u);
  EXPECT_EQ(changed("u=rwX,go=rX", S_IFDIR | 0600), 0755u);
  EXPECT_EQ(changed("-x,+X", S_IFREG | 0755), 0755u) << "what counts is the mode before the change";
}

TEST(ModeText, ClassesCanBeCopied) {
  EXPECT_EQ(changed("go=u", S_IFREG | 0740), 0777u);
  EXPECT_EQ(changed("go=u-w", S_IFREG | 0740), 0755u);
  EXPECT_EQ(changed("o+g", S_IFREG | 0750), 0755u);
  EXPECT_EQ(changed("g-u", S_IFREG | 0470), 0430u);
}

TEST(ModeText, SetIdAndStickyBitsBelongToTheirClasses) {
  EXPECT_EQ(changed("u+s", S_IFREG | 0755), 04755u);
  EXPECT_EQ(changed("g+s", S_IFREG | 0755), 02755u);
  EXPECT_EQ(changed("+s", S_IFREG | 0755), 06755u);
  EXPECT_EQ(changed("o+s", S_IFREG | 0755), 0755u);
  EXPECT_EQ(changed("+t", S_IFDIR | 0777), 01777u);
  EXPECT_EQ(changed("o+t", S_IFDIR | 0777), 0777u);
  EXPECT_EQ(changed("u=rw", S_IFREG | 04755), 0655u);
  EXPECT_EQ(changed("a=rx", S_IFDIR | 01777), 01555u) << "the sticky bit stays unless it is named";
}

TEST(ModeText, WhatMeansNothingIsRefused) {
  for (const char* text : {"8", "10000", "64x", "u", "rwx", "u+q", "u+x,", ",u+x", "u+x;g+x", "+x go-w"}) {
    const auto change = ModeChange::parse(text);
    ASSERT_FALSE(change) << text;
    EXPECT_EQ(change.error().code, base::ErrorCode::invalid_argument) << text;
  }
}

}  // namespace
}  // namespace cairn::solver
