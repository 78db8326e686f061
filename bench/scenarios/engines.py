# SPDX-License-Identifier: Apache-2.0
"""Engines as a user has them: programs that are started and end. All have the same methods; BuildKit, which has a daemon, is in buildkit.py."""
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess

from graph import Chain, Unpack


class Failed(RuntimeError):
    """An engine did not do what it was asked for."""


class Unable(RuntimeError):
    """An engine has no such thing, or this machine does not."""


# What takes longer is not waited for: a peer may need half an hour for what is a second elsewhere.
PATIENCE_SECONDS = 240


def run(command, patience=PATIENCE_SECONDS, input=None, **options):
    """Whatever ends it, and whatever ends us meanwhile, nothing that it started goes on."""
    source = subprocess.DEVNULL if input is None else subprocess.PIPE
    with subprocess.Popen(command, text=True, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, **options) as process:
        try:
            out, err = process.communicate(input, timeout=patience)
        except BaseException as reason:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(reason, subprocess.TimeoutExpired):
                raise Failed(f"{os.path.basename(command[0])}: not done after {patience} s") from reason
            raise
        return subprocess.CompletedProcess(command, process.returncode, out, err)


def must(command, **options):
    done = run(command, **options)
    if done.returncode != 0:
        raise Failed(f"{os.path.basename(command[0])}: {' '.join((done.stderr.strip() or done.stdout.strip()).split())[-300:]}")
    return done


def most_memory(command, scratch, **options):
    """MB that a program held at most. By time(1): what Python starts inherits Python's own maximum."""
    if not os.access("/usr/bin/time", os.X_OK):
        raise Unable("the Debian package time is not installed here")
    file = os.path.join(scratch, "most-memory")
    must(["/usr/bin/time", "--format", "%M", "--output", file, *command], **options)
    with open(file, encoding="utf-8") as text:
        return int(text.read().split()[-1]) / 1000


def disk_mb(folder, without=()):
    """MB that files take on the disk, without some entries of the folder itself."""
    total, seen = 0, set()
    for at, folders, files in os.walk(folder):
        if at == folder:
            folders[:] = [name for name in folders if name not in without]
            files = [name for name in files if name not in without]
        for name in files + folders:
            try:
                state = os.lstat(os.path.join(at, name))
            except FileNotFoundError:
                continue  # it was being erased
            if (state.st_dev, state.st_ino) not in seen:
                seen.add((state.st_dev, state.st_ino))
                total += 512 * state.st_blocks
    return total / 1e6


def empty_folder(scratch):
    folder = os.path.join(scratch, "empty")
    os.makedirs(folder, exist_ok=True)
    return folder


class Programs:
    """Of an engine that has no daemon: nothing is open between two programs."""
    retries = 0

    def close(self):
        pass

    def stop(self):
        pass


class Cairn(Programs):
    name = "cairn"

    def __init__(self, bin_dir, base, scratch):
        self.cachectl, self.base, self.scratch = os.path.join(bin_dir, "cachectl"), base, scratch
        self.root = os.path.join(scratch, "cairn-store")

    def version(self):
        return run([self.cachectl, "--version"]).stdout.strip()

    def reset(self):
        shutil.rmtree(self.root, ignore_errors=True)
        self.build(Chain([("run", "true")]))

    def solve_command(self, work, context=None, layout=None, root=None):
        layout, graph = layout or self.base["layout"], os.path.join(self.scratch, "graph.pb")
        with open(os.path.join(layout, "index.json"), encoding="utf-8") as file:
            manifest = json.load(file)["manifests"][0]["digest"]
        with open(graph, "wb") as file:
            file.write(work.definition(f"oci-layout://base@{manifest}"))
        command = [self.cachectl, "--root", root or self.root, "solve", graph, "--oci-layout", f"base={layout}", "--progress", "none", "--json"]
        return command + (["--local", f"context={context}"] if context else [])

    def build(self, work, context=None, tag="bench"):
        if tag != "bench":
            return self.build_image(work, context)
        steps = json.loads(must(self.solve_command(work, context)).stdout)["steps"]
        return sum(1 for step in steps if step["state"] == "executed" and not re.match("[a-z-]+://", step["name"]))  # sources are none for the others

    def usage(self):
        must([self.cachectl, "--root", self.root, "du"])

    open_and_answer = usage

    def prune(self):
        must([self.cachectl, "--root", self.root, "prune", "--all"])

    def memory_mb(self, work):
        return most_memory(self.solve_command(work), self.scratch)

    def metadata_mb(self):
        return disk_mb(self.root, {"trees", "blobs", "reserve"})

    def stored_mb(self):
        return disk_mb(self.root, {"reserve"})

    def build_image(self, work, context):
        """In a new store: in one that has exported the image, its layers are there already."""
        root, dockerfile = self.root + "-export", os.path.join(self.scratch, "Dockerfile")
        with open(dockerfile, "w", encoding="utf-8") as file:
            file.write(work.dockerfile("base"))
        shutil.rmtree(root, ignore_errors=True)
        self.image = [self.cachectl, "--root", root, "build", "--progress", "none", "-f", dockerfile, "--build-context", f"base=oci-layout://{self.base['layout']}", context]
        must(self.image)

    def export(self, tag):
        file = os.path.join(self.scratch, "cairn-export.tar")
        must([*self.image, "-o", f"type=oci,dest={file}"])
        os.remove(file)

    def forget_image(self):
        shutil.rmtree(self.root + "-import", ignore_errors=True)

    def take_image(self, image):
        must(self.solve_command(Unpack(), layout=image.layout, root=self.root + "-import"))


class Buildah(Programs):
    name = "buildah"

    def __init__(self, base, scratch):
        if not shutil.which("buildah"):
            raise Unable("not installed here (Debian package buildah)")
        self.base, self.scratch, self.root, self.taken = base, scratch, os.path.join(scratch, "buildah"), None
        self.command = ["buildah", "--root", self.root, "--runroot", os.path.join(scratch, "buildah-run")]

    def version(self):
        return run(["buildah", "--version"]).stdout.strip() + ", chroot isolation"

    def call(self, *words):
        return must([*self.command, *words]).stdout

    def reset(self):
        self.call("rm", "--all")  # what a build that was cut off has left
        self.call("rmi", "--all", "--force")
        # Of the files, not of the layout: it wants a history in an image that it builds upon.
        container = self.call("from", "scratch").strip()
        self.call("copy", "--quiet", container, self.base["rootfs"], "/")
        self.image = self.call("commit", "--quiet", "--rm", container, "bench-base").strip()

    def build_command(self, work, context, tag):
        dockerfile = os.path.join(self.scratch, "Dockerfile")
        with open(dockerfile, "w", encoding="utf-8") as file:
            file.write(work.dockerfile(self.image))
        return [*self.command, "bud", "--isolation", "chroot", "--layers", "--jobs", str(os.cpu_count()), "--pull-never", "--file", dockerfile,
                "--tag", tag, context or empty_folder(self.scratch)]

    def build(self, work, context=None, tag="bench"):
        out = must(self.build_command(work, context, tag)).stdout
        return len(re.findall(r"^(?:\[\d+/\d+\] )?STEP \d+/\d+: (?:RUN|COPY)", out, re.MULTILINE)) - out.count("Using cache")

    def usage(self):
        self.call("images")

    open_and_answer = usage

    def prune(self):
        self.call("rmi", "--all", "--force")

    def memory_mb(self, work):
        return most_memory(self.build_command(work, None, "bench"), self.scratch)

    def metadata_mb(self):
        return disk_mb(self.root, {"overlay"})

    def stored_mb(self):
        return disk_mb(self.root)

    def export(self, tag):
        file = os.path.join(self.scratch, "buildah-export.tar")
        self.call("push", "--quiet", tag, f"oci-archive:{file}")
        os.remove(file)

    def forget_image(self):
        if self.taken:
            self.call("rmi", "--force", self.taken)
            self.taken = None

    def take_image(self, image):
        self.taken = self.call("pull", "--quiet", f"oci:{image.layout}").strip()
