# SPDX-License-Identifier: Apache-2.0
"""Runs the tour in README.md and compares what its commands print with what is written there.

tour_test.py SOURCE-DIR BIN-DIR [--update]

A tour is the console blocks of the section: a line that begins with "$ " is typed into one shell, a line that ends in a backslash goes on
with the next, one with <<'EOF' up to the line EOF, and what follows is what it prints on standard output. What differs from run to run need not be the same: times, sizes, digests and ids
(all numbers of three digits or more), and how columns are padded. A line of "…" stands for any lines. With --update the README gets what was printed.
"""
import os
import re
import subprocess
import sys
import tempfile

HEADING = "## A five-minute tour"
PLACE = "/tmp/cairn-tour"  # in the text; the test has a place of its own
END = "--- end of output "


def section(text):
    begin = text.index(HEADING)
    end = text.find("\n## ", begin + 1)
    return begin, len(text) if end < 0 else end


def waits_for_end(command):
    """Whether it is a here-document that has not come to its end."""
    word = re.search(r"<<'(\w+)'", command)
    return word is not None and command.split("\n")[-1] != word[1]


def commands(lines):
    """(number of its first line, command, expected lines) of one console block."""
    found = []
    for number, line in lines:
        goes_on = found and not found[-1][2] and (found[-1][1].endswith("\\") or waits_for_end(found[-1][1]))
        if line.startswith("$ ") and not goes_on:
            found.append((number, line[2:], []))
        elif goes_on:
            found[-1] = (found[-1][0], found[-1][1] + "\n" + line, [])
        else:
            found[-1][2].append(line)
    return found


def blocks(text, begin, end):
    inside, block = False, []
    first = text.count("\n", 0, begin) + 1
    for number, line in enumerate(text[begin:end].split("\n"), first):
        if line == "```console":
            inside, block = True, []
        elif line == "```" and inside:
            inside = False
            yield block
        elif inside:
            block.append((number, line))


VARIES = re.compile(r"\d{4}-\d\d-\d\dT[0-9:.]+Z|\b[0-9a-f]{12,}\b|\b[0-9.]+(?:ms|s)\b|\b\d{3,}\b")


def usual(line):
    return re.sub(r" +", " ", VARIES.sub("#", line)).strip()


def pattern_of(expected):
    return re.compile("".join(r"(?:.*\n)*?" if line == "…" else re.escape(usual(line)) + r"\n" for line in expected) + r"\Z")


class Shell:
    def __init__(self, source, bin_dir, place):
        path = f"{bin_dir}:{source}/scripts:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "LC_ALL": "C.UTF-8", "TZ": "UTC", "COLUMNS": "120"}
        environment.pop("CAIRN_ROOT", None)
        self.place = place
        self.process = subprocess.Popen(["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=source, env=environment, text=True)

    def run(self, command):
        self.process.stdin.write(f"{command.replace(PLACE, self.place)}\necho '{END}'$?\n")
        self.process.stdin.flush()
        lines = []
        while True:
            line = self.process.stdout.readline()
            if not line:
                return lines, "the shell has ended"
            if END in line:
                head, _, code = line.partition(END)
                if head:
                    lines.append(head)
                return [each.replace(self.place, PLACE) for each in lines], code.strip()
            lines.append(line.rstrip("\n"))


def main():
    source, bin_dir = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    update = "--update" in sys.argv[3:]
    readme = os.path.join(source, "README.md")
    text = open(readme, encoding="utf-8").read()
    failures, ran, printed = [], 0, {}
    with tempfile.TemporaryDirectory(prefix="cairn-tour-test-") as place:
        os.rmdir(place)
        shell = Shell(source, bin_dir, place)
        for block in blocks(text, *section(text)):
            for number, command, expected in commands(block):
                lines, code = shell.run(command)
                ran += 1
                printed[number] = (command, expected, lines)
                if code != "0":
                    failures.append(f"README.md:{number}: {command}: exit code {code}")
                elif not pattern_of(expected).match("".join(usual(line) + "\n" for line in lines)):
                    failures.append(f"README.md:{number}: {command}\n  printed:\n" + "".join(f"    {line}\n" for line in lines))
        shell.process.stdin.close()
        shell.process.wait()
        os.makedirs(place, exist_ok=True)
    if update:
        lines = text.split("\n")
        for number in sorted(printed, reverse=True):
            command, expected, now = printed[number]
            first = number - 1 + command.count("\n") + 1
            lines[first : first + len(expected)] = now
        open(readme, "w", encoding="utf-8").write("\n".join(lines))
        return 0
    if ran < 10:
        failures.append(f"only {ran} commands were found in the tour")
    print("\n".join(failures) if failures else f"{ran} commands of the tour print what README.md says")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
