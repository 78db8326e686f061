# SPDX-License-Identifier: Apache-2.0
"""What the scenarios work on: a base image, a tree of many files, and that tree as an image in the forms that engines take."""
import io
import json
import os
import random
import shutil
import tarfile

from engines import must

FILES_EACH = 16


def make_base(tools, scratch):
    rootfs, layout = os.path.join(scratch, "rootfs"), os.path.join(scratch, "layout")
    for folder in ("bin", "tmp", "dev", "proc", "sys", "etc"):
        os.makedirs(os.path.join(rootfs, folder))
    shutil.copy("/bin/busybox", os.path.join(rootfs, "bin/busybox"))
    for name in ("sh", "true", "cat", "wc", "echo", "cp", "find", "mkdir"):
        os.symlink("busybox", os.path.join(rootfs, "bin", name))
    must([os.path.join(tools, "scripts/make-oci-layout"), rootfs, layout])
    return {"rootfs": rootfs, "layout": layout}


def make_context(folder, files):
    """Sizes as in the sources of a kernel, half of them below 5 KB: 330 MB for 20,000. Text that gzip makes a third of. Always the same."""
    source = random.Random(20261126)
    words = ["".join(source.choices("abcdefghijklmnopqrstuvwxyz_", k=source.randint(2, 12))) for _ in range(4000)]
    pool = " ".join(source.choices(words, k=600_000)).encode()
    for number in range(files):
        if number % FILES_EACH == 0:
            at = os.path.join(folder, f"d{number // FILES_EACH}")
            os.makedirs(at)
        size = min(len(pool), int(source.lognormvariate(8.517, 1.5)))
        begin = source.randrange(len(pool) - size + 1)
        with open(os.path.join(at, f"f{number % FILES_EACH}"), "wb") as file:
            file.write(pool[begin:begin + size])


class Image:
    """A folder as an image of one layer: a layout of OCI, the same as an archive of docker's, and its layer plain and compressed. Made when
    it is first asked for, since many runs do without."""

    def __init__(self, tools, scratch, folder):
        self.tools, self.folder, self.layout = tools, folder, os.path.join(scratch, "image")
        self.docker_archive, self.layer_tar = os.path.join(scratch, "image-of-docker.tar"), os.path.join(scratch, "layer.tar")
        self.layer_gzip = None

    def make(self):
        if self.layer_gzip:
            return
        must([os.path.join(self.tools, "scripts/make-oci-layout"), self.folder, self.layout])

        def blob(digest):
            return os.path.join("blobs", *digest.split(":"))

        with open(os.path.join(self.layout, "index.json"), encoding="utf-8") as file:
            manifest = json.load(file)["manifests"][0]["digest"]
        with open(os.path.join(self.layout, blob(manifest)), encoding="utf-8") as file:
            parts = json.load(file)
        config, layer = blob(parts["config"]["digest"]), blob(parts["layers"][0]["digest"])
        description = json.dumps([{"Config": config, "RepoTags": ["bench-image:latest"], "Layers": [layer]}]).encode()
        with tarfile.open(self.docker_archive, "w") as tar:
            member = tarfile.TarInfo("manifest.json")
            member.size = len(description)
            tar.addfile(member, io.BytesIO(description))
            for name in (config, layer):
                tar.add(os.path.join(self.layout, name), name)
        self.layer_gzip = os.path.join(self.layout, layer)
        must(["sh", "-c", f"gzip -dc '{self.layer_gzip}' >'{self.layer_tar}'"])
