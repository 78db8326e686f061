# SPDX-License-Identifier: Apache-2.0
"""The page of scripts/bench: what is in a report is on it, with what did not run and why. And who fails in a round is out of it.

page_test.py SOURCE_DIR
"""
import os
import sys
import time
import unittest
from html.parser import HTMLParser

SOURCE_DIR = sys.argv.pop(1)
sys.path[:0] = [os.path.join(SOURCE_DIR, "bench/report"), os.path.join(SOURCE_DIR, "bench/scenarios")]
import peers  # noqa: E402
from engines import Failed, Unable, run  # noqa: E402
from page import page  # noqa: E402
from peers import Turns  # noqa: E402
from scenarios import Scenario  # noqa: E402

MACHINE = {"cpu": "a <cpu>", "cores": 2, "kernel": "6", "memory_gib": 24, "load": 1, "commit": "c", "date": "2026-11-27"}


class Engine:
    def __init__(self, name, log):
        self.name, self.log, self.retries = name, log, 0


class Floors:
    def clear(self):
        pass


def turns(act, rounds=4, names=("cairn", "buildah", "buildkit"), **more):
    log = []
    engines = [Engine(name, log) for name in names]

    def logged(engine):
        log.append(engine.name)
        return act(engine)
    return Turns(Scenario("key", "Budget", "work", logged, rounds=rounds, **more), engines, Floors()).run(), log


class Rounds(unittest.TestCase):
    def test_the_order_alternates(self):
        row, log = turns(lambda engine: None, rounds=2)
        self.assertEqual(log, ["cairn", "buildah", "buildkit", "buildkit", "buildah", "cairn"])
        self.assertEqual([value["runs"] for value in row["engines"].values()], [2, 2, 2])

    def test_an_answer_is_the_figure(self):
        row, _ = turns(lambda engine: {"cairn": 1, "buildah": 2, "buildkit": 3}[engine.name], unit="MB")
        self.assertEqual({name: value["median"] for name, value in row["engines"].items()}, {"cairn": 1, "buildah": 2, "buildkit": 3})

    def test_a_peer_that_fails_is_out_and_why_is_said(self):
        def act(engine):
            if engine.name == "buildkit" and engine.log.count("buildkit") == 2:
                raise Failed("max depth exceeded")
        row, log = turns(act)
        self.assertEqual(row["skipped"], {"buildkit": "failed: max depth exceeded"})
        self.assertEqual(list(row["engines"]), ["cairn", "buildah"])
        self.assertEqual((log.count("buildkit"), log.count("cairn")), (2, 4))

    def test_a_failure_of_ours_ends_the_run(self):
        def act(engine):
            raise Failed("no")
        with self.assertRaises(Failed):
            turns(act, names=("cairn",))

    def test_what_an_engine_has_not_is_said_before_the_first_round(self):
        def once(engine):
            if engine.name == "buildah":
                raise Unable("has no such thing")
        row, log = turns(lambda engine: None, once=once)
        self.assertEqual(row["skipped"], {"buildah": "has no such thing"})
        self.assertNotIn("buildah", log)

    def test_a_peer_that_takes_long_keeps_its_figure_and_is_asked_no_more(self):
        was, peers.LONG_SECONDS = peers.LONG_SECONDS, 0.02
        try:
            row, log = turns(lambda engine: time.sleep(0.03) if engine.name != "buildah" else None)
        finally:
            peers.LONG_SECONDS = was
        self.assertEqual({name: value["runs"] for name, value in row["engines"].items()}, {"cairn": 4, "buildah": 4, "buildkit": 1})
        self.assertEqual(row["skipped"], {})

    def test_failures_after_which_an_engine_was_asked_again_are_counted(self):
        def act(engine):
            engine.retries += 2 if engine.name == "buildkit" else 0
        row, _ = turns(act, rounds=3)
        self.assertEqual(row["retries"], {"buildkit": 6})

    def test_the_floor_is_timed_as_often(self):
        row, _ = turns(lambda engine: None, floor_name="cp", floor=lambda floors: None)
        self.assertEqual((row["floor"]["what"], row["floor"]["runs"]), ("cp", 4))


class Programs(unittest.TestCase):
    def test_what_is_not_done_in_time_is_ended_with_all_that_it_started(self):
        begun = time.monotonic()
        with self.assertRaisesRegex(Failed, "sh: not done after 0.2 s"):
            # Its child holds the pipes open, as a step of a build would.
            run(["sh", "-c", "sleep 60 & sleep 60"], patience=0.2)
        self.assertLess(time.monotonic() - begun, 30)

    def test_what_it_prints_and_reads_comes_through(self):
        done = run(["sh", "-c", "cat; echo no >&2; exit 3"], input="yes")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (3, "yes", "no\n"))


class Texts(HTMLParser):
    def __init__(self):
        super().__init__()
        self.texts, self.counts, self.open = [], {}, []

    def handle_starttag(self, tag, attrs):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        if tag not in ("meta", "rect"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.counts[tag] = self.counts.get(tag, 0) + 1

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


class Page(unittest.TestCase):
    def setUp(self):
        def act(engine):
            if engine.name == "buildah":
                raise Failed("<no> & no")
        rows = [turns(act, floor_name="cp -a", floor=lambda floors: 7)[0], {**turns(lambda engine: 3, unit="MB")[0], "budget": "Other", "name": "other work", "note": "a note", "retries": {"buildkit": 3}}]
        self.report = {"machine": MACHINE, "load_at_end": 1, "scenarios": {"engines": ["cairn 1"], "missing": ["runtime: none"], "rows": rows}}
        self.parsed = Texts()
        self.parsed.feed(page(self.report))

    def test_has_a_section_for_each_budget_and_says_who_did_not_run(self):
        for text in ("Budget", "Other", "failed: <no> & no", "floor: cp -a", "other work: a note.", "buildkit failed 3 times and was asked again", " runtime: none", "a <cpu>"):
            self.assertIn(text, "\n".join(self.parsed.texts))
        self.assertEqual(self.parsed.open, [])
        self.assertEqual(self.parsed.counts["h3"], 2)

    def test_has_a_bar_for_each_figure(self):
        self.assertEqual(self.parsed.counts["svg"], 2)
        self.assertEqual(self.parsed.counts["rect"], 2 + 1 + 3)


if __name__ == "__main__":
    unittest.main()
