// SPDX-License-Identifier: Apache-2.0
// https:// against a real TLS server (openssl s_server) with certificates that the test makes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>
#include <memory>
#include <regex>
#include <thread>

#include "libremote/bodies/bodies.h"
#include "libremote/http_fetcher.h"
#include "libremote/registry/http_repository.h"
#include "tests/e2e/program.h"
#include "tests/libremote/certificate.h"
#include "tests/support/oci_layout_builder.h"
#include "tests/support/temp_dir.h"

namespace cairn::remote {
namespace {

using base::ErrorCode;
using base::Result;
using testing::HasSubstr;

class TlsTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { ::setenv("no_proxy", "*", 1); }

  // Serves the files of dir_ with a certificate for this name, which nobody knows yet. Returns the server's address.
  std::string serve(const std::string& name) {
    test::make_certificate(dir_.path(), name, key_, certificate_);
    test::write_text(dir_ / "file", "over TLS");
    server_ = std::make_unique<test::Program>(
        dir_.path(), std::vector<std::string>{"sh", "-c", "cd \"$1\" && exec openssl s_server -accept 127.0.0.1:0 -WWW -cert \"$2\" -key \"$3\"",
                                              "sh", dir_.path().str(), certificate_.str(), key_.str()});
    static const std::regex listening("ACCEPT 127\\.0\\.0\\.1:([0-9]+)");
    std::smatch found;
    for (int i = 0; i < 6'000; ++i) {
      const std::string said = server_->out_so_far();
      if (std::regex_search(said, found, listening)) return "https://127.0.0.1:" + found[1].str();
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    ADD_FAILURE() << "openssl s_server does not listen: " << server_->out_so_far() << server_->err_so_far();
    return "";
  }
  static Result<std::string> get(const std::string& url, HttpOptions options) {
    const auto fetcher = make_http_fetcher(std::move(options));
    cache::FetchAnswer answer = TRY(fetcher->fetch({.url = url}, {}));
    EXPECT_EQ(answer.status, 200);
    return read_whole(*answer.body, 1 << 20);
  }
  HttpOptions trusting() const {
    HttpOptions options;
    options.ca_file = certificate_.str();
    return options;
  }

  test::TempDir dir_;
  const base::HostPath key_ = dir_ / "key.pem", certificate_ = dir_ / "certificate.pem";
  std::unique_ptr<test::Program> server_;
};

TEST_F(TlsTest, ACertificateThatIsTrustedIsEnough) {
  const std::string url = serve("IP:127.0.0.1");
  const auto body = get(url + "/file", trusting());
  ASSERT_TRUE(body) << body.error().message;
  EXPECT_EQ(*body, "over TLS");
}

TEST_F(TlsTest, TheEnvironmentSaysWhomToTrust) {
  const std::string url = serve("IP:127.0.0.1");
  ::setenv("SSL_CERT_FILE", certificate_.c_str(), 1);
  const HttpOptions options = http_options_of_environment();
  ::unsetenv("SSL_CERT_FILE");
  EXPECT_EQ(options.ca_file, certificate_.str());
  EXPECT_EQ(http_options_of_environment().ca_file, "");
  EXPECT_TRUE(get(url + "/file", options));
}

TEST_F(TlsTest, AnUnknownCertificateIsRefused) {
  const std::string url = serve("IP:127.0.0.1");
  const auto body = get(url + "/file", {});
  ASSERT_FALSE(body);
  EXPECT_EQ(body.error().code, ErrorCode::io);
  EXPECT_THAT(body.error().message, HasSubstr("certificate"));
}

TEST_F(TlsTest, ACertificateOfAnotherHostIsRefused) {
  const std::string url = serve("DNS:other.example");
  const auto body = get(url + "/file", trusting());
  ASSERT_FALSE(body);
  EXPECT_EQ(body.error().code, ErrorCode::io);
  EXPECT_THAT(body.error().message, HasSubstr("127.0.0.1"));
}

TEST_F(TlsTest, AMissingFileOfCertificatesIsSaidSo) {
  HttpOptions options;
  options.ca_file = (dir_ / "none.pem").str();
  const std::string url = serve("IP:127.0.0.1");
  const auto body = get(url + "/file", options);
  ASSERT_FALSE(body);
  EXPECT_THAT(body.error().message, HasSubstr("none.pem"));
}

}  // namespace
}  // namespace cairn::remote
