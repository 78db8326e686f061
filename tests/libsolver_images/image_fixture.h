// SPDX-License-Identifier: Apache-2.0
// Images of a small root file system with steps on it, exported by a real solver and looked at with the programs that
// people have.
#pragma once

#include <nlohmann/json.hpp>

#include "libsolver/images.h"
#include "libsolver/platform.h"
#include "tests/e2e/program.h"
#include "tests/libsolver_remote_cache/remote_cache_fixture.h"
#include "tests/support/busybox_root.h"
#include "tests/support/registry_server.h"
#include "tests/support/tree_state.h"

namespace cairn::solver {

using Json = nlohmann::json;

class ImageTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { ::setenv("no_proxy", "*", 1); }
  static constexpr std::int64_t epoch = 1'600'000'000;

  // A root with busybox, then a file, and a step that takes one away.
  static Definition steps() {
    llb::State state = llb::local("root");
    state = state.file(llb::FileActions().mkfile("/etc/motto", 0640, "nothing is lost\n"));
    state = state.file(llb::FileActions().rm("/etc/group"));
    return must(load_definition(must(llb::marshal(state))));
  }
  static std::string config() {
    return R"({"architecture":"amd64","os":"linux","config":{"Cmd":["/bin/busybox","cat","/etc/motto"],)"
           R"("Env":["PATH=/bin"],"Labels":{"a":"<b>"}},"x.unknown":{"kept":1.50},)"
           R"("history":[{"created_by":"COPY root /"},{"created_by":"RUN motto"},)"
           R"({"created_by":"ENV PATH=/bin","empty_layer":true},{"created_by":"RUN rm"}]})";
  }
  void solve(Machine& machine) {
    machine.locals.emplace("root", root());
    ASSERT_GE(machine.solve(steps()), 0);
  }
  base::HostPath root() {
    if (!root_) {
      root_.emplace();
      must(test::make_busybox_root(*root_ / "root"));
    }
    return *root_ / "root";
  }
  static ImageExport order(const Machine& machine, const OutputAttributes& attributes) {
    ImageExport order;
    order.output = must(parse_image_output(attributes));
    order.epoch = epoch;
    ImageToExport image;
    image.platform = platform("amd64");
    image.result = machine.outcome.result;
    image.config = config();
    order.images.push_back(std::move(image));
    return order;
  }
  static wire::Platform platform(const std::string& architecture) {
    wire::Platform platform;
    platform.os = "linux";
    platform.architecture = architecture;
    return platform;
  }
  ImagesExported exported(Machine& machine, const OutputAttributes& attributes) {
    auto outcome = machine.solver().export_images(order(machine, attributes), {});
    EXPECT_TRUE(outcome.has_value()) << (outcome ? "" : outcome.error().message);
    return outcome.value_or(ImagesExported());
  }
  std::string path(const std::string& name) const { return (dir_ / name).str(); }
  // What a program prints, which has to end well.
  std::string run(std::vector<std::string> argv) {
    const std::string name = argv.front() + " " + argv.at(1);
    const test::Ended ended = test::run_program(dir_.path(), std::move(argv));
    EXPECT_EQ(ended.code, 0) << name << ": " << ended.err;
    return ended.out;
  }
  Json run_json(std::vector<std::string> argv) { return Json::parse(run(std::move(argv)), nullptr, false); }
  static std::string state_of(const std::string& directory) {
    const base::Fd fd = must(base::open_host_dir(must(base::HostPath::parse(directory))));
    return must(test::tree_state(fd.get()));
  }
  static std::string bytes_of(const std::string& file) {
    return must(base::read_file(must(base::HostPath::parse(file)), 64 << 20));
  }

  test::TempDir dir_;

 private:
  std::optional<test::TempDir> root_;
};

}  // namespace cairn::solver
