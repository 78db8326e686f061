// SPDX-License-Identifier: Apache-2.0
// The Remote Execution API of the real cached: the conformance suite asks it from another process, as it would ask any server.
#include <csignal>

#include <gmock/gmock.h>

#include "tests/e2e_cached/cached_program.h"

namespace cairn::test {
namespace {

using ::testing::HasSubstr;

TEST(CachedGrpc, AnswersTheConformanceSuiteAndSharesItsBytesWithHttp) {
  CachedProgram cached({"--grpc", "127.0.0.1:0"});
  const std::string address = cached.grpc_address();
  ASSERT_NE(address, "");
  const Ended suite = cached.run({"env", "CAIRN_REAPI_SERVER=" + address, CAIRN_BIN_DIR "/serve_grpc_test", "--gtest_brief=1", "--gtest_filter=*Conformance.*"});
  EXPECT_EQ(suite.code, 0) << suite.out << suite.err;
  EXPECT_THAT(suite.out, HasSubstr("30 tests"));
  const Ended load = cached.run({CAIRN_BIN_DIR "/serve_load", address, "update-action", "--seconds", "0.2", "--clients", "2"});
  EXPECT_EQ(load.code, 0) << load.err;
  // The stores' own view of it: action results are records of Bazel's.
  const Ended du = cached.cachectl({"du", "--by", "project", "--json"});
  EXPECT_THAT(du.out, HasSubstr("\"bazel\""));
  EXPECT_THAT(du.out, HasSubstr("\"bazel/conformance\""));
  EXPECT_EQ(cached.stop(SIGTERM).code, 0);
  const Ended fsck = cached.cachectl({"fsck", "--json"});
  EXPECT_EQ(fsck.code, 0) << fsck.out;
}

}  // namespace
}  // namespace cairn::test
