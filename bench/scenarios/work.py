# SPDX-License-Identifier: Apache-2.0
"""What the scenarios work on: a base image, a tree of many files, and that tree as an image in the forms that engines take."""
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


def make_context(scratch, files):
    """Sizes as in the sources of a kernel, half of them below 5 KB: 330 MB for 20,000. Text that gzip makes a third of. Always the same."""
    source, folder = random.Random(20261126), os.path.join(scratch, "context")
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
    return folder


def make_image(tools, scratch, folder):
    """Of one layer: a layout of OCI, the same as an archive of docker's, and its layer plain and compressed."""
    layout = os.path.join(scratch, "image")
    must([os.path.join(tools, "scripts/make-oci-layout"), folder, layout])

    def blob(digest):
        return os.path.join("blobs", *digest.split(":"))

    with open(os.path.join(layout, "index.json"), encoding="utf-8") as file:
        manifest = json.load(file)["manifests"][0]["digest"]
    with open(os.path.join(layout, blob(manifest)), encoding="utf-8") as file:
        parts = json.load(file)
    layer = blob(parts["layers"][0]["digest"])
    with open(os.path.join(layout, "manifest.json"), "w", encoding="utf-8") as file:
        json.dump([{"Config": blob(parts["config"]["digest"]), "RepoTags": ["bench-image:latest"], "Layers": [layer]}], file)
    archive = os.path.join(scratch, "image-of-docker.tar")
    with tarfile.open(archive, "w") as tar:
        for name in ("manifest.json", blob(parts["config"]["digest"]), layer):
            tar.add(os.path.join(layout, name), name)
    os.remove(os.path.join(layout, "manifest.json"))
    plain = os.path.join(scratch, "layer.tar")
    must(["sh", "-c", f"gzip -dc '{os.path.join(layout, layer)}' >'{plain}'"])
    return {"layout": layout, "docker_archive": archive, "layer_gzip": os.path.join(layout, layer), "layer_tar": plain}
