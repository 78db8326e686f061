# SPDX-License-Identifier: Apache-2.0
"""Runs the scenarios: each in all engines, in turns whose order alternates, in one run. Each engine is timed as a user has it, a program
that is started and ends: cachectl, and of the peers those that run here. Who does not is said, with the reason."""
import os
import re
import statistics
import time

from buildkit import BuildKit, unmount_below
from engines import Buildah, Cairn, Failed, Unable
from floors import Floors
from scenarios import all_scenarios, size_of
from work import Image, make_base, make_context


# Who takes so long in a round has been seen well enough: it keeps the figure, and its other rounds are saved.
LONG_SECONDS = 60


def summary(values):
    return {"median": statistics.median(values), "least": min(values), "most": max(values), "runs": len(values), "values": values}


def timed(act, subject):
    """The milliseconds that it takes, or what it answers, if it answers a figure."""
    begun = time.monotonic()
    answer = act(subject)
    taken = 1000 * (time.monotonic() - begun)
    return taken if answer is None else answer


def text_of(value, unit):
    return f"{value['median']:.3g} {unit} ({value['least']:.3g} to {value['most']:.3g})" if value["runs"] > 1 else f"{value['median']:.3g} {unit} (once)"


class Turns:
    """One scenario in all engines. Whoever cannot is out of it, and why is in `skipped`."""

    def __init__(self, scenario, engines, floors):
        self.scenario, self.floors = scenario, floors
        self.engines, self.values, self.skipped, self.floor_values = list(engines), {}, {}, []

    def attempt(self, engine, act):
        """Only Cairn's failures end the run: they are ours."""
        try:
            return act(engine)
        except Unable as reason:
            self.skipped[engine.name] = str(reason)
        except Failed as reason:
            if engine.name == "cairn":
                raise
            self.skipped[engine.name] = f"failed: {reason}"
        self.engines.remove(engine)
        self.values.pop(engine.name, None)
        return None

    def turn(self, engine):
        if self.scenario.prepare:
            self.scenario.prepare(engine)
        if self.scenario.flush:
            os.sync()
        begun = time.monotonic()
        self.values.setdefault(engine.name, []).append(timed(self.scenario.act, engine))
        if time.monotonic() - begun > LONG_SECONDS and engine.name != "cairn":
            self.engines.remove(engine)

    def floor(self):
        try:
            self.floors.clear()
            if self.scenario.flush:
                os.sync()
            self.floor_values.append(timed(self.scenario.floor, self.floors))
        except (Unable, Failed) as reason:
            self.skipped["floor"] = str(reason)
        finally:
            self.floors.clear()

    def run(self):
        retries = {engine: engine.retries for engine in self.engines}
        for engine in list(self.engines):
            if self.scenario.once:
                self.attempt(engine, self.scenario.once)
        for number in range(self.scenario.rounds):
            for engine in list(self.engines if number % 2 == 0 else reversed(self.engines)):
                self.attempt(engine, self.turn)
            if self.scenario.floor and "floor" not in self.skipped:
                self.floor()
        row = {"key": self.scenario.key, "budget": self.scenario.budget, "name": self.scenario.title, "unit": self.scenario.unit, "note": self.scenario.note,
               "rounds": self.scenario.rounds, "engines": {name: summary(values) for name, values in self.values.items()}, "skipped": self.skipped}
        row["retries"] = {engine.name: engine.retries - before for engine, before in retries.items() if engine.retries > before}
        if self.floor_values:
            row["floor"] = {"what": self.scenario.floor_name, **summary(self.floor_values)}
        return row


def start_engines(bin_dir, base, scratch, with_peers, engines):
    """Adds those that can build upon the base to `engines`; returns of the others why not."""
    engines.append(Cairn(bin_dir, base, scratch))
    engines[0].reset()
    if not with_peers:
        return ["buildah, buildkit: not asked for (--no-peers)"]
    missing = []
    for kind in (Buildah, BuildKit):
        engine = None
        try:
            engine = kind(base, scratch)
            engines.append(engine)
            engine.reset()
        except (Failed, Unable) as reason:
            missing.append(f"{kind.name}: {reason}")
            if engine in engines:
                engines.remove(engine)
                engine.stop()
    return missing


def measure(bin_dir, tools, scratch, options, say):
    scratch, engines = os.path.realpath(scratch), []
    try:
        return measure_engines(bin_dir, tools, scratch, options, say, engines)
    finally:
        for engine in engines:
            engine.stop()
        unmount_below(scratch)


def measure_engines(bin_dir, tools, scratch, options, say, engines):
    size = size_of(options.tiny, options.files, options.rounds)
    context = os.path.join(scratch, "context")
    scenarios = [each for each in all_scenarios(size, context, Image(tools, scratch, context)) if re.search(options.filter, each.key + " " + each.title)]
    if not scenarios:
        say(f"no scenario matches {options.filter}")
        return {"engines": [], "missing": [], "files": size.files, "rows": []}
    base = make_base(tools, scratch)
    missing = start_engines(bin_dir, base, scratch, not options.no_peers, engines)
    for line in missing:
        say("missing peer: " + line)
    make_context(context, size.files)
    floors, rows = Floors(base, scratch), []
    for scenario in scenarios:
        # Who could not do a thing at all cannot do it twice.
        hopeless = next((row["skipped"] for row in rows if row["key"] == scenario.rests_on), {})
        row = Turns(scenario, [engine for engine in engines if engine.name not in hopeless], floors).run()
        row["skipped"].update((name, reason) for name, reason in hopeless.items() if name != "floor")
        rows.append(row)
        figures = [f"{name} {text_of(value, row['unit'])}" for name, value in row["engines"].items()]
        figures += [f"floor, {row['floor']['what']}: {text_of(row['floor'], row['unit'])}"] if "floor" in row else []
        figures += [f"{name}: not run, {reason}" for name, reason in row["skipped"].items()]
        figures += [f"{name}: failed {count} times, and was asked again" for name, count in row["retries"].items()]
        say(f"{row['name']}, {row['rounds']} rounds: " + "; ".join(figures))
    return {"engines": [engine.version() for engine in engines], "missing": missing, "files": size.files, "rows": rows}
