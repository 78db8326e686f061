// SPDX-License-Identifier: Apache-2.0
// Writes the graph of the tour in README.md: two steps over files of one directory, and both results merged.
//   tour_graph BASE-DIGEST > graph.pb
// Each step sees the one file that it needs, so that a change of the other is none of its business.
#include <iostream>
#include <string>

#include "libsolver/llb.h"

int main(int argc, char** argv) {
  using cairn::solver::llb::State;
  if (argc != 2) {
    std::cerr << "usage: tour_graph BASE-DIGEST > graph.pb\n";
    return 2;
  }
  const State image = cairn::solver::llb::oci_layout(std::string("base@") + argv[1], {.name = "image"});
  const State source = cairn::solver::llb::local("src", {.unique_id = "tour", .name = "source"});
  const State counted = image.shell("wc -w < /src/poem.txt > /out/words; date >> /root/.cache/runs",
                                    {.mounts = {{.dest = "/src/poem.txt", .source = source, .selector = "poem.txt", .read_only = true},
                                                {.dest = "/root/.cache", .cache_id = "tour"},
                                                {.dest = "/out"}},
                                     .name = "count words"})
                            .mount_output("/out");
  const State sorted = image.shell("sort /src/names.txt > /out/names",
                                   {.mounts = {{.dest = "/src/names.txt", .source = source, .selector = "names.txt", .read_only = true},
                                               {.dest = "/out"}},
                                    .name = "sort names"})
                           .mount_output("/out");
  const auto graph = cairn::solver::llb::marshal(cairn::solver::llb::merge({counted, sorted}, "result"));
  if (!graph) {
    std::cerr << "tour_graph: " << graph.error().message << '\n';
    return 1;
  }
  std::cout << *graph << std::flush;
  return std::cout ? 0 : 1;
}
