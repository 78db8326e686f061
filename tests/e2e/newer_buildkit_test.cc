// SPDX-License-Identifier: Apache-2.0
// Caches between Cairn and BuildKit, both ways: Docker's daemon of Debian's unstable release (CAIRN_NEWER_TREE, which
// scripts/e2e
// --newer makes) builds the same Dockerfile with what cachectl has exported, and cachectl with what that has exported.
// Neither may run a step.
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <regex>
#include <set>
#include <sstream>

#include "tests/e2e/world.h"
#include "tests/support/busybox_root.h"
#include "tests/support/must.h"
#include "tests/support/registry_server.h"

namespace cairn::test {
namespace {

using testing::HasSubstr;
using testing::Not;

// A daemon of our own: in the tree, in namespaces of its own that end with it, with all of its data in `dir`, which
// lies at the same path in the tree.
class Dockerd {
 public:
  explicit Dockerd(const base::HostPath& dir)
      : dir_(dir), tree_(::getenv("CAIRN_NEWER_TREE")), program_(dir, command()) {
    for (int tries = 0; tries < 600 && docker({"version"}).code != 0; ++tries) ::usleep(100'000);
    EXPECT_EQ(docker({"version"}).code, 0) << program_.err_so_far();
  }
  ~Dockerd() {
    if (const std::string daemon = child(); !daemon.empty()) ::kill(static_cast<pid_t>(std::stol(daemon)), SIGTERM);
    program_.wait();
  }

  Ended docker(const Words& more) {
    const std::string daemon = child();
    if (daemon.empty()) return {};
    Words words{"nsenter",
                "-t",
                daemon,
                "-m",
                "chroot",
                tree_,
                "env",
                "HOME=" + (dir_ / "home").str(),
                "docker",
                "--host",
                "unix://" + (dir_ / "sock").str()};
    words.insert(words.end(), more.begin(), more.end());
    return run_program(dir_, words);
  }

 private:
  Words command() const {
    const std::string dir = dir_.str();
    return {
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "--pid",
        "--fork",
        "--kill-child",
        "sh",
        "-ec",
        "mount --bind " + tree_ + " " + tree_ + "; cd " + tree_ +
            "; mount -t proc proc proc; mount --rbind /dev dev; mount --rbind /sys sys; mount -t tmpfs tmpfs run; " +
            "mkdir -p ." + dir + "; mount --bind " + dir + " ." + dir +
            "; echo '{\"features\": {\"containerd-snapshotter\": true}}' > " + dir + "/daemon.json; exec chroot . " +
            "dockerd --config-file " + dir +
            "/daemon.json --iptables=false --ip6tables=false --bridge=none --data-root " + dir +
            "/data --exec-root /run/exec --host unix://" + dir + "/sock --pidfile /run/pid"};
  }
  std::string child() const {
    const std::string found = run_program(dir_, {"pgrep", "-P", std::to_string(program_.pid())}).out;
    return found.substr(0, found.find('\n'));
  }

  const base::HostPath dir_;
  const std::string tree_;
  Program program_;
};

class NewerBuildKit : public World {
 protected:
  void SetUp() override {
    ASSERT_NE(::getenv("CAIRN_NEWER_TREE"), nullptr) << "scripts/e2e --newer runs this";
    ::setenv("no_proxy", "*", 1);
    for (const char* dir : {"docker", "docker/home", "docker/context"}) make_dir(dir);
    push_base();
    const std::string base = registry_.host() + "/base:v1";
    put(temp_ / "docker/context", "words.txt", "one two\n");
    put(temp_ / "docker/context", "Dockerfile",
        "FROM " + base +
            " AS made\n"
            "ARG COUNT=2\n"
            "ENV WHO=world\n"
            "WORKDIR /work\n"
            "COPY --chmod=600 words.txt ./\n"
            "RUN --mount=type=cache,target=/keep echo $COUNT $WHO > number && cat words.txt >> number && echo $((6 * 7)) steps ran\n"
            "RUN <<EOF\n"
            "echo several >> number\n"
            "echo lines >> number && echo $((6 * 7)) steps ran\n"
            "EOF\n"
            "FROM " +
            base +
            "\n"
            "COPY --link --from=made /work/number /number\n"
            "RUN --mount=type=bind,from=made,source=/work,target=/in cat /in/number /number > /both && echo $((6 * 7)) steps ran\n"
            "LABEL a=b\n");
    docker_ = std::make_unique<Dockerd>(temp_ / "docker");
  }
  void TearDown() override {
    docker_.reset();
    World::TearDown();
  }

  // With the directories that runc leaves behind where there are none, and a history, as images have them.
  void push_base() {
    const base::HostPath root = temp_ / "base-root";
    ASSERT_TRUE(make_busybox_root(root));
    for (const char* dir : {"dev", "proc", "sys"}) make_dir(std::string("base-root/") + dir);
    ImageSpec spec;
    spec.layer_tars = {tar_of(root)};
    spec.made_by = "busybox";
    write_layout(temp_ / "base-layout", spec, "v1");
    registry_.push(temp_ / "base-layout", "base");
  }

  // Where a cache goes and comes from, of each kind.
  struct Place {
    Words to;
    std::string from;
  };
  std::vector<Place> places(const std::string& name) const {
    const std::string image = registry_.host() + "/" + name + ":latest",
                      cache = registry_.host() + "/" + name + "-cache:latest",
                      dir = (temp_ / "docker" / (name + "-cache")).str();
    return {{{"--cache-to", "type=inline", "-t", image, "--push"}, "type=registry,ref=" + image},
            {{"--cache-to", "type=registry,mode=max,ref=" + cache}, "type=registry,ref=" + cache},
            {{"--cache-to", "type=local,mode=max,dest=" + dir}, "type=local,src=" + dir}};
  }

  Words build_words(const Words& more) const {
    Words words{"build", "--network", "none", "--progress", "plain"};
    words.insert(words.end(), more.begin(), more.end());
    words.push_back((temp_ / "docker/context").str());
    return words;
  }
  // With nothing of an earlier build; what it has said.
  std::string build_there(const Words& more) {
    for (const char* what : {"builder", "system"})
      EXPECT_EQ(docker_->docker({what, "prune", "--all", "--force"}).code, 0);
    Words words = build_words(more);
    words.insert(words.begin(), "buildx");
    words.insert(words.end() - 1, "--provenance=false");
    const Ended built = docker_->docker(words);
    EXPECT_EQ(built.code, 0) << built.out << built.err;
    return built.err;
  }
  // In a new store.
  Solved build_here(const Words& more) {
    std::filesystem::remove_all(root_.str());
    Words words{"--root", root_.str()};
    const Words build = build_words(more);
    words.insert(words.end(), build.begin(), build.end());
    words.push_back("--json");
    Solved built = parse_solved(cachectl(words));
    EXPECT_EQ(built.code, 0) << built.err;
    return built;
  }

  RegistryServer registry_;
  std::unique_ptr<Dockerd> docker_;
};

const std::regex step_line("#([0-9]+) \\[[^\\]]*[0-9]+/[0-9]+\\] (RUN|COPY|WORKDIR)[^\n]*"),
    known_line("#([0-9]+) (CACHED|sha256:)");
constexpr std::size_t steps = 6;

std::set<std::string> numbers(const std::string& text, const std::regex& line) {
  std::set<std::string> found;
  for (std::sregex_iterator at(text.begin(), text.end(), line), end; at != end; ++at) found.insert((*at)[1]);
  return found;
}

TEST_F(NewerBuildKit, HitsInCachesThatWeHaveWritten) {
  for (const Place& place : places("ours")) {
    SCOPED_TRACE(place.from);
    EXPECT_GE(build_here(place.to).executed, steps);
    const std::string said = build_there({"--cache-from", place.from, "-t", "built"});
    // A result whose layers are fetched only when the image is unpacked is not called cached.
    const std::set<std::string> all = numbers(said, step_line), known = numbers(said, known_line);
    EXPECT_EQ(all.size(), steps) << said;
    for (const std::string& number : all)
      EXPECT_TRUE(known.contains(number)) << "#" << number << " has run:\n" << said;
    EXPECT_THAT(said, Not(HasSubstr("42 steps ran")));
  }
}

TEST_F(NewerBuildKit, ItsCachesAreHitsHere) {
  for (const Place& place : places("theirs")) {
    SCOPED_TRACE(place.from);
    EXPECT_THAT(build_there(place.to), HasSubstr("42 steps ran"));
    const Solved built = build_here({"--cache-from", place.from, "-o", "type=oci,dest=" + (temp_ / "image.tar").str()});
    EXPECT_THAT(built.in_state("executed"),
                testing::Each(testing::AnyOf(HasSubstr("load build context"), HasSubstr("FROM "))))
        << built.out;
    EXPECT_GE(built.cached, steps) << built.out;
  }
}

TEST_F(NewerBuildKit, DockerLoadsAndRunsOurImages) {
  const std::string file = (temp_ / "docker/app.tar").str();
  build_here({"-t", "app:1", "-o", "type=docker,dest=" + file});
  const Ended loaded = docker_->docker({"load", "--input", file});
  EXPECT_THAT(loaded.out, HasSubstr("Loaded image: app:1")) << loaded.err;
  const Ended ran = docker_->docker({"run", "--rm", "--network", "none", "app:1", "cat", "/both"});
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.out, "2 world\none two\nseveral\nlines\n2 world\none two\nseveral\nlines\n");
}

// What follows "# with: " in the first line of a Dockerfile.
Words words_of(const std::string& dockerfile) {
  constexpr std::string_view mark = "# with: ";
  Words words;
  if (!dockerfile.starts_with(mark)) return words;
  std::istringstream line(dockerfile.substr(mark.size(), dockerfile.find('\n') - mark.size()));
  for (std::string word; line >> word;) words.push_back(word);
  return words;
}

// Each of tests/e2e/dockerfiles. Compressed bytes are those of a library, so nothing is compressed.
TEST_F(NewerBuildKit, MakesTheSameImages) {
  const base::HostPath context = temp_ / "docker/context";
  put(context, "dir/a.txt", "a\n");
  put(context, "dir/b.log", "b\n");
  put(context, "dir/sub/c.txt", "c\n");
  put(context, "x.sh", "#!/bin/sh\necho x\n", 0755);
  std::filesystem::create_symlink("dir/a.txt", (context / "link").str());
  ASSERT_EQ(run_program(temp_.path(), {"tar", "-czf", (context / "t.tgz").str(), "-C", context.str(), "dir", "x.sh"}).code, 0);
  put(context, ".dockerignore", "**/*.log\n");
  const auto manifest_of = [&](const std::string& file) {
    const Ended read = run_program(temp_.path(), {"skopeo", "inspect", "--raw", "oci-archive:" + (temp_ / "docker" / file).str()});
    EXPECT_EQ(read.code, 0) << read.err;
    return read.out;
  };
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(CAIRN_SOURCE_DIR "/tests/e2e/dockerfiles")) {
    SCOPED_TRACE(entry.path().filename().string());
    const std::string dockerfile = read_text(entry.path().string());
    put(context, "Dockerfile", dockerfile);
    Words words = words_of(dockerfile);
    words.insert(words.end(), {"--build-context", "base=docker-image://" + registry_.host() + "/base:v1", "--build-arg", "SOURCE_DATE_EPOCH=1700000000", "-o"});
    const auto build_into = [&](const std::string& file) {
      Words all = words;
      all.push_back("type=oci,compression=uncompressed,force-compression=true,rewrite-timestamp=true,dest=" + (temp_ / "docker" / file).str());
      return all;
    };
    build_there(build_into("theirs.tar"));
    build_here(build_into("ours.tar"));
    EXPECT_EQ(manifest_of("ours.tar"), manifest_of("theirs.tar"));
    ++count;
  }
  EXPECT_GE(count, 20u);
}

}  // namespace
}  // namespace cairn::test
