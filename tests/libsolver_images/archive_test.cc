// SPDX-License-Identifier: Apache-2.0
// Images in archives and layouts: the same build is the same image, and other programs find in it what was built.
#include <fcntl.h>

#include "libbase/fs/host_tree.h"
#include "tests/libsolver_images/image_fixture.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using testing::ElementsAre;
using testing::HasSubstr;

using ImageArchive = ImageTest;

TEST_F(ImageArchive, TwoMachinesMakeTheSameBytes) {
  std::vector<std::string> archives;
  std::vector<BlobDigest> digests;
  for (int i = 0; i < 2; ++i) {
    Machine machine(nullptr);
    solve(machine);
    for (int again = 0; again < 2; ++again) {
      const std::string file = path(fmt::format("{}-{}.tar", i, again));
      digests.push_back(
          exported(machine, {{"type", "oci"}, {"dest", file}, {"name", "app"}, {"rewrite-timestamp", "true"}})
              .root->digest);
      archives.push_back(bytes_of(file));
    }
    // The times of the steps themselves are those of this machine.
    EXPECT_NE(exported(machine, {{"type", "oci"}, {"dest", path("own.tar")}}).root->digest, digests.back());
    // From now on the layers have blobs, which are rewritten instead of the trees.
    digests.push_back(exported(machine, {{"type", "oci"}, {"dest", path("own.tar")}, {"rewrite-timestamp", "true"}})
                          .root->digest);
  }
  EXPECT_THAT(digests, testing::Each(digests.front()));
  EXPECT_THAT(archives, testing::Each(archives.front()));
}

TEST_F(ImageArchive, SkopeoReadsTheConfigThatTheFrontEndGave) {
  Machine machine(nullptr);
  solve(machine);
  const ImagesExported image = exported(machine, {{"type", "oci"}, {"dest", path("a.tar")}, {"name", "app:v1"}});
  EXPECT_THAT(image.names, ElementsAre("docker.io/library/app:v1"));
  EXPECT_EQ(image.images.at(0).layers, 3u);
  const Json config = run_json({"skopeo", "inspect", "--config", "--raw", "oci-archive:" + path("a.tar") + ":v1"});
  EXPECT_EQ(config["x.unknown"]["kept"], 1.5);
  EXPECT_EQ(config["config"]["Labels"]["a"], "<b>");
  EXPECT_EQ(config["rootfs"]["diff_ids"].size(), 3u);
  ASSERT_EQ(config["history"].size(), 4u);
  for (const Json& entry : config["history"]) EXPECT_EQ(entry["created"], "2020-09-13T12:26:40Z");
  EXPECT_EQ(config["created"], "2020-09-13T12:26:40Z");
  const Json inspected = run_json({"skopeo", "inspect", "oci-archive:" + path("a.tar") + ":v1"});
  EXPECT_EQ(inspected["Digest"], image.root->digest.str());
  EXPECT_EQ(inspected["Layers"].size(), 3u);
  // skopeo unpacks each layer and compares it with its diff_id when it makes a docker archive of it.
  run({"skopeo", "copy", "oci-archive:" + path("a.tar") + ":v1", "docker-archive:" + path("copied.tar") + ":app:v1"});
}

TEST_F(ImageArchive, UmociUnpacksTheTreeThatWasBuilt) {
  Machine machine(nullptr);
  solve(machine);
  const ImagesExported image =
      exported(machine, {{"type", "oci"}, {"tar", "false"}, {"dest", path("layout")}, {"name", "app:v1"}});
  EXPECT_GT(image.bytes, 0u);
  run({"umoci", "unpack", "--image", path("layout") + ":v1", path("bundle")});
  exported(machine, {{"type", "local"}, {"dest", path("tree")}});
  // A layer has whole seconds, and says nothing of the root.
  for (const std::string tree : {"bundle/rootfs", "tree"})
    run({"sh", "-c", "find \"$0\" -depth -exec touch -h -d @0 {} + && chmod 755 \"$0\"", path(tree)});
  EXPECT_EQ(test::first_difference(state_of(path("tree")), state_of(path("bundle/rootfs"))), "");
  // The same again writes no blob.
  EXPECT_EQ(exported(machine, {{"type", "oci"}, {"tar", "false"}, {"dest", path("layout")}, {"name", "app:v1"}}).bytes,
            0u);
}

TEST_F(ImageArchive, ALayoutKeepsItsOtherImages) {
  Machine machine(nullptr);
  solve(machine);
  const auto write = [&](const std::string& name) {
    return exported(machine, {{"type", "oci"}, {"tar", "false"}, {"dest", path("layout")}, {"name", name}});
  };
  write("a:1");
  write("b:2,b:3");
  write("a:1");
  const Json index = Json::parse(bytes_of(path("layout/index.json")));
  std::vector<std::string> names;
  for (const Json& entry : index["manifests"]) names.push_back(entry["annotations"]["io.containerd.image.name"]);
  EXPECT_THAT(names, testing::UnorderedElementsAre("docker.io/library/a:1", "docker.io/library/b:2",
                                                   "docker.io/library/b:3"));
}

TEST_F(ImageArchive, DockerArchivesAreForDockerLoad) {
  Machine machine(nullptr);
  solve(machine);
  const ImagesExported image = exported(machine, {{"type", "docker"}, {"dest", path("d.tar")}, {"name", "app:v1,ghcr.io/x/y"}});
  EXPECT_EQ(image.root->media_type, "application/vnd.docker.distribution.manifest.v2+json");
  const std::string source = "docker-archive:" + path("d.tar") + ":app:v1";
  EXPECT_EQ(run_json({"skopeo", "inspect", "--config", source})["rootfs"]["diff_ids"].size(), 3u);
  run({"skopeo", "copy", source, "oci:" + path("from-docker") + ":v1"});
  run({"umoci", "unpack", "--image", path("from-docker") + ":v1", path("bundle")});
  EXPECT_EQ(bytes_of(path("bundle/rootfs/etc/motto")), "nothing is lost\n");
  const Json manifest = Json::parse(run({"tar", "-xOf", path("d.tar"), "manifest.json"}));
  EXPECT_THAT(manifest[0]["RepoTags"].get<std::vector<std::string>>(), ElementsAre("app:v1", "ghcr.io/x/y:latest"));

  ImageExport two = order(machine, {{"type", "docker"}, {"dest", path("e.tar")}});
  two.images.push_back(two.images.front());
  EXPECT_EQ(machine.solver().export_images(two, {}).error().code, ErrorCode::invalid_argument);
}

TEST_F(ImageArchive, BuildahRunsAProgramOfTheImage) {
  Machine machine(nullptr);
  solve(machine);
  exported(machine, {{"type", "oci"}, {"dest", path("a.tar")}, {"name", "app:v1"}});
  const std::vector<std::string> buildah = {"buildah", "--storage-driver", "vfs",          "--root",
                                            path("storage"), "--runroot",  path("runroot")};
  const auto with = [&](std::vector<std::string> more) {
    std::vector<std::string> argv = buildah;
    argv.insert(argv.end(), more.begin(), more.end());
    return argv;
  };
  run(with({"from", "--name", "it", "oci-archive:" + path("a.tar") + ":v1"}));
  EXPECT_EQ(run(with({"run", "--isolation", "chroot", "it", "--", "/bin/busybox", "cat", "/etc/motto"})),
            "nothing is lost\n");
  EXPECT_EQ(test::run_program(dir_.path(), with({"run", "--isolation", "chroot", "it", "--", "/bin/busybox", "cat",
                                                 "/etc/group"}))
                .code,
            1)
      << "it was removed";
  run(with({"rm", "it"}));
}

TEST_F(ImageArchive, CompressionIsAsTheOrderSays) {
  Machine machine(nullptr);
  solve(machine);
  const auto types = [&](const OutputAttributes& more) {
    OutputAttributes attributes = {{"type", "oci"}, {"dest", path("c.tar")}, {"name", "c"}};
    attributes.insert(more.begin(), more.end());
    exported(machine, attributes);
    std::vector<std::string> found;
    const Json manifest = run_json({"skopeo", "inspect", "--raw", "oci-archive:" + path("c.tar")});
    for (const Json& layer : manifest["layers"]) found.push_back(layer["mediaType"].get<std::string>().substr(35));
    run({"skopeo", "copy", "oci-archive:" + path("c.tar"), "dir:" + path("copied")});
    return found;
  };
  EXPECT_THAT(types({}), testing::Each("tar+gzip"));
  EXPECT_THAT(types({{"compression", "zstd"}}), testing::Each("tar+gzip")) << "there are blobs already";
  EXPECT_THAT(types({{"compression", "zstd"}, {"force-compression", "true"}}), testing::Each("tar+zstd"));
  EXPECT_THAT(types({{"compression", "uncompressed"}, {"force-compression", "true"}}), testing::Each("tar"));
  const auto digest = [&](const std::string& level) {
    return exported(machine, {{"type", "oci"},
                              {"dest", path("l.tar")},
                              {"compression", "zstd"},
                              {"force-compression", "true"},
                              {"compression-level", level}})
        .root->digest;
  };
  EXPECT_EQ(digest("19"), digest("19"));
  EXPECT_NE(digest("19"), digest("1"));
}

TEST_F(ImageArchive, SeveralPlatformsAreAnIndexWithItsAnnotations) {
  Machine machine(nullptr);
  solve(machine);
  ImageExport both = order(machine, {{"type", "oci"},
                                     {"dest", path("m.tar")},
                                     {"name", "m"},
                                     {"annotation-index.i", "1"},
                                     {"annotation.all", "2"},
                                     {"annotation-manifest[linux/arm64].one", "3"},
                                     {"annotation-manifest-descriptor.d", "4"}});
  both.images.push_back(both.images.front());
  both.images[1].platform = platform("arm64");
  both.images[1].result.reset();
  both.images[1].config = "";
  const ImagesExported exported = must(machine.solver().export_images(both, {}));
  EXPECT_EQ(exported.root->media_type, "application/vnd.oci.image.index.v1+json");
  const Json index = run_json({"skopeo", "inspect", "--raw", "oci-archive:" + path("m.tar")});
  EXPECT_EQ(index["annotations"], Json({{"i", "1"}}));
  ASSERT_EQ(index["manifests"].size(), 2u);
  EXPECT_EQ(index["manifests"][1]["platform"]["architecture"], "arm64");
  EXPECT_EQ(index["manifests"][1]["annotations"], Json({{"d", "4"}}));
  EXPECT_EQ(index["manifests"][1]["digest"], exported.images.at(1).manifest.str());
  run({"mkdir", path("unpacked")});
  run({"tar", "-xf", path("m.tar"), "-C", path("unpacked")});
  const auto manifest = [&](std::size_t i) {
    return Json::parse(bytes_of(path("unpacked/blobs/sha256/" + exported.images.at(i).manifest.hex())));
  };
  EXPECT_EQ(manifest(0)["annotations"], Json({{"all", "2"}}));
  EXPECT_EQ(manifest(1)["annotations"], Json({{"all", "2"}, {"one", "3"}}));
  EXPECT_EQ(manifest(1)["layers"], Json::array());
}

TEST_F(ImageArchive, TheInlineCacheGetsTheLayersOfTheImage) {
  Machine machine(nullptr);
  solve(machine);
  ImageExport with = order(machine, {{"type", "oci"}, {"dest", path("i.tar")}, {"name", "i"}});
  std::size_t layers = 0;
  with.images[0].inline_cache = [&](const std::vector<CacheLayer>& given) -> base::Result<std::string> {
    layers = given.size();
    return "[]";
  };
  must(machine.solver().export_images(with, {}));
  EXPECT_EQ(layers, 3u);
  const Json config = run_json({"skopeo", "inspect", "--config", "--raw", "oci-archive:" + path("i.tar")});
  EXPECT_EQ(config["moby.buildkit.cache.v0"], "W10=");
}

TEST_F(ImageArchive, WhatFailsLeavesTheOldFileAndNothingElse) {
  Machine machine(nullptr);
  solve(machine);
  const base::HostPath folder = dir_ / "out";
  must(base::make_host_dirs(folder));
  must(base::write_file_atomic(folder / "a.tar", "old", base::Durable::no));
  const auto written = [&](const OutputAttributes& attributes, std::stop_token stop) {
    return machine.solver().export_images(order(machine, attributes), std::move(stop));
  };
  for (const std::string type : {"oci", "docker", "tar"}) {
    std::stop_source source;
    source.request_stop();
    const auto stopped = written({{"type", type}, {"dest", (folder / "a.tar").str()}}, source.get_token());
    ASSERT_FALSE(stopped.has_value()) << type;
    EXPECT_EQ(stopped.error().code, ErrorCode::cancelled) << stopped.error().message;
    EXPECT_EQ(bytes_of(path("out/a.tar")), "old");
    EXPECT_THAT(must(base::list_host_dir(folder)), ElementsAre("a.tar"));
  }
  const auto into_a_directory = written({{"type", "oci"}, {"dest", folder.str()}}, {});
  EXPECT_THAT(into_a_directory.error().message, HasSubstr("that is a directory"));
  EXPECT_EQ(written({{"type", "oci"}}, {}).error().code, ErrorCode::invalid_argument) << "no dest and no descriptor";
  EXPECT_EQ(written({{"type", "oci"}, {"dest", path("none/a.tar")}}, {}).error().code, ErrorCode::not_found);
}

TEST_F(ImageArchive, ADescriptorTakesAnArchiveToo) {
  Machine machine(nullptr);
  solve(machine);
  exported(machine, {{"type", "oci"}, {"dest", path("file.tar")}, {"name", "app"}});
  const base::Fd pipe = must(base::open_host(dir_ / "fd.tar", O_CREAT | O_WRONLY, 0600));
  ImageExport into = order(machine, {{"type", "oci"}, {"dest", "-"}, {"name", "app"}});
  into.fd = pipe.get();
  std::uint64_t last = 0;
  into.progress = [&](std::uint64_t done, std::uint64_t) { last = done; };
  const ImagesExported exported = must(machine.solver().export_images(into, {}));
  EXPECT_EQ(bytes_of(path("fd.tar")), bytes_of(path("file.tar")));
  EXPECT_EQ(last, exported.bytes);
}

TEST_F(ImageArchive, TreesAreArchivesOrDirectories) {
  Machine machine(nullptr);
  solve(machine);
  const ImagesExported one = exported(machine, {{"type", "tar"}, {"dest", path("one.tar")}});
  EXPECT_FALSE(one.root.has_value());
  exported(machine, {{"type", "local"}, {"dest", path("tree")}});
  run({"mkdir", path("one"), path("two")});
  run({"tar", "-xpf", path("one.tar"), "-C", path("one")});
  for (const std::string tree : {"one", "tree"})
    run({"sh", "-c", "find \"$0\" -depth -exec touch -h -d @0 {} + && chmod 755 \"$0\"", path(tree)});
  EXPECT_EQ(test::first_difference(state_of(path("tree")), state_of(path("one"))), "");

  for (const std::string type : {"tar", "local"}) {
    ImageExport both = order(machine, {{"type", type}, {"dest", path(type == "tar" ? "two.tar" : "both")}});
    both.images.push_back(both.images.front());
    both.images[1].platform = platform("arm64");
    both.images.push_back(both.images.front());
    both.images[2].platform = platform("s390x");
    both.images[2].result.reset();
    must(machine.solver().export_images(both, {}));
  }
  run({"tar", "-xpf", path("two.tar"), "-C", path("two")});
  for (const std::string parent : {"two", "both"}) {
    EXPECT_EQ(bytes_of(path(parent + "/linux_arm64/etc/motto")), "nothing is lost\n");
    EXPECT_THAT(must(base::list_host_dir(dir_ / parent)), ElementsAre("linux_amd64", "linux_arm64", "linux_s390x"));
    EXPECT_THAT(must(base::list_host_dir(dir_ / (parent + "/linux_s390x"))), testing::IsEmpty());
  }
}

}  // namespace
}  // namespace cairn::solver
