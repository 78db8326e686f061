# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of scripts/bench --compare.

compare_test.py SOURCE_DIR
"""
import os
import sys
import unittest

SOURCE_DIR = sys.argv.pop(1)
sys.path.insert(0, os.path.join(SOURCE_DIR, "bench/report"))
from compare import compare, moved  # noqa: E402

MACHINE = {"cpu": "a", "cores": 2, "kernel": "6"}


def value_of(values):
    ordered = sorted(values)
    return {"median": ordered[len(ordered) // 2], "least": ordered[0], "most": ordered[-1], "runs": len(values), "values": values}


def report(cairn, unit="ms", name="work", floor=None, **peers):
    row = {"key": "k", "budget": "b", "name": name, "unit": unit, "skipped": {},
           "engines": {engine: value_of(values) for engine, values in {"cairn": cairn, **peers}.items()}}
    if floor:
        row["floor"] = {"what": "cp", **value_of(floor)}
    return {"format": 2, "machine": MACHINE, "tiny": False, "scenarios": {"rows": [row]}}


class Moved(unittest.TestCase):
    def test_is_the_new_over_the_old(self):
        self.assertEqual(moved([10, 10, 10, 10, 10], [20, 20, 20, 20, 20]), 2.0)
        self.assertEqual(moved([20, 20, 20, 20, 20], [10, 10, 10, 10, 10]), 0.5)

    def test_is_not_a_tenth_or_less(self):
        self.assertIsNone(moved([100, 100, 100, 100, 100], [110, 110, 110, 110, 110]))
        self.assertIsNone(moved([100, 100, 100, 100, 100], [90, 90, 90, 90, 90]))
        self.assertAlmostEqual(moved([100, 100, 100, 100, 100], [111, 111, 111, 111, 111]), 1.11)

    def test_one_accident_of_five_on_either_side_hides_nothing(self):
        self.assertEqual(moved([10, 10, 10, 10, 500], [20, 20, 20, 20, 20]), 2.0)
        self.assertEqual(moved([10, 10, 10, 10, 10], [20, 20, 20, 20, 1]), 2.0)

    def test_runs_that_lie_in_one_another_are_noise(self):
        self.assertIsNone(moved([10, 12, 14, 16, 18], [11, 13, 17, 19, 12]))
        self.assertIsNone(moved([10, 30, 50, 70, 90], [20, 40, 60, 80, 100]))

    def test_of_three_runs_all_must_be_beyond_all(self):
        self.assertEqual(moved([10, 11, 12], [20, 21, 22]), 21 / 11)
        self.assertIsNone(moved([10, 11, 21], [20, 20, 22]))

    def test_of_unequal_counts_the_fewer_decide(self):
        self.assertIsNone(moved([10, 11, 21], [20, 20, 22, 22, 22]))

    def test_replays_have_no_noise(self):
        self.assertEqual(moved(100.0, 150.0), 1.5)
        self.assertIsNone(moved(100.0, 105.0))

    def test_from_nothing_to_something(self):
        self.assertEqual(moved(0.0, 3.0), float("inf"))
        self.assertIsNone(moved(0.0, 0.0))
        self.assertEqual(moved(3.0, 0.0), 0.0)


class Compare(unittest.TestCase):
    def said(self, old, new):
        lines = []
        return compare(old, new, lines.append), lines

    def test_names_what_moved_which_way_and_by_how_much(self):
        found, lines = self.said(report([10, 11, 12]), report([20, 22, 24]))
        self.assertEqual(found, {"work": 2.0})
        self.assertIn("slower: work: 11 -> 22 (2.00x)", lines)
        found, lines = self.said(report([20, 22, 24]), report([10, 11, 12]))
        self.assertIn("faster: work: 22 -> 11 (0.50x)", lines)

    def test_the_same_report_twice_moves_nothing(self):
        found, lines = self.said(report([10, 11, 12]), report([10, 11, 12]))
        self.assertEqual((found, len(lines)), ({}, 1))
        self.assertIn("0 of 1 figures moved", lines[0])

    def test_figures_of_one_or_two_runs_are_counted_not_judged(self):
        found, lines = self.said(report([10]), report([50]))
        self.assertEqual(found, {})
        self.assertIn("0 of 0 figures moved beyond noise; 1 ran less than 3 times", lines[-1])

    def test_a_machine_that_became_slow_for_all_is_not_ours(self):
        found, lines = self.said(report([10, 11, 12], buildah=[100, 110, 120], floor=[5, 6, 7]), report([20, 22, 24], buildah=[200, 220, 240], floor=[10, 12, 14]))
        self.assertEqual(found, {})
        self.assertIn("the machine: other engines and floors take 2.00 times what they took (2.00 to 2.00); Cairn is compared beside them", lines)

    def test_who_alone_became_slow_is_found_beside_the_others(self):
        found, _ = self.said(report([10, 11, 12], buildah=[100, 110, 120]), report([40, 44, 48], buildah=[200, 220, 240]))
        self.assertEqual(list(found), ["work, beside buildah"])
        self.assertAlmostEqual(found["work, beside buildah"], 2.0)

    def test_a_round_is_compared_with_its_own_round(self):
        # The load doubles in the middle of each run: alone that would be as large as what is looked for.
        found, _ = self.said(report([10, 10, 20, 20, 20], buildah=[10, 10, 20, 20, 20]), report([15, 15, 15, 30, 30], buildah=[10, 10, 10, 20, 20]))
        self.assertAlmostEqual(found["work, beside buildah"], 1.5)

    def test_others_that_ran_in_one_of_both_reports_only_are_left_out(self):
        found, lines = self.said(report([10, 11, 12]), report([20, 22, 24], buildah=[1, 1, 1]))
        self.assertEqual(found, {"work": 2.0})

    def test_bytes_are_not_set_beside_anything(self):
        found, _ = self.said(report([10, 10, 10], unit="MB", buildah=[100, 100, 100]), report([10, 10, 10], unit="MB", buildah=[200, 200, 200]))
        self.assertEqual(found, {})
        found, _ = self.said(report([10, 10, 10], unit="MB", buildah=[100, 100, 100]), report([20, 20, 20], unit="MB", buildah=[200, 200, 200]))
        self.assertEqual(found, {"work": 2.0})

    def test_a_report_of_format_1_is_read(self):
        old = {"format": 1, "machine": MACHINE, "tiny": False,
               "scenarios": {"rows": [{"name": "work", "unit": "ms", "cairn": {"median": 11, "least": 10, "most": 12, "runs": 3}}]}}
        self.assertEqual(self.said(old, report([20, 22, 24]))[0], {"work": 2.0})

    def test_says_what_only_one_of_them_has_and_that_machines_differ(self):
        new = report([10, 11, 12], name="other work")
        new["machine"] = dict(MACHINE, cores=64)
        new["tiny"] = True
        _, lines = self.said(report([10, 11, 12]), new)
        self.assertIn("not the same machine: cores 2 -> 64", lines)
        self.assertIn("one of the two is --tiny: they did not do the same work", lines)
        self.assertIn("only in the old report: work", lines)
        self.assertIn("only in the new report: other work", lines)

    def test_micro_and_hit_rate(self):
        def other(values, ns):
            return {"machine": MACHINE, "tiny": False, "micro": [{"name": "m", "values": values, "runs": 3}],
                    "hit-rate": [{"name": "w", "runs": {"lru, half": {"rebuilding_ns": ns}}}]}
        found, _ = self.said(other([1, 1, 1], 1e9), other([4, 4, 4], 2e9))
        self.assertEqual(found, {"m": 4.0, "w, lru, half: seconds built again": 2.0})


if __name__ == "__main__":
    unittest.main()
