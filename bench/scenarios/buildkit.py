# SPDX-License-Identifier: Apache-2.0
"""BuildKit as Debian's docker.io has it, in a daemon of our own below the scratch folder: it shares nothing with a daemon that may run
here, and ends with us. It is stopped by its own process id, and what it mounted is unmounted by whoever removes the scratch folder."""
import os
import re
import shutil
import subprocess
import tempfile
import time

from engines import Failed, Unable, disk_mb, empty_folder, must, run

START_SECONDS = 60
# With many steps at once this version fails by chance with these words, and goes on where it was when it is asked again, as its users do.
FAILS_BY_CHANCE, MOST_TRIES = "flightcontrol: exceeded retry timeout", 6


def ends_with_us(command):
    """Also if we are killed: the kernel sends it a signal."""
    return ["setpriv", "--pdeathsig", "TERM", *command]


class BuildKit:
    name = "buildkit"

    def __init__(self, base, scratch):
        self.base, self.scratch, self.daemon, self.client, self.retries = base, scratch, None, None, 0
        if not shutil.which("dockerd"):
            raise Unable("dockerd is not installed here (Debian package docker.io)")
        if os.geteuid() != 0:
            raise Unable("dockerd is installed, but runs for root only")
        # A path of a socket has at most 107 bytes, and a scratch folder may be anywhere.
        self.run_dir = tempfile.mkdtemp(prefix="cairn-dockerd-", dir="/run" if os.access("/run", os.W_OK) else None)
        self.root, self.socket = os.path.join(scratch, "dockerd"), os.path.join(self.run_dir, "sock")
        self.log = os.path.join(scratch, "dockerd.log")
        self.environment = dict(os.environ, DOCKER_BUILDKIT="1", DOCKER_CONFIG=os.path.join(scratch, "docker-config"))
        try:
            self.start()
            self.find_client()
        except BaseException:
            self.stop()
            raise

    def start(self):
        """Until it answers."""
        with open(self.log, "ab") as log:
            self.daemon = subprocess.Popen(
                ends_with_us(["dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none", "--data-root", self.root, "--exec-root",
                              os.path.join(self.run_dir, "exec"), "--host", f"unix://{self.socket}", "--pidfile", os.path.join(self.run_dir, "pid")]),
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        until = time.monotonic() + START_SECONDS
        client = self.client or shutil.which("docker") or "/usr/bin/docker"
        while run([client, "--host", f"unix://{self.socket}", "images"], env=self.environment).returncode != 0:
            if self.daemon.poll() is not None or time.monotonic() > until:
                with open(self.log, encoding="utf-8", errors="replace") as log:
                    raise Failed(f"dockerd does not answer: {log.read().strip()[-300:]}")
            time.sleep(0.02)

    def end_daemon(self):
        if self.daemon is None:
            return
        self.daemon.terminate()
        try:
            self.daemon.wait(30)
        except subprocess.TimeoutExpired:
            self.daemon.kill()
            self.daemon.wait()
        self.daemon = None

    def stop(self):
        self.end_daemon()
        unmount_below(self.run_dir)
        shutil.rmtree(self.run_dir, ignore_errors=True)

    def find_client(self):
        """A client may want a plugin that is not here: the first that really builds."""
        folders = [*os.environ.get("PATH", "").split(":"), "/usr/bin"]
        refused = []
        for path in dict.fromkeys(os.path.join(folder, "docker") for folder in folders if folder):
            if not os.access(path, os.X_OK):
                continue
            done = run([path, "--host", f"unix://{self.socket}", "build", "--quiet", "--network", "none", "--file", "-", empty_folder(self.scratch)],
                       input="FROM scratch\nLABEL bench=client\n", env=self.environment)
            if done.returncode == 0:
                self.client = path
                return
            refused.append(f"{path}: {' '.join(done.stderr.split())[-150:]}")
        raise Failed("no docker here builds with BuildKit: " + ("; ".join(refused) or "there is none"))

    def call(self, *words, **options):
        return must([self.client, "--host", f"unix://{self.socket}", *words], env=self.environment, **options)

    def version(self):
        return f"BuildKit in docker.io {self.call('version', '--format', '{{.Server.Version}}').stdout.strip()}, runc"

    def reset(self):
        self.call("builder", "prune", "--all", "--force")
        if not self.call("images", "--quiet", "bench-base").stdout:
            self.shell(f"tar -C '{self.base['rootfs']}' -c . | {self.quoted()} import - bench-base")

    def quoted(self):
        return f"'{self.client}' --host 'unix://{self.socket}'"

    def shell(self, line):
        must(["bash", "-o", "pipefail", "-c", line], env=self.environment)

    def build(self, work, context=None, tag="bench"):
        """How many steps ran; None if it had to be asked more than once."""
        for attempt in range(MOST_TRIES):
            try:
                done = self.call("build", "--progress", "plain", "--network", "none", "--tag", tag, "--file", "-", context or empty_folder(self.scratch),
                                 input=work.dockerfile("bench-base"))
            except Failed as reason:
                if FAILS_BY_CHANCE not in str(reason) or attempt + 1 == MOST_TRIES:
                    raise
                self.retries += 1
                continue
            steps = set(re.findall(r"^#(\d+) \[.*\] (?:RUN|COPY)", done.stderr, re.MULTILINE))
            return None if attempt else len(steps - set(re.findall(r"^#(\d+) CACHED", done.stderr, re.MULTILINE)))

    def usage(self):
        self.call("system", "df")

    def close(self):
        self.end_daemon()

    def open_and_answer(self):
        self.start()

    def prune(self):
        self.call("system", "prune", "--all", "--force")

    def memory_mb(self, work):
        """Of the daemon and of what it has started and keeps."""
        self.build(work)
        pids, total = [self.daemon.pid], 0
        while pids:
            pid = pids.pop()
            with open(f"/proc/{pid}/status", encoding="utf-8") as file:
                total += next((int(line.split()[1]) for line in file if line.startswith("VmRSS")), 0)
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/children", encoding="utf-8") as file:
                    pids += map(int, file.read().split())
        return total * 1024 / 1e6

    def metadata_mb(self):
        return disk_mb(self.root, {"overlay2"})

    def stored_mb(self):
        return disk_mb(self.root)

    def export(self, tag):
        self.shell(f"{self.quoted()} save {tag} | gzip -6 >'{self.scratch}/docker-export.tar.gz'")
        os.remove(f"{self.scratch}/docker-export.tar.gz")

    def forget_image(self):
        run([self.client, "--host", f"unix://{self.socket}", "rmi", "--force", "bench-image"], env=self.environment)

    def take_image(self, image):
        self.call("load", "--quiet", "--input", image.docker_archive)


def unmount_below(folder):
    folder = os.path.realpath(folder)
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        places = [line.split()[4] for line in file]
    for place in sorted((place for place in places if place.startswith(folder + "/")), reverse=True):
        run(["umount", "--lazy", place])
