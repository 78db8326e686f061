// SPDX-License-Identifier: Apache-2.0
// Writes the graph that scripts/demo solves: mawk, a C program, built in a Debian image.
//   demo_graph BASE-DIGEST SOURCE-DIR GIT-URL GIT-COMMIT > graph.pb
// It shows what a builder author does with llb::State, and why selectors matter: each compile step sees only the files it
// needs, so that an edited file runs only the steps that depend on it. What a step compiles it looks for in a cache mount
// first, so that of a step that runs again only the changed unit is compiled. The programs of a git repository are packed
// beside mawk by file steps, merged with the image, and run there.
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <map>

#include "libbase/fs/beneath.h"
#include "libsolver/llb.h"

namespace {

using namespace cairn;
using solver::llb::FileActions;
using solver::llb::Mount;
using solver::llb::State;

constexpr const char* compile_flags =
    "-DHAVE_CONFIG_H -DLOCAL_REGEXP -D_DEFAULT_SOURCE -D_XOPEN_SOURCE=500 -g -O2 -I/src";

// Compiled together, so that the demo has a handful of steps and not one per file.
const std::map<std::string, std::vector<std::string>> parts = {
    {"parser", {"parse", "scan", "kw", "code", "da", "jmp", "init"}},
    {"values", {"array", "cast", "field", "hash", "memory", "zmalloc", "split"}},
    {"interpreter", {"execute", "bi_funct", "bi_vars", "fcall", "print", "matherr"}},
    {"regexp", {"re_cmpl", "regexp"}},
    {"main", {"main", "error", "files", "fin", "version"}},
};
// regexp.c includes these.
const std::vector<std::string> regexp_sources = {"rexp.c",  "rexp0.c",  "rexp1.c", "rexp2.c",
                                                 "rexp3.c", "rexp4.c", "rexpdb.c", "regexp_system.c"};

// compile UNIT: the object of /src/UNIT.c, from the cache mount if it was made of the same preprocessed text with the same
// compiler before.
std::string compile_function() {
  return fmt::format(R"(compile() {{
  key=$({{ gcc --version && echo '{0}' && gcc -E {0} /src/$1.c; }} | sha256sum | cut -c 1-64)
  if cp /objects/$key $1.o 2>/dev/null; then echo "$1.o is from the cache mount"; return; fi
  gcc -c {0} /src/$1.c && cp $1.o /objects/new.$1.$$ && mv /objects/new.$1.$$ /objects/$key
}}
)",
                     compile_flags);
}

// Single files of the source tree, each as a read-only mount below /src: their content decides, nothing else does.
std::vector<Mount> files_of(const State& source, const std::vector<std::string>& names) {
  std::vector<Mount> mounts;
  for (const std::string& name : names) {
    mounts.push_back({.dest = "/src/" + name, .source = source, .selector = name, .read_only = true});
  }
  return mounts;
}

template <class T>
std::vector<T> operator+(std::vector<T> left, const std::vector<T>& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

base::Result<std::vector<std::string>> headers_in(const std::string& dir) {
  const base::Fd fd = TRY(base::open_host_dir(TRY(base::HostPath::from_user(dir))));
  std::vector<std::string> headers;
  for (const base::DirEntry& entry : TRY(base::list_dir(fd.get()))) {
    if (entry.name.ends_with(".h")) headers.push_back(entry.name);
  }
  return headers;
}

struct GitSource {
  std::string url;
  std::string commit;
};

// The image with mawk and the programs in it, and what one of the programs prints there.
State run_example(const State& base, const State& built, const GitSource& git) {
  const State programs = solver::llb::git(git.url, {.ref = git.commit, .name = "example programs, from git"});
  const State package = State().file(FileActions()
                                         .mkdir_parents("/usr/local/bin", 0755)
                                         .copy(built, "mawk", "/usr/local/bin/mawk", {.mode = 0755})
                                         .symlink("mawk", "/usr/local/bin/awk")
                                         .name("package mawk"));
  const State examples = State().file(FileActions()
                                          .mkdir_parents("/usr/local/share/mawk", 0755)
                                          .copy(programs, "/", "/usr/local/share/mawk", {.dir_copy_contents = true})
                                          .name("package the examples"));
  const State image = solver::llb::merge({base, package, examples}, "image with mawk");
  return image
      .shell("command -v awk && awk -f /usr/local/share/mawk/primes.awk 2 40 > /out/primes && cat /out/primes",
             {.mounts = {{.dest = "/out"}}, .name = "run an example in the image"})
      .mount_output("/out");
}

base::Result<std::string> make_graph(const std::string& base_digest, const std::string& source_dir, const GitSource& git) {
  const State base = solver::llb::oci_layout("base@" + base_digest, {.name = "image debian with a C toolchain"});
  const State source = solver::llb::local("src", {.unique_id = "demo", .name = "source of mawk"});
  const std::vector<std::string> headers = TRY(headers_in(source_dir));

  const State configured =
      base.shell("cd /build && /src/configure --srcdir=/src > configure.log",
                 {.mounts = files_of(source, {"configure", "config.guess", "config.sub", "install-sh", "config_h.in",
                                              "Makefile.in", "makedeps.sh", "man/Makefile.in", "mawk.h"}) +
                            std::vector<Mount>{{.dest = "/build"}},
                  .name = "configure"})
          .mount_output("/build");
  const Mount config = {.dest = "/src/config.h", .source = configured, .selector = "config.h", .read_only = true};
  const Mount output = {.dest = "/out"};
  const Mount kept_objects = {.dest = "/objects", .cache_id = "demo-objects"};
  const std::vector<Mount> common = files_of(source, headers) + std::vector<Mount>{config, output};

  std::vector<Mount> objects;
  const auto add_objects = [&](const std::string& part, const State& state) {
    objects.push_back({.dest = "/objects/" + part, .source = state, .read_only = true});
  };
  for (const auto& [part, units] : parts) {
    std::vector<std::string> files;
    std::string line = compile_function() + "cd /out";
    for (const std::string& unit : units) {
      files.push_back(unit + ".c");
      line += " && compile " + unit;
    }
    if (part == "regexp") files = files + regexp_sources;
    add_objects(part, base.shell(line, {.mounts = files_of(source, files) + common + std::vector<Mount>{kept_objects},
                                        .name = "compile " + part})
                          .mount_output("/out"));
  }
  const State tables =
      base.shell(fmt::format("cd /out && gcc {0} -o makescan /src/makescan.c && ./makescan > scancode.c && "
                             "gcc -c {0} scancode.c && rm makescan",
                             compile_flags),
                 {.mounts = files_of(source, {"makescan.c"}) + common, .name = "generate and compile scanner tables"})
          .mount_output("/out");
  add_objects("tables", tables);

  const State program = base.shell("gcc -o /out/mawk /objects/*/*.o -lm", {.mounts = objects + std::vector<Mount>{output},
                                                                          .name = "link mawk"})
                            .mount_output("/out");
  const State tested =
      base.shell("mkdir /work && cp -r /src/. /work && cd /work/test && MAWK=/program/mawk ./mawktest > /out/test.log 2>&1; "
                 "cat /out/test.log; grep -q '^tested .* OK$' /out/test.log && cp /program/mawk /out/mawk",
                 {.mounts = {{.dest = "/src/test", .source = source, .selector = "test", .read_only = true},
                             {.dest = "/src/examples", .source = source, .selector = "examples", .read_only = true},
                             {.dest = "/src/scan.c", .source = source, .selector = "scan.c", .read_only = true},
                             {.dest = "/program", .source = program, .read_only = true},
                             output},
                  .name = "run mawk's own tests"})
          .mount_output("/out");
  return solver::llb::marshal(solver::llb::merge({tested, run_example(base, tested, git)}, "result"));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::cerr << "usage: demo_graph BASE-DIGEST SOURCE-DIR GIT-URL GIT-COMMIT > graph.pb\n";
    return 2;
  }
  const auto graph = make_graph(argv[1], argv[2], {argv[3], argv[4]});
  if (!graph) {
    std::cerr << "demo_graph: " << graph.error().message << '\n';
    return 1;
  }
  std::cout << *graph << std::flush;
  return std::cout ? 0 : 1;
}
