# SPDX-License-Identifier: Apache-2.0
"""Scenarios that every engine can run: the same steps, in turns, in one run. Each engine is timed as a user has it, a program
that is started and ends: cachectl, and of the peers those that are installed here. Who is not is said, with the reason."""
import json
import os
import shutil
import statistics
import subprocess
import time

from graph import Work


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, **options)


class Cairn:
    name = "cairn"

    def __init__(self, bin_dir, base, scratch):
        self.cachectl, self.base, self.scratch = os.path.join(bin_dir, "cachectl"), base, scratch
        self.root = os.path.join(scratch, "cairn-store")

    def version(self):
        return run([self.cachectl, "--version"]).stdout.strip()

    def reset(self):
        shutil.rmtree(self.root, ignore_errors=True)
        self.build(Work("base", [("run", "true")]), None)

    def build(self, work, context):
        graph = os.path.join(self.scratch, "graph.pb")
        with open(self.base["layout"] + "/index.json", encoding="utf-8") as file:
            manifest = json.load(file)["manifests"][0]["digest"]
        with open(graph, "wb") as file:
            file.write(work.definition(manifest))
        command = [self.cachectl, "--root", self.root, "solve", graph, "--oci-layout", f"base={self.base['layout']}", "--progress", "none", "--json"]
        if context:
            command += ["--local", f"context={context}"]
        done = run(command)
        if done.returncode != 0:
            raise RuntimeError(f"cachectl: {done.stderr.strip()[-500:]}")
        return json.loads(done.stdout)["executed"]


class Buildah:
    name = "buildah"

    def __init__(self, base, scratch):
        self.scratch = scratch
        self.options = ["--root", os.path.join(scratch, "buildah"), "--runroot", os.path.join(scratch, "buildah-run")]
        self.base = base

    def version(self):
        return run(["buildah", "--version"]).stdout.strip()

    def call(self, *words, **options):
        done = run(["buildah", *self.options, *words], **options)
        if done.returncode != 0:
            raise RuntimeError(f"buildah {words[0]}: {done.stderr.strip()[-500:]}")
        return done.stdout

    def reset(self):
        run(["buildah", *self.options, "rmi", "--all", "--force"])
        # Of the files, not of the layout: it wants a history in an image that it builds upon.
        container = self.call("from", "scratch").strip()
        self.call("copy", "--quiet", container, self.base["rootfs"], "/")
        self.image = self.call("commit", "--quiet", "--rm", container, "bench-base").strip()

    def build(self, work, context):
        folder = context or os.path.join(self.scratch, "empty")
        os.makedirs(folder, exist_ok=True)
        dockerfile = os.path.join(self.scratch, "Dockerfile")
        with open(dockerfile, "w", encoding="utf-8") as file:
            file.write(work.dockerfile(self.image))
        out = self.call("bud", "--isolation", "chroot", "--layers", "--pull-never", "--file", dockerfile, "--tag", "bench", folder)
        return sum(1 for line in out.splitlines() if line.startswith("STEP") and "FROM" not in line) - out.count("Using cache")


class Docker:
    name = "docker"

    def __init__(self, base, scratch):
        self.base, self.scratch = base, scratch

    def version(self):
        return run(["docker", "version", "--format", "docker {{.Server.Version}}"]).stdout.strip()

    def reset(self):
        run(["docker", "builder", "prune", "--all", "--force"])
        done = subprocess.run(f"tar -C {self.base['rootfs']} -c . | docker import - bench-base", shell=True, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip()[-500:])

    def build(self, work, context):
        folder = context or os.path.join(self.scratch, "empty")
        os.makedirs(folder, exist_ok=True)
        done = run(["docker", "build", "--quiet", "--file", "-", folder], input=work.dockerfile("bench-base"), env=dict(os.environ, DOCKER_BUILDKIT="1"))
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip()[-500:])
        return None


def make_base(tools, scratch):
    rootfs, layout = os.path.join(scratch, "rootfs"), os.path.join(scratch, "layout")
    for folder in ("bin", "tmp", "dev", "proc", "sys", "etc"):
        os.makedirs(os.path.join(rootfs, folder))
    shutil.copy("/bin/busybox", os.path.join(rootfs, "bin/busybox"))
    for name in ("sh", "true", "cat", "wc", "echo", "cp", "find", "mkdir"):
        os.symlink("busybox", os.path.join(rootfs, "bin", name))
    subprocess.run([os.path.join(tools, "scripts/make-oci-layout"), rootfs, layout], check=True, stdout=subprocess.DEVNULL)
    return {"rootfs": rootfs, "layout": layout}


def find_engines(bin_dir, base, scratch):
    engines, missing = [Cairn(bin_dir, base, scratch)], []
    if shutil.which("buildah"):
        engines.append(Buildah(base, scratch))
    else:
        missing.append("buildah: not installed here (Debian package buildah)")
    if not shutil.which("docker"):
        missing.append("docker with BuildKit: not installed here (Debian package docker.io)")
    elif run(["docker", "info"]).returncode != 0:
        missing.append("docker with BuildKit: installed, but no daemon answers here")
    else:
        engines.append(Docker(base, scratch))
    return engines, missing


def make_context(scratch, files):
    folder = os.path.join(scratch, "context")
    for number in range(files):
        path = os.path.join(folder, f"d{number // 50}", f"f{number}")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"file {number}\n" * 64)
    return folder


def scenarios(tiny):
    """Name, what it is, how it is prepared and timed. `serial` makes work that nobody has done yet."""
    chain, files = (3, 100) if tiny else (10, 2000)

    def steps(serial, count):
        return [("run", f"echo {serial} {i} > /f{i}") for i in range(count)]

    def cold(engine, context, serial):
        return Work("cold", steps(serial, chain)), None, None

    def warm(engine, context, serial):
        return Work("warm", steps("same", chain)), None, Work("warm", steps("same", chain))

    def copied(tail):
        return Work("copy", steps("same", 3) + [("copy", "/", "/src")] + tail)

    def one_file(engine, context, serial):
        with open(os.path.join(context, "d0/f0"), "w", encoding="utf-8") as file:
            file.write(f"{serial}\n")
        return copied([("run", "find /src | wc -l > /count")]), context, None

    def same_files(engine, context, serial):
        return copied([("run", "find /src | wc -l > /count")]), context, copied([("run", "find /src | wc -l > /count")])

    return [
        (f"{chain} new steps on one another, each writes a file", cold, False),
        (f"the same {chain} steps again: nothing to do", warm, False),
        (f"a source of {files} files and {3 + 2} steps, nothing changed", same_files, True),
        (f"one of {files} files changed: copy it and run one step", one_file, True),
    ], files


def leave_nothing_mounted(scratch):
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        places = [line.split()[4] for line in file]
    for place in sorted((place for place in places if place.startswith(scratch + "/")), reverse=True):
        run(["umount", "--lazy", place])


def measure(bin_dir, tools, scratch, tiny, say):
    try:
        return measure_engines(bin_dir, tools, scratch, tiny, say)
    finally:
        leave_nothing_mounted(scratch)


def measure_engines(bin_dir, tools, scratch, tiny, say):
    base = make_base(tools, scratch)
    engines, missing = find_engines(bin_dir, base, scratch)
    for line in missing:
        say("missing peer: " + line)
    rounds = 2 if tiny else 3
    table, files = scenarios(tiny)
    context = make_context(scratch, files)
    for engine in list(engines):
        try:
            engine.reset()
        except RuntimeError as error:
            if engine.name == "cairn":
                raise
            engines.remove(engine)
            missing.append(f"{engine.name}: installed, but it does not run here: {error}")
            say("missing peer: " + missing[-1])
    results = []
    for title, prepare, _ in table:
        times = {engine.name: [] for engine in engines}
        for turn in range(rounds):
            for engine in engines if turn % 2 == 0 else reversed(engines):
                work, folder, before = prepare(engine, context, f"{time.time_ns()}")
                if before:
                    engine.build(before, folder)
                begun = time.monotonic()
                engine.build(work, folder)
                times[engine.name].append(1000 * (time.monotonic() - begun))
        row = {"name": title, "unit": "ms"}
        for name, values in times.items():
            row[name] = {"median": statistics.median(values), "least": min(values), "most": max(values), "runs": len(values)}
        results.append(row)
        say(f"{title}: " + ", ".join(f"{name} {row[name]['median']:.0f} ms ({row[name]['least']:.0f} to {row[name]['most']:.0f})" for name in times))
    return {"engines": [engine.version() for engine in engines], "missing": missing, "rounds": rounds, "rows": results}
