// SPDX-License-Identifier: Apache-2.0
// The fixture of the end-to-end tests: a fresh store, a busybox image in an OCI layout (made once per program), and
// cachectl. After each test the store must be clean and nothing of it mounted.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libsnapshot/digests.h"
#include "libsolver/llb.h"
#include "tests/e2e/program.h"
#include "tests/support/host_state.h"
#include "tests/support/oci_layout_builder.h"
#include "tests/support/temp_dir.h"
#include "tools/engine/order.h"

namespace cairn::test {

namespace llb = solver::llb;
using Words = std::vector<std::string>;

// What `cachectl solve --json` has said. The numbers are 0 if it printed no object.
struct Solved {
  int code = -1;
  std::size_t vertices = 0, executed = 0, cached = 0, failed = 0, cancelled = 0;
  std::map<std::string, std::string> states;  // by the name of the step
  std::string out, err;
  Words in_state(const std::string& state) const;  // names, sorted
};
Solved parse_solved(const Ended& ended);

// The image that all tests share.
struct BusyboxImage {
  TempDir dir;
  BlobDigest manifest;
  base::HostPath layout() const { return dir / "layout"; }
};
const BusyboxImage& busybox_image();

class World : public ::testing::Test {
 protected:
  World();
  void TearDown() override;

  llb::State image() const;  // busybox as oci-layout://base
  // The step `sh -c script` on the image, with one scratch output at /out besides `mounts`.
  llb::ExecState step(const std::string& name, const std::string& script, std::vector<llb::Mount> mounts = {}) const;
  // The same, as a tree: what it left in /out.
  llb::State output(const std::string& name, const std::string& script, std::vector<llb::Mount> mounts = {}) const;

  static std::string bytes_of(const llb::State& state);
  base::HostPath write_graph(const std::string& bytes);
  Words solve_command(const base::HostPath& graph, Words more = {}) const;
  Ended cachectl(Words arguments, const std::string& input = "");
  Solved solve(const llb::State& state, Words more = {});
  Solved solve_bytes(const std::string& bytes, Words more = {});
  // cachectl in the background, showing plain progress.
  std::unique_ptr<Program> start_solve(const llb::State& state, Words more = {});
  engine::SolveOrder order(const llb::State& state, std::map<std::string, std::string> locals = {});

  base::HostPath make_dir(const std::string& name);
  void put(const base::HostPath& dir, std::string_view path, std::string_view text, unsigned mode = 0644);
  std::string read(const base::HostPath& file) const { return read_text(file.str()); }
  std::string export_to(const std::string& name) const { return "type=local,dest=" + (temp_ / name).str(); }
  // Contents of one exported file.
  std::string exported(const std::string& dest, const std::string& file) const { return read(temp_ / dest / file); }

  // No finding of cache::check, nothing in tmp, nothing mounted. The store has no owner.
  void expect_clean();

  TempDir temp_;
  base::HostPath root_;  // the store; made by the first solve
  int next_graph_ = 0;
};

}  // namespace cairn::test
