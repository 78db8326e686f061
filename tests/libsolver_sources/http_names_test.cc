// SPDX-License-Identifier: Apache-2.0
#include "libsolver/sources/http_names.h"

#include <gtest/gtest.h>

namespace cairn::solver {
namespace {

TEST(HttpNames, OneSafeComponent) {
  EXPECT_EQ(safe_file_name("foo.txt"), "foo.txt");
  EXPECT_EQ(safe_file_name("  a b/c d.txt  "), "c d.txt");
  EXPECT_EQ(safe_file_name("资料.txt"), "资料.txt");
  for (const char* none : {"", ".", "..", "../", "/", "a\nb", "a\x7f", "\xc2\x85"}) EXPECT_EQ(safe_file_name(none), "download") << none;
  EXPECT_EQ(safe_file_name(std::string_view("a\0b", 3)), "download");
}

TEST(HttpNames, ContentDisposition) {
  EXPECT_EQ(disposition_file_name("attachment"), std::nullopt);
  EXPECT_EQ(disposition_file_name("attachment; filename=plain.bin"), "plain.bin");
  EXPECT_EQ(disposition_file_name("attachment; FileName = \"a \\\"b\\\".txt\" ;"), "a \"b\".txt");
  EXPECT_EQ(disposition_file_name("attachment; filename=\"C:\\dir\\f.txt\""), "C:\\dir\\f.txt");
  EXPECT_EQ(disposition_file_name("attachment; filename*=UTF-8''na%C3%AFve.txt; filename=x"), "na\xc3\xafve.txt");
  EXPECT_EQ(disposition_file_name("attachment; filename*0=\"long\"; filename*1=\"er\""), "longer");
  EXPECT_EQ(disposition_file_name("attachment; filename=a; filename=b"), std::nullopt);
  EXPECT_EQ(disposition_file_name("attachment; filename=\"open"), std::nullopt);
  EXPECT_EQ(disposition_file_name("attachment; filename=a b"), std::nullopt);
}

TEST(HttpNames, WhatNamesTheFile) {
  EXPECT_EQ(http_file_name("http://h/a/b.tgz?x=/y", "", ""), "b.tgz");
  EXPECT_EQ(http_file_name("http://h/a/", "", ""), "a");
  EXPECT_EQ(http_file_name("http://h", "", ""), "download");
  EXPECT_EQ(http_file_name("http://h/?q=1", "", ""), "download");
  EXPECT_EQ(http_file_name("http://h/sp%20ace", "", ""), "sp ace");
  EXPECT_EQ(http_file_name("http://h/%2e%2e", "", ""), "download");
  EXPECT_EQ(http_file_name("http://h/url", "", "x; filename=said"), "said");
  EXPECT_EQ(http_file_name("http://h/url", "", "x; filename=\"dir/\""), "url");
  EXPECT_EQ(http_file_name("http://h/url", "asked", "x; filename=said"), "asked");
}

TEST(HttpNames, Times) {
  EXPECT_EQ(parse_http_time("Wed, 21 Oct 2015 07:28:00 GMT"), 1445412480);
  EXPECT_EQ(parse_http_time("Wednesday, 21-Oct-15 07:28:00 GMT"), 1445412480);
  EXPECT_EQ(parse_http_time("Wed Oct 21 07:28:00 2015"), 1445412480);
  EXPECT_EQ(parse_http_time("not a date"), std::nullopt);
  EXPECT_EQ(parse_http_time(""), std::nullopt);
  EXPECT_EQ(format_http_time(1445412480), "Wed, 21 Oct 2015 07:28:00 GMT");
  EXPECT_EQ(strong_etag("W/\"a\""), "\"a\"");
}

}  // namespace
}  // namespace cairn::solver
