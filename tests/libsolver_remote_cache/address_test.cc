// SPDX-License-Identifier: Apache-2.0
// What --cache-from and --cache-to may say, and what of it is an error that names it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "libsolver/remote_cache.h"

namespace cairn::solver {
namespace {

using testing::HasSubstr;
using testing::Not;

CacheAttributes s3(const CacheAttributes& more = {}) {
  CacheAttributes all = more;
  all.merge(CacheAttributes{{"type", "s3"}, {"bucket", "team"}, {"region", "eu-north-1"}});
  return all;
}

void expect_refused(const CacheAttributes& attributes, const std::string& part) {
  const auto parsed = parse_cache_export(attributes);
  ASSERT_FALSE(parsed) << part;
  EXPECT_EQ(parsed.error().code, base::ErrorCode::invalid_argument);
  EXPECT_THAT(parsed.error().message, HasSubstr(part));
}

TEST(CacheAddress, OfABucketHasBuildKitsDefaults) {
  const auto to = parse_cache_export(s3());
  ASSERT_TRUE(to) << to.error().message;
  EXPECT_EQ(to->to.tag, "buildkit");
  EXPECT_EQ(to->to.s3.manifests, "manifests/");
  EXPECT_EQ(to->to.s3.blobs, "blobs/");
  EXPECT_EQ(to->to.s3.renew_after, std::chrono::hours(24));
  EXPECT_EQ(to->to.s3.bucket.names, cache::BucketAddress::Names::in_host);
  EXPECT_EQ(to->uploads_at_once, 4u);
  EXPECT_EQ(to->mode, ExportOptions::Mode::min);
  EXPECT_EQ(to->to.text(), "s3 cache s3://team/manifests/buildkit");
}

TEST(CacheAddress, OfABucketSaysAllThatBuildKitsDoes) {
  const auto to = parse_cache_export(s3({{"prefix", "p/"},
                                         {"manifests_prefix", "m/"},
                                         {"blobs_prefix", "b/"},
                                         {"name", "one;two"},
                                         {"endpoint_url", "http://127.0.0.1:9000"},
                                         {"use_path_style", "true"},
                                         {"access_key_id", "key"},
                                         {"secret_access_key", "hidden"},
                                         {"session_token", "hidden, too"},
                                         {"touch_refresh", "1h30m"},
                                         {"upload_parallelism", "8"},
                                         {"mode", "max"},
                                         {"retry_mode", "adaptive"},
                                         {"ignore-error", "true"}}));
  ASSERT_TRUE(to) << to.error().message;
  EXPECT_EQ(to->to.s3.manifests, "p/m/");
  EXPECT_EQ(to->to.s3.blobs, "p/b/");
  EXPECT_EQ(to->to.tag, "one");
  EXPECT_EQ(to->to.more_tags, std::vector<std::string>{"two"});
  EXPECT_EQ(to->to.s3.bucket.names, cache::BucketAddress::Names::in_path);
  EXPECT_EQ(to->to.s3.credentials.session_token, "hidden, too");
  EXPECT_EQ(to->to.s3.renew_after, std::chrono::minutes(90));
  EXPECT_EQ(to->uploads_at_once, 8u);
  EXPECT_EQ(to->on_error, CacheExport::OnError::warn);
  EXPECT_THAT(to->to.text(), Not(HasSubstr("hidden")));
}

TEST(CacheAddress, TakesBucketAndRegionFromTheEnvironment) {
  ::setenv("AWS_BUCKET", "of-environment", 1);
  ::setenv("AWS_REGION", "eu-west-1", 1);
  const auto from = parse_cache_import({{"type", "s3"}});
  ::unsetenv("AWS_BUCKET");
  ::unsetenv("AWS_REGION");
  ASSERT_TRUE(from) << from.error().message;
  EXPECT_EQ(from->place, "of-environment");
  EXPECT_EQ(from->s3.bucket.region, "eu-west-1");
}

TEST(CacheAddress, ACacheInAnImageIsWrittenWithItAndFoundByIt) {
  const auto to = parse_cache_export({{"type", "inline"}});
  ASSERT_TRUE(to) << to.error().message;
  EXPECT_EQ(to->to.type, CacheAddress::Type::in_image);
  expect_refused({{"type", "inline"}, {"mode", "max"}}, "do not know \"mode\"");
  const auto from = parse_cache_import({{"type", "inline"}, {"ref", "x"}});
  ASSERT_FALSE(from);
  EXPECT_THAT(from.error().hint, HasSubstr("type=registry"));
}

TEST(CacheAddress, WhatMeansNothingIsRefused) {
  expect_refused({{"type", "azblob"}}, "want local, registry or s3");
  expect_refused({{"type", "s3"}, {"region", "x"}}, "bucket is missing");
  expect_refused({{"type", "s3"}, {"bucket", "x"}}, "region is missing");
  expect_refused(s3({{"ref", "x"}}), "do not know \"ref\"");
  expect_refused(s3({{"name", ";"}}), "the name is empty");
  expect_refused(s3({{"name", "a\nb"}}), "name of an object");
  expect_refused(s3({{"prefix", std::string(600, 'x')}}), "name of an object");
  expect_refused(s3({{"access_key_id", "x"}}), "go together");
  expect_refused(s3({{"use_path_style", "maybe"}}), "want true or false");
  for (const char* time : {"1", "h", "-1h", "1h2", "99999999999999h"})
    expect_refused(s3({{"touch_refresh", time}}), "touch_refresh");
  for (const char* count : {"0", "-1", "65", "x", "4x"})
    expect_refused(s3({{"upload_parallelism", count}}), "upload_parallelism");
}

}  // namespace
}  // namespace cairn::solver
