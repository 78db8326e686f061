// SPDX-License-Identifier: Apache-2.0
// The signer against the worked examples of the documentation of S3 and of Signature Version 4, whose signatures Amazon
// computed; and what those leave out against rules written down here by hand.
#include "libremote/s3/sigv4.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libbase/hash/sha256.h"

namespace cairn::remote {
namespace {

using std::chrono::sys_days;
using std::chrono::year_month_day;
using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::string hash_of(std::string_view body) { return base::to_hex(base::sha256(body)); }

// "Authenticating requests: using the Authorization header", examples for S3.
const SigV4Credentials s3_credentials{"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"};
const SigV4Scope s3_scope{"us-east-1", "s3", sys_days(year_month_day(2013y / 5 / 24))};
constexpr const char* s3_host = "examplebucket.s3.amazonaws.com";

struct Example {
  const char* name;
  SigV4Request request;
  const char* signature;
};

std::vector<Example> examples_of_s3() {
  return {
      {"get with a range",
       {.method = "GET",
        .path = "/test.txt",
        .headers = {{"Host", s3_host}, {"Range", "bytes=0-9"}},
        .payload_hash = hash_of("")},
       "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
      {"put",
       {.method = "PUT",
        .path = "/test$file.text",
        .headers = {{"Host", s3_host},
                    {"Date", "Fri, 24 May 2013 00:00:00 GMT"},
                    {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
        .payload_hash = hash_of("Welcome to Amazon S3.")},
       "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
      {"lifecycle",
       {.method = "GET", .query = {{"lifecycle", ""}}, .headers = {{"Host", s3_host}}, .payload_hash = hash_of("")},
       "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
      {"list",
       {.method = "GET",
        .query = {{"prefix", "J"}, {"max-keys", "2"}},
        .headers = {{"Host", s3_host}},
        .payload_hash = hash_of("")},
       "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
  };
}

TEST(SigV4, TheExamplesOfTheDocumentationOfS3) {
  int signed_count = 0;
  for (const Example& example : examples_of_s3()) {
    const SigV4Signature made = sign_v4(example.request, s3_credentials, s3_scope);
    EXPECT_EQ(made.signature, example.signature) << example.name << "\n" << made.canonical_request;
    ++signed_count;
  }
  EXPECT_EQ(signed_count, 4);
}

TEST(SigV4, TheExampleOfAnotherServiceOfTheDocumentation) {
  const SigV4Request request{
      .method = "GET",
      .query = {{"Version", "2010-05-08"}, {"Action", "ListUsers"}},
      .headers = {{"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"}, {"Host", "iam.amazonaws.com"}},
      .payload_hash = hash_of(""),
      .path_rule = PathRule::normalised,
      .content_hash = ContentHash::unsent};
  const SigV4Signature made = sign_v4(request, {"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"},
                                      {"us-east-1", "iam", sys_days(year_month_day(2015y / 8 / 30)) + 12h + 36min});
  EXPECT_EQ(made.signature, "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7")
      << made.canonical_request;
  EXPECT_EQ(made.headers.back().first, "Authorization");
  EXPECT_EQ(made.headers.back().second,
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
            "SignedHeaders=content-type;host;x-amz-date, "
            "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7");
}

std::string canonical_path(const std::string& path, PathRule rule) {
  const SigV4Request request{
      .method = "GET", .path = path, .headers = {{"Host", "h"}}, .payload_hash = hash_of(""), .path_rule = rule};
  const std::string text = sign_v4(request, s3_credentials, s3_scope).canonical_request;
  const std::size_t start = text.find('\n') + 1;
  return text.substr(start, text.find('\n', start) - start);
}

TEST(SigV4, APathOfS3IsEncodedOnceAndKeepsItsSegments) {
  EXPECT_EQ(canonical_path("/a//b/../c/./d", PathRule::once), "/a//b/../c/./d");
  EXPECT_EQ(canonical_path("/a b%20+$~\xe1\x88\xb4", PathRule::once), "/a%20b%2520%2B%24~%E1%88%B4");
  EXPECT_EQ(canonical_path("/a//b/../c/./d", PathRule::normalised), "/a/c/d");
  EXPECT_EQ(canonical_path("/a/b/../..", PathRule::normalised), "/");
  EXPECT_EQ(canonical_path("/../a/", PathRule::normalised), "/a/");
  EXPECT_EQ(canonical_path("//", PathRule::normalised), "/");
}

TEST(SigV4, HeadersAreSortedJoinedAndTrimmed) {
  const SigV4Request request{
      .method = "GET",
      .headers = {{"X-B", "  one   two "}, {"Host", "h"}, {"a", "2"}, {"A", "1"}, {"x-b", "\tthree"}},
      .payload_hash = std::string(unsigned_payload),
      .content_hash = ContentHash::unsent};
  EXPECT_EQ(sign_v4(request, s3_credentials, s3_scope).canonical_request,
            "GET\n/\n\na:2,1\nhost:h\nx-amz-date:20130524T000000Z\nx-b:one "
            "two,three\n\na;host;x-amz-date;x-b\nUNSIGNED-PAYLOAD");
}

TEST(SigV4, QueriesAreSortedAsTheyAreEncoded) {
  const SigV4Request request{.method = "GET",
                             .query = {{"b", "2"}, {"a-", "x"}, {"a", "z y"}, {"a", "&"}, {"\xe1\x88\xb4", "v"}},
                             .headers = {{"Host", "h"}},
                             .payload_hash = hash_of("")};
  EXPECT_THAT(sign_v4(request, s3_credentials, s3_scope).canonical_request,
              StartsWith("GET\n/\n%E1%88%B4=v&a=%26&a=z%20y&a-=x&b=2\n"));
}

TEST(SigV4, ASessionTokenIsSentAndSigned) {
  SigV4Credentials credentials = s3_credentials;
  credentials.session_token = "token/+=";
  const SigV4Request request{.method = "GET", .headers = {{"Host", s3_host}}, .payload_hash = hash_of("")};
  const SigV4Signature made = sign_v4(request, credentials, s3_scope);
  EXPECT_THAT(made.canonical_request, HasSubstr("\nx-amz-security-token:token/+=\n"));
  EXPECT_THAT(made.headers, testing::Contains(testing::Pair("X-Amz-Security-Token", "token/+=")));
  EXPECT_NE(made.signature, sign_v4(request, s3_credentials, s3_scope).signature);
  EXPECT_THAT(made.canonical_request + made.string_to_sign, Not(HasSubstr(credentials.secret_access_key)));
}

// Keys longer than a block of the hash are hashed first.
TEST(SigV4, ASecretLongerThanABlock) {
  SigV4Credentials credentials{"id", std::string(61, 'k')};  // "AWS4" comes before it: 65 bytes
  const SigV4Request request{.method = "GET", .headers = {{"Host", "h"}}, .payload_hash = hash_of("")};
  // By hmac and hashlib of Python's library.
  EXPECT_EQ(sign_v4(request, credentials, s3_scope).signature,
            "99c20ebcaa43b717da9314a5d86b2829ac0985c9ae4848543caa259290099da4");
}

}  // namespace
}  // namespace cairn::remote
