# SPDX-License-Identifier: Apache-2.0
"""What the machine itself takes for the like of a scenario: the bare runtime, a copy, a walk, a codec, tar. Timed in the same turns."""
import concurrent.futures
import json
import os
import shutil
import zlib

from engines import Unable, must

PIECE = 1 << 20


class Floors:
    def __init__(self, base, scratch):
        self.base, self.scratch = base, scratch

    def bundle(self):
        """Of crun, with the base's files: made once."""
        folder = os.path.join(self.scratch, "bundle")
        if not shutil.which("crun"):
            raise Unable("crun is not installed here")
        if not os.path.exists(folder):
            os.makedirs(folder)
            must(["crun", "spec"], cwd=folder)
            path = os.path.join(folder, "config.json")
            with open(path, encoding="utf-8") as file:
                config = json.load(file)
            config["process"].update(terminal=False, args=["/bin/true"])
            config["root"] = {"path": self.base["rootfs"], "readonly": False}
            config["mounts"] = [each for each in config["mounts"] if each["destination"] != "/sys/fs/cgroup"]
            config["linux"].pop("resources", None)
            with open(path, "w", encoding="utf-8") as file:
                json.dump(config, file)
        return folder

    def bare_steps(self, count, at_once):
        """`count` times /bin/true in crun, `at_once` at a time; no storage, no cgroup."""
        one = f"crun --root '{self.scratch}/crun-state' --cgroup-manager=disabled run --bundle '{self.bundle()}' bare-$1"
        # crun wants to see one kind of cgroups, whatever the host has.
        line = (f"mount -t cgroup2 cgroup2 /sys/fs/cgroup && seq {count} | xargs -P {at_once} -n 1 sh -c \"{one}\" step")
        must(["unshare", "--mount", "sh", "-c", line.replace("$1", "\\$1")])

    def copy(self, folder):
        copy = os.path.join(self.scratch, "plain-copy")
        must(["cp", "-a", "--reflink=auto", folder, copy])

    def walk(self, folder):
        must(["find", folder, "-newermt", "2100-01-01"])  # looks at each entry, finds none

    def unpack(self, archive):
        folder = os.path.join(self.scratch, "plain-unpacked")
        os.makedirs(folder)
        must(["tar", "-xzf", archive, "-C", folder])

    def compress(self, path):
        """zlib's level 6 (what gzip is) of a file, in pieces, on all cores."""
        with open(path, "rb") as file, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            waiting = []
            while piece := file.read(PIECE):
                waiting.append(pool.submit(zlib.compress, piece, 6))
            for each in waiting:
                each.result()

    def clear(self):
        for name in ("plain-copy", "plain-unpacked"):
            shutil.rmtree(os.path.join(self.scratch, name), ignore_errors=True)
