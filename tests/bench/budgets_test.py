# SPDX-License-Identifier: Apache-2.0
"""Each budget has something that measures it: a scenario, or a benchmark that is really there.

budgets_test.py SOURCE_DIR
"""
import glob
import os
import re
import sys
import unittest

SOURCE_DIR = sys.argv.pop(1)
sys.path.insert(0, os.path.join(SOURCE_DIR, "bench/scenarios"))
import graph  # noqa: E402
import scenarios  # noqa: E402


def read(*path):
    with open(os.path.join(SOURCE_DIR, *path), encoding="utf-8") as file:
        return file.read()


def first_table():
    lines = read("bench/budgets.md").splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("| work |"))
    rows = []
    for line in lines[begin + 2:]:
        if not line.startswith("|"):
            break
        rows.append(line.split("|")[1].strip())
    return rows


def benchmarks():
    found = set()
    for path in glob.glob(os.path.join(SOURCE_DIR, "bench/*/*_bench.cc")):
        for name in re.findall(r"^BENCHMARK(?:_CAPTURE|_TEMPLATE)?\((\w+)", read(path), re.MULTILINE):
            found.add(f"{os.path.basename(path)[:-3]}: {name}")
    return found


def made(tiny):
    return scenarios.all_scenarios(scenarios.size_of(tiny, 0, 0), "/context", None)


def measures():
    return [name for names in (*scenarios.BUDGETS.values(), *scenarios.MORE_BUDGETS.values()) for name in names]


class Budgets(unittest.TestCase):
    def test_each_row_of_the_table_has_a_scenario_or_a_benchmark(self):
        rows = first_table()
        self.assertGreater(len(rows), 5)
        for row in rows:
            self.assertTrue([begin for begin in scenarios.BUDGETS if row.startswith(begin)], f"nothing measures: {row}")
        for begin in scenarios.BUDGETS:
            self.assertTrue([row for row in rows if row.startswith(begin)], f"no such budget: {begin}")

    def test_what_is_named_is_there(self):
        known = benchmarks() | {each.key for each in made(False)}
        self.assertEqual([name for name in measures() if name not in known], [])

    def test_no_scenario_is_without_a_budget(self):
        self.assertEqual({each.key for each in made(False)} - set(measures()), set())

    def test_a_tiny_run_has_the_same_scenarios(self):
        self.assertEqual([each.key for each in made(True)], [each.key for each in made(False)])
        keys = [each.key for each in made(True)]
        self.assertEqual(len(keys), len(set(keys)))


class Work(unittest.TestCase):
    """The same work in both forms: as many steps in the graph as in the Dockerfile."""

    def ops_of(self, work):
        seen = []
        original = graph.Graph.add
        graph.Graph.add = lambda self, inputs, op: (seen.append((len(inputs), op)), original(self, inputs, op))[1]
        try:
            work.definition("oci-layout://base@sha256:0")
        finally:
            graph.Graph.add = original
        return [op for inputs, op in seen if inputs and op]

    def test_steps_are_as_many(self):
        for work in (scenarios.chain(7, "x"), scenarios.independent(5, "x"), graph.Chain([("copy", "/", "/src"), ("run", "true")])):
            dockerfile = work.dockerfile("base")
            self.assertEqual(len(self.ops_of(work)), work.count)
            self.assertEqual(len(re.findall(r"^(?:RUN|COPY) ", dockerfile, re.MULTILINE)), work.count)

    def test_independent_steps_have_stages_of_their_own(self):
        dockerfile = scenarios.independent(100, "x").dockerfile("base")
        self.assertEqual(len(re.findall(r"^FROM base AS s\d+$", dockerfile, re.MULTILINE)), 100)
        self.assertEqual(len(re.findall(r"^COPY --from=s\d+ ", dockerfile, re.MULTILINE)), 100)

    def test_a_part_of_a_context_is_asked_for_as_the_front_end_of_dockerfiles_does(self):
        self.assertIn(b'["d0"]', graph.Chain([("copy", "/d0", "/src")]).definition("oci-layout://b@sha256:0"))
        self.assertNotIn(b"followpaths", graph.Chain([("copy", "/", "/src")]).definition("oci-layout://b@sha256:0"))


if __name__ == "__main__":
    unittest.main()
