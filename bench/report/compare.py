# SPDX-License-Identifier: Apache-2.0
"""What moved beyond noise from one report to another."""

# A median must move by so much of itself, and so many of all pairs of an old and a new run must say so.
LEAST_MOVE = 0.10
PAIRS_OF_FEW, PAIRS_OF_MANY, MANY = 1.0, 0.8, 5
FEWEST_RUNS = 3


def runs_of(value):
    """Reports of format 1 have no single values."""
    return value.get("values") or [value["least"], value["median"], value["most"]][:value["runs"]]


def figures(report):
    """Name: (runs, or one exact figure)."""
    found = {}
    for row in report.get("micro", []):
        found[row["name"]] = runs_of(row)
    for row in report.get("scenarios", {}).get("rows", []):
        engines = row["engines"] if "engines" in row else {name: value for name, value in row.items() if isinstance(value, dict)}
        for name, value in engines.items():
            found[f"{row['name']} ({name})"] = runs_of(value)
        if "floor" in row:
            found[f"{row['name']} (floor: {row['floor']['what']})"] = runs_of(row["floor"])
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


def compare(old, new, say):
    """Says what moved; returns {name: new over old} of it."""
    if old.get("tiny") != new.get("tiny"):
        say("one of the two is --tiny: they did not do the same work")
    for key in ("cpu", "cores", "kernel"):
        if old["machine"].get(key) != new["machine"].get(key):
            say(f"not the same machine: {key} {old['machine'].get(key)} -> {new['machine'].get(key)}")
    before, after = figures(old), figures(new)
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
    say(f"{len(found)} of {len(both) - len(once)} figures moved beyond noise; {len(once)} ran less than {FEWEST_RUNS} times and are not compared; "
        f"only in the old report {len(before.keys() - after.keys())}, only in the new {len(after.keys() - before.keys())}")
    return found
