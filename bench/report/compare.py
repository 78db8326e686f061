# SPDX-License-Identifier: Apache-2.0
"""What moved beyond noise from one report to another."""
import math

# A median must move by so much of itself, and so many of all pairs of an old and a new run must say so.
LEAST_MOVE = 0.10
PAIRS_OF_FEW, PAIRS_OF_MANY, MANY = 1.0, 0.8, 5
FEWEST_RUNS = 3


def runs_of(value):
    """Reports of format 1 have no single values."""
    return value.get("values") or [value["least"], value["median"], value["most"]][:value["runs"]]


def measured(row):
    """What a scenario was timed of: {name: runs}."""
    engines = row["engines"] if "engines" in row else {name: value for name, value in row.items() if isinstance(value, dict)}
    return {name: runs_of(value) for name, value in [*engines.items(), *([("floor", row["floor"])] if "floor" in row else [])]}


def beside(runs, others):
    """Each run over the mean (geometric) of what all others took in the same round."""
    return [run / math.exp(sum(math.log(other[i]) for other in others) / len(others)) for i, run in enumerate(runs)]


def scenario_rows(old, new):
    """Those of both reports: (title, unit, what each took then, what each took now)."""
    before = {row["name"]: row for row in old.get("scenarios", {}).get("rows", [])}
    for row in new.get("scenarios", {}).get("rows", []):
        if row["name"] in before:
            yield row["name"], row["unit"], measured(before[row["name"]]), measured(row)


def scenario_figures(old, new):
    """Of Cairn alone, and of each row in which others ran both times beside them: they did the same work in the same minutes, so what all of
    them take more is the machine's. Returns the figures of both reports, and by how much the others moved."""
    figures, drift = ({}, {}), []
    for title, unit, was, now in scenario_rows(old, new):
        if "cairn" not in was or "cairn" not in now:
            continue
        same = [name for name in was if name != "cairn" and name in now and len(was[name]) == len(was["cairn"]) and len(now[name]) == len(now["cairn"])
                and min(was[name] + now[name]) > 0]
        timed = unit == "ms" and same
        if timed:
            drift += [ratio(median(was[name]), median(now[name])) for name in same]
        for side, found in zip((was, now), figures):
            found[f"{title}, beside {' and '.join(same)}" if timed else title] = beside(side["cairn"], [side[name] for name in same]) if timed else side["cairn"]
    return figures, drift


def figures_alone(report):
    """Name: runs, or one exact figure, of what nothing runs beside."""
    found = {row["name"]: runs_of(row) for row in report.get("micro", [])}
    for row in report.get("hit-rate", []):
        for name, run in row["runs"].items():
            found[f"{row['name']}, {name}: seconds built again"] = run["rebuilding_ns"] / 1e9
    return found


def median(values):
    ordered, middle = sorted(values), len(values) // 2
    return ordered[middle] if len(values) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def ratio(old, new):
    return new / old if old else (1.0 if new == old else float("inf"))


def moved(old, new):
    """New over old, if that is beyond noise; None if it is not. Replays are exact: they have no noise."""
    exact = not isinstance(old, list) or not isinstance(new, list)
    was, now = (old, new) if exact else (median(old), median(new))
    if abs(now - was) <= LEAST_MOVE * abs(was):
        return None
    if not exact:
        pairs = [(b - a) * (now - was) > 0 for a in old for b in new]
        # Of few runs a single one may not disagree; of many one may be an accident of the machine.
        wanted = PAIRS_OF_MANY if min(len(old), len(new)) >= MANY else PAIRS_OF_FEW
        if sum(pairs) < wanted * len(pairs):
            return None
    return ratio(was, now)


def names(report):
    return figures_alone(report).keys() | {row["name"] for row in report.get("scenarios", {}).get("rows", []) if "cairn" in measured(row)}


def compare(old, new, say):
    """Says what moved; returns {name: new over old} of it."""
    if old.get("tiny") != new.get("tiny"):
        say("one of the two is --tiny: they did not do the same work")
    for key in ("cpu", "cores", "kernel"):
        if old["machine"].get(key) != new["machine"].get(key):
            say(f"not the same machine: {key} {old['machine'].get(key)} -> {new['machine'].get(key)}")
    (before, after), drift = scenario_figures(old, new)
    before.update(figures_alone(old))
    after.update(figures_alone(new))
    if drift:
        say(f"the machine: other engines and floors take {median(drift):.2f} times what they took ({min(drift):.2f} to {max(drift):.2f}); Cairn is compared beside them")
    both = sorted(before.keys() & after.keys())
    once = [name for name in both if any(isinstance(side[name], list) and len(side[name]) < FEWEST_RUNS for side in (before, after))]
    found = {}
    for name in both:
        if name in once:
            continue
        change = moved(before[name], after[name])
        if change is not None:
            found[name] = change
            was, now = (median(value) if isinstance(value, list) else value for value in (before[name], after[name]))
            say(f"{'slower' if change > 1 else 'faster'}: {name}: {was:.4g} -> {now:.4g} ({change:.2f}x)")
    say(f"{len(found)} of {len(both) - len(once)} figures moved beyond noise; {len(once)} ran less than {FEWEST_RUNS} times and are not compared")
    for text, some, others in (("old", old, new), ("new", new, old)):
        if gone := sorted(names(some) - names(others)):
            say(f"only in the {text} report: {', '.join(gone)}")
    return found
