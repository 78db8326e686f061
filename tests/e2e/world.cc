// SPDX-License-Identifier: Apache-2.0
#include "tests/e2e/world.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "libcache/cache.h"
#include "tests/support/busybox_root.h"
#include "tools/engine/engine.h"

namespace cairn::test {

using ::testing::IsEmpty;

Words Solved::in_state(const std::string& state) const {
  Words names;
  for (const auto& [name, found] : states) {
    if (found == state) names.push_back(name);
  }
  return names;
}

Solved parse_solved(const Ended& ended) {
  Solved solved;
  solved.code = ended.code;
  solved.out = ended.out;
  solved.err = ended.err;
  const auto json = nlohmann::json::parse(ended.out, nullptr, false);
  if (!json.is_object()) return solved;
  solved.vertices = json.value("vertices", std::size_t{0});
  solved.executed = json.value("executed", std::size_t{0});
  solved.cached = json.value("cached", std::size_t{0});
  solved.failed = json.value("failed", std::size_t{0});
  solved.cancelled = json.value("cancelled", std::size_t{0});
  for (const auto& step : json.value("steps", nlohmann::json::array())) {
    solved.states[step.value("name", "")] = step.value("state", "");
  }
  EXPECT_EQ(solved.executed + solved.cached + solved.failed + solved.cancelled, solved.vertices) << ended.out;
  return solved;
}

const BusyboxImage& busybox_image() {
  static const std::unique_ptr<BusyboxImage> image = [] {
    auto made = std::make_unique<BusyboxImage>();
    const auto root = make_busybox_root(made->dir / "root");
    CHECK(root, "{}", root.error().message);
    made->manifest = write_layout(made->layout(), {.layer_tars = {tar_of(made->dir / "root")}, .env = {}, .variant = ""});
    return made;
  }();
  return *image;
}

World::World() : root_(temp_ / "store") {}

void World::TearDown() {
  if (::access((root_ / "VERSION").c_str(), F_OK) == 0) expect_clean();
}

void World::expect_clean() {
  EXPECT_THAT(read_text("/proc/self/mountinfo"), ::testing::Not(::testing::HasSubstr((root_ / "trees").str())));
  EXPECT_THAT(names_in(root_ / "tmp"), IsEmpty());
  const auto env = engine::open_read_only(root_);
  ASSERT_TRUE(env) << env.error().message;
  const auto findings = cache::check(**env, root_);
  ASSERT_TRUE(findings) << findings.error().message;
  for (const cache::Finding& finding : *findings) ADD_FAILURE() << "I" << finding.invariant << ": " << finding.text;
}

llb::State World::image() const {
  return llb::oci_layout("base@" + busybox_image().manifest.str(), {.name = "image"}).env("PATH", "/bin");
}

llb::ExecState World::step(const std::string& name, const std::string& script, std::vector<llb::Mount> mounts) const {
  mounts.push_back({.dest = "/out"});
  return image().run({"sh", "-c", script}, {.mounts = std::move(mounts), .name = name});
}

llb::State World::output(const std::string& name, const std::string& script, std::vector<llb::Mount> mounts) const {
  return step(name, script, std::move(mounts)).mount_output("/out");
}

std::string World::bytes_of(const llb::State& state) {
  auto bytes = llb::marshal(state, {.platform = {}, .local_unique_id = "e2e"});
  CHECK(bytes, "marshal: {}", bytes.error().message);
  return *bytes;
}

base::HostPath World::write_graph(const std::string& bytes) {
  base::HostPath file = temp_ / ("graph-" + std::to_string(++next_graph_) + ".pb");
  write_text(file, bytes);
  return file;
}

Words World::solve_command(const base::HostPath& graph, Words more) const {
  Words command = {"--root", root_.str(), "solve", graph.str(), "--oci-layout", "base=" + busybox_image().layout().str()};
  command.insert(command.end(), more.begin(), more.end());
  return command;
}

Ended World::cachectl(Words arguments, const std::string& input) {
  arguments.insert(arguments.begin(), CAIRN_BIN_DIR "/cachectl");
  return run_program(temp_.path(), std::move(arguments), input);
}

Solved World::solve_bytes(const std::string& bytes, Words more) {
  more.insert(more.end(), {"--json", "--progress", "none"});
  return parse_solved(cachectl(solve_command(write_graph(bytes), std::move(more))));
}

Solved World::solve(const llb::State& state, Words more) { return solve_bytes(bytes_of(state), std::move(more)); }

std::unique_ptr<Program> World::start_solve(const llb::State& state, Words more) {
  if (std::find(more.begin(), more.end(), "--progress") == more.end()) more.insert(more.end(), {"--progress", "plain"});
  more.push_back("--json");
  Words command = solve_command(write_graph(bytes_of(state)), std::move(more));
  command.insert(command.begin(), CAIRN_BIN_DIR "/cachectl");
  return std::make_unique<Program>(temp_.path(), std::move(command));
}

engine::SolveOrder World::order(const llb::State& state, std::map<std::string, std::string> locals) {
  engine::SolveOrder made;
  made.definition = bytes_of(state);
  made.locals = std::move(locals);
  made.oci_layouts = {{"base", busybox_image().layout().str()}};
  return made;
}

base::HostPath World::make_dir(const std::string& name) {
  base::HostPath dir = temp_ / name;
  CHECK(::mkdir(dir.c_str(), 0755) == 0, "mkdir {}", dir.str());
  return dir;
}

void World::put(const base::HostPath& dir, std::string_view path, std::string_view text, unsigned mode) {
  const auto done = put_file(dir, path, text, mode);
  CHECK(done, "{}", done.error().message);
}

}  // namespace cairn::test
