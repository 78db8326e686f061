# SPDX-License-Identifier: Apache-2.0
"""Build graphs for the scenarios: the same work as a pb.Definition, which cachectl solves, and as a Dockerfile, for engines that take no LLB.
Only the messages that are needed; field numbers are those of BuildKit's solver/pb/ops.proto."""
import hashlib


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

    def source(self, identifier):
        return self.add([], nested(3, nested(1, identifier)))

    def run(self, root, script):
        meta = nested(1, nested(1, "/bin/sh") + nested(1, "-c") + nested(1, script) + nested(2, "PATH=/bin") + nested(3, "/"))
        return self.add([root], nested(2, meta + nested(2, nested(3, "/"))))

    def copy(self, root, context, source, dest):
        action = number(2, 1) + nested(4, nested(1, source) + nested(2, dest) + number(4, -1) + number(6, 1) + number(8, 1))
        return self.add([root, context], nested(4, nested(2, action)))

    def definition(self, result):
        self.add([result], b"")
        return b"".join(nested(1, op) for op in self.ops)


class Work:
    """Steps on top of one another: (what, arguments)."""

    def __init__(self, name, steps):
        self.name, self.steps = name, steps

    def definition(self, manifest):
        graph = Graph()
        at = graph.source(f"oci-layout://base@{manifest}")
        context = graph.source("local://context") if any(step[0] == "copy" for step in self.steps) else None
        for kind, *arguments in self.steps:
            at = graph.run(at, *arguments) if kind == "run" else graph.copy(at, context, *arguments)
        return graph.definition(at)

    def dockerfile(self, base):
        lines = [f"FROM {base}"]
        for kind, *arguments in self.steps:
            lines.append(f"RUN {arguments[0]}" if kind == "run" else f"COPY .{arguments[0]} {arguments[1]}")
        return "\n".join(lines) + "\n"
