// SPDX-License-Identifier: Apache-2.0
// An engine of one step, whose output it shows: cairn_exec_engine <root> <state> <program> [argument...]
#include <cstdio>

#include "libsolver/executor.h"
#include "tests/support/busybox_root.h"

int main(int count, char** values) {
  using namespace cairn;
  if (count < 4) return 2;
  const auto tree = test::mount_tree(*base::HostPath::parse(values[1]));
  auto executor = solver::open_executor({"", *base::HostPath::parse(values[2])});
  if (!tree || !executor) return 2;
  solver::ExecRequest request;
  request.id = "only";
  request.args.assign(values + 3, values + count);
  request.network = solver::NetworkMode::host;
  request.mounts.emplace_back();
  request.mounts.back().dest = "/";
  request.mounts.back().tree = &*tree;
  const auto show = [](solver::Stream stream, std::string_view text) {
    (void)std::fwrite(text.data(), 1, text.size(), stream == solver::Stream::out ? stdout : stderr);
  };
  const auto exit = (*executor)->run(request, show, {});
  if (!exit) std::fprintf(stderr, "%s\n", exit.error().message.c_str());
  return exit ? exit->code : 1;
}
