// SPDX-License-Identifier: Apache-2.0
// The parts of config.json that decide what a step may do.
#include "libsolver/exec/oci_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace cairn::solver {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

json config_of(const ExecRequest& request, const char* runtime_name = "crun") {
  const Runtime runtime{runtime_name, *base::HostPath::parse("/usr/bin/x"), CgroupView::host};
  const auto text = oci_config(request, {7, 8, {8, 9}, "/home"}, default_mounts(), 1, runtime);
  EXPECT_TRUE(text);
  return json::parse(text ? *text : "{}");
}

ExecRequest two_arguments() {
  ExecRequest request;
  request.id = "id";
  request.args = {"a", "b"};
  request.env = {"A=1", "PATH=/x"};
  return request;
}

std::vector<std::string> namespaces(const json& config) {
  std::vector<std::string> types;
  for (const json& each : config["linux"]["namespaces"]) types.push_back(each["type"]);
  return types;
}

TEST(OciConfig, process) {
  const json process = config_of(two_arguments())["process"];
  EXPECT_EQ(process["args"], json::array({"a", "b"}));
  EXPECT_EQ(process["env"], json::array({"A=1", "PATH=/x", "HOME=/home"}));
  EXPECT_EQ(process["user"]["uid"], 7);
  EXPECT_EQ(process["user"]["gid"], 8);
  EXPECT_EQ(process["user"]["additionalGids"], json::array({8, 9}));
  EXPECT_EQ(process["noNewPrivileges"], false);
  EXPECT_EQ(process["capabilities"]["bounding"], json::array({"CAP_CHOWN"}));
  EXPECT_FALSE(process["capabilities"].contains("ambient"));
  ASSERT_EQ(process["rlimits"].size(), 1u);
  EXPECT_EQ(process["rlimits"][0]["type"], "RLIMIT_CORE");
  EXPECT_LE(process["rlimits"][0]["hard"], 1);
}

TEST(OciConfig, only_no_network_has_a_network_of_its_own) {
  ExecRequest request = two_arguments();
  EXPECT_THAT(namespaces(config_of(request)), ElementsAre("pid", "ipc", "uts", "mount"));
  request.network = NetworkMode::none;
  EXPECT_THAT(namespaces(config_of(request)), ElementsAre("pid", "ipc", "uts", "mount", "network"));
}

TEST(OciConfig, secrets_of_the_machine_are_masked) {
  const json config = config_of(two_arguments());
  EXPECT_THAT(config["linux"]["maskedPaths"].dump(), HasSubstr("\"/proc/kcore\""));
  EXPECT_THAT(config["linux"]["readonlyPaths"].dump(), HasSubstr("\"/proc/sys\""));
  EXPECT_FALSE(config["linux"].contains("cgroupsPath"));
  EXPECT_EQ(config_of(two_arguments(), "runc")["linux"]["cgroupsPath"], "/cairn/id");
}

TEST(OciConfig, an_insecure_step_is_not_held_back) {
  ExecRequest request = two_arguments();
  request.security = SecurityMode::insecure;
  const json config = config_of(request);
  EXPECT_FALSE(config["linux"].contains("maskedPaths"));
  EXPECT_FALSE(config["linux"].contains("readonlyPaths"));
  EXPECT_THAT(config["mounts"].dump(), HasSubstr("\"nodev\",\"rw\""));
  EXPECT_THAT(config_of(two_arguments())["mounts"].dump(), HasSubstr("\"nodev\",\"ro\""));
  EXPECT_EQ(config_of(request, "runc")["linux"]["resources"]["devices"][0]["access"], "rwm");
  EXPECT_THAT(capability_names(step_capabilities(SecurityMode::insecure)), ::testing::Contains("CAP_SYS_ADMIN"));
}

TEST(OciConfig, a_runtime_that_makes_cgroups_is_told_the_limits) {
  const Runtime runc{"runc", *base::HostPath::parse("/usr/bin/x"), CgroupView::host};
  const auto text = oci_config(two_arguments(), {}, {}, 0, runc, {.processes = 5, .memory_bytes = 1 << 20});
  ASSERT_TRUE(text);
  const json resources = json::parse(*text)["linux"]["resources"];
  EXPECT_EQ(resources["pids"]["limit"], 5);
  EXPECT_EQ(resources["memory"]["limit"], 1 << 20);
}

TEST(OciConfig, capabilities_are_the_usual_ones) {
  const auto names = capability_names(step_capabilities(SecurityMode::sandbox));
  EXPECT_THAT(names, ::testing::Contains("CAP_CHOWN"));
  EXPECT_THAT(names, ::testing::Not(::testing::Contains("CAP_SYS_ADMIN")));
  EXPECT_LE(names.size(), 14u);
}

TEST(OciConfig, texts_must_be_utf8_without_nul) {
  const Runtime runtime{"crun", *base::HostPath::parse("/usr/bin/crun"), CgroupView::host};
  ExecRequest request = two_arguments();
  request.env = {"A=\xff"};
  EXPECT_EQ(oci_config(request, {}, {}, 0, runtime).error().code, base::ErrorCode::invalid_argument);
  request.env = {std::string("A=\0", 3)};
  EXPECT_EQ(check_request(request).error().code, base::ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace cairn::solver
