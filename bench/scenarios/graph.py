# SPDX-License-Identifier: Apache-2.0
"""Build graphs for the scenarios: the same work as a pb.Definition, which cachectl solves, and as a Dockerfile, for engines that take no LLB.
Only the messages that are needed; field numbers are those of BuildKit's solver/pb/ops.proto."""
import hashlib
import json

NO_NETWORK = 2


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field, value):
    return varint(field << 3) + varint(value)


def nested(field, message):
    message = message.encode() if isinstance(message, str) else message
    return varint(field << 3 | 2) + varint(len(message)) + message


class Graph:
    def __init__(self):
        self.ops = []

    def add(self, inputs, op):
        body = b"".join(nested(1, nested(1, digest) + (number(2, output) if output else b"")) for digest, output in inputs) + op
        self.ops.append(body)
        return "sha256:" + hashlib.sha256(body).hexdigest(), 0

    def source(self, identifier, attributes=()):
        attrs = b"".join(nested(2, nested(1, name) + nested(2, value)) for name, value in attributes)
        return self.add([], nested(3, nested(1, identifier) + attrs))

    def run(self, root, script):
        meta = nested(1, nested(1, "/bin/sh") + nested(1, "-c") + nested(1, script) + nested(2, "PATH=/bin") + nested(3, "/"))
        return self.add([root], nested(2, meta + nested(2, nested(3, "/")) + number(3, NO_NETWORK)))

    def copy(self, root, context, source, dest):
        action = number(2, 1) + nested(4, nested(1, source) + nested(2, dest) + number(4, -1) + number(6, 1) + number(8, 1))
        return self.add([root, context], nested(4, nested(2, action)))

    def mkdir(self, root, path):
        return self.add([root], nested(4, nested(2, number(2, -1) + nested(6, nested(1, path) + number(2, 0o755)))))

    def definition(self, result):
        self.add([result], b"")
        return b"".join(nested(1, op) for op in self.ops)


class Chain:
    """Steps on top of one another: ("run", script) and ("copy", from where in the context, to where)."""

    def __init__(self, steps):
        self.steps = steps
        self.count = len(steps)

    def definition(self, image):
        graph = Graph()
        at = graph.source(image)
        copies = [step[1] for step in self.steps if step[0] == "copy"]
        if copies:
            # As the front end of Dockerfiles says it: of a context only what is copied, unless that is all.
            wanted = [] if "/" in copies else [("local.followpaths", json.dumps([path.lstrip("/") for path in copies]))]
            context = graph.source("local://context", wanted)
        for kind, *arguments in self.steps:
            at = graph.run(at, *arguments) if kind == "run" else graph.copy(at, context, *arguments)
        return graph.definition(at)

    def dockerfile(self, base):
        lines = [f"FROM {base}"]
        for kind, *arguments in self.steps:
            lines.append(f"RUN {arguments[0]}" if kind == "run" else f"COPY .{arguments[0]} {arguments[1]}")
        return "\n".join(lines) + "\n"


class Independent:
    """Steps that know nothing of one another, each of which writes a file, and one more on top that takes the files together: a copy each."""

    def __init__(self, scripts_and_files):
        self.parts = scripts_and_files
        self.count = 2 * len(scripts_and_files)

    def definition(self, image):
        graph = Graph()
        base = graph.source(image)
        made = [(graph.run(base, script), file) for script, file in self.parts]
        at = base
        for step, file in made:
            at = graph.copy(at, step, file, file)
        return graph.definition(at)

    def dockerfile(self, base):
        stages = [f"FROM {base} AS s{i}\nRUN {script}" for i, (script, _) in enumerate(self.parts)]
        copies = [f"COPY --from=s{i} {file} {file}" for i, (_, file) in enumerate(self.parts)]
        return "\n".join([*stages, f"FROM {base}", *copies]) + "\n"


class Unpack:
    """An image, and a directory on top of it, so that it has to be there as files."""

    def definition(self, image):
        graph = Graph()
        return graph.definition(graph.mkdir(graph.source(image), "/made"))
