# SPDX-License-Identifier: Apache-2.0
"""The budgets as scenarios: the same work for each engine. What a budget needs and no program can show (a million records, cores that
are busy) is a benchmark of bench/micro or bench/scenarios; BUDGETS says which is which, and tests/bench sees that none is forgotten."""
import dataclasses
import os
import time
from typing import Callable, Optional

from engines import Failed, Unable
from graph import Chain, Independent

# The rows of the first table of bench/budgets.md, by how they begin, and what measures them: keys of scenarios, or benchmarks.
BUDGETS = {
    "warm solve, stacked chain of 100 exec steps": ["warm-chain-100", "solve_bench: warm_stacked"],
    "of 400": ["warm-chain-400", "solve_bench: warm_stacked"],
    "of 1,000": ["solve_bench: warm_stacked"],
    "warm solve, 1,000 steps on flat roots": ["solve_bench: warm_flat_dependent", "solve_bench: warm_flat_independent"],
    "warm solve, 10,000 steps on flat roots": ["solve_bench: warm_flat_dependent"],
    "one exec step": ["cold-chain-10", "solve_bench: cold_step"],
    "100 independent exec steps": ["cold-independent-100", "warm-independent-100", "solve_bench: cold_independent"],
    "1,000 independent exec steps": ["solve_bench: cold_independent"],
    "a Dockerfile of 200": ["dockerfile_bench: parse_and_convert"],
    "open a store": ["open", "solve_bench: open_store", "cache_bench: open_and_first_hit"],
}
# Those of the other tables that are scenarios too.
MORE_BUDGETS = {
    "local source": ["source-first", "source-unchanged", "source-one-changed", "source_bench: first_solve"],
    "selector": ["selector"],
    "du": ["du", "cache_bench: du_summary"],
    "prune": ["prune", "disk-after-prune", "gc_bench: BM_PruneRecordsWithTrees"],
    "memory": ["memory", "cache_bench: anonymous_memory"],
    "metadata": ["metadata", "cache_bench: metadata_on_disk"],
    "export": ["export", "layer_bench: write_beside_codec"],
    "unpack": ["import", "layer_bench: apply_beside_tar"],
}


@dataclasses.dataclass
class Scenario:
    key: str
    budget: str   # the heading it stands below
    title: str
    act: Callable  # of an engine: timed, or its answer is the figure
    once: Optional[Callable] = None     # of an engine, before the first round
    prepare: Optional[Callable] = None  # of an engine, before each round
    unit: str = "ms"
    rounds: int = 5
    floor_name: str = ""
    floor: Optional[Callable] = None
    note: str = ""
    rests_on: str = ""  # the scenario without which this one cannot be
    flush: bool = False  # writes much: what others wrote is on the disk before it begins


def serial():
    """Work that nobody has done yet."""
    return f"{time.time_ns()}"


def chain(count, name):
    return Chain([("run", f"echo {name} {i} > /f{i}") for i in range(count)])


def independent(count, name):
    return Independent([(f"echo {name} {i} > /f{i}", f"/f{i}") for i in range(count)])


def build(engine, work, executes, context=None, tag="bench"):
    """`executes`: how many steps must have run; a scenario that measures something else is worth nothing."""
    executed = engine.build(work, context, tag)
    if executed is not None and executed != executes:
        raise Failed(f"{engine.name} ran {executed} steps, not {executes}")


def change(path):
    with open(path, "w", encoding="utf-8") as file:
        file.write(serial() + "\n")


def limited(engine, steps):
    """docker.io keeps images in at most 125 layers, so longer chains fail there."""
    if engine.name == "buildkit" and steps > 120:
        raise Unable("docker.io's images have at most 125 layers")
    if engine.name == "buildah" and steps > 120:
        raise Unable("its cold steps take longer the more there are: minutes for the chain alone")


def chains(size):
    def warm(count, key, title):
        work = chain(count, "warm")

        def once(engine):
            limited(engine, count)
            engine.build(work)
        return Scenario(key, "Warm solve", title, once=once, act=lambda engine: build(engine, work, 0))

    cold, many = size.chain, size.independent
    few = 2 if size.tiny else 3
    return [
        Scenario("cold-chain-10", "Steps", f"{cold} new steps on one another, each writes a file", lambda engine: build(engine, chain(cold, serial()), cold),
                 rounds=size.rounds, floor_name=f"crun alone, {cold} times /bin/true", floor=lambda floors: floors.bare_steps(cold, 1)),
        warm(size.warm, "warm-chain-100", f"a chain of {size.warm} steps, nothing to do"),
        warm(size.long, "warm-chain-400", f"a chain of {size.long} steps, nothing to do"),
        Scenario("cold-independent-100", "Independent steps", f"{many} new independent steps, and a copy of a file of each",
                 lambda engine: build(engine, independent(many, serial()), 2 * many), rounds=few,
                 floor_name=f"crun alone, {many} times /bin/true, {os.cpu_count()} at a time", floor=lambda floors: floors.bare_steps(many, os.cpu_count())),
        Scenario("warm-independent-100", "Independent steps", f"the same {many} and {many} again, nothing to do", rests_on="cold-independent-100",
                 once=lambda engine: engine.build(independent(many, "warm")), act=lambda engine: build(engine, independent(many, "warm"), 0)),
    ]


def sources(size, context):
    everything = Chain([("copy", "/", "/src")])
    of_it = f"{size.files:,} files"

    def selected(engine):
        engine.build(Chain([("copy", "/d0", "/src")]), context)
    few = 2 if size.tiny else 3
    return [
        Scenario("source-first", "Local source", f"a source of {of_it}: first", prepare=lambda engine: engine.reset(), flush=True, rounds=few,
                 act=lambda engine: build(engine, everything, 1, context, "bench-source"),
                 floor_name="cp -a --reflink=auto", floor=lambda floors: floors.copy(context)),
        Scenario("source-unchanged", "Local source", f"a source of {of_it}: nothing changed", once=lambda engine: engine.build(everything, context, "bench-source"),
                 act=lambda engine: build(engine, everything, 0, context, "bench-source"),
                 floor_name="find: each entry looked at", floor=lambda floors: floors.walk(context)),
        Scenario("source-one-changed", "Local source", f"a source of {of_it}: one changed", prepare=lambda engine: change(os.path.join(context, "d1/f0")), flush=True,
                 act=lambda engine: build(engine, everything, 1, context, "bench-source"),
                 floor_name="find: each entry looked at", floor=lambda floors: floors.walk(context)),
        Scenario("selector", "Local source", f"a directory of {of_it} copied, a file elsewhere changed", once=selected,
                 prepare=lambda engine: change(os.path.join(context, "d1/f0")),
                 act=lambda engine: build(engine, Chain([("copy", "/d0", "/src")]), 0, context)),
    ]


def images(size, context, image):
    few = 2 if size.tiny else 3

    def make(engine):
        image.make()

    def unpack(engine):
        engine.take_image(image)

    def exported(engine):
        image.make()
        engine.build(Chain([("copy", "/", "/src")]), context, "bench-source")
    return [
        Scenario("export", "Image export", "that tree as an image compressed with gzip", lambda engine: engine.export("bench-source"), prepare=exported, rounds=few, flush=True,
                 floor_name=f"zlib -6 alone, {os.cpu_count()} threads", floor=lambda floors: floors.compress(image.layer_tar),
                 note="cairn: build -o type=oci, after a build in a new store; buildah: push oci-archive:; BuildKit: docker save | gzip -6, one thread"),
        Scenario("import", "Image unpacking", "an image of that tree, compressed with gzip: take it and unpack it", unpack, once=make, prepare=lambda engine: engine.forget_image(),
                 rounds=few, flush=True, floor_name="tar -xz", floor=lambda floors: floors.unpack(image.layer_gzip),
                 note="cairn: a new store and a solve that writes upon the image; buildah: pull oci:; BuildKit: docker load"),
    ]


def keeping(size):
    warm = chain(size.warm, "warm")
    return [
        Scenario("du", "Disk usage", "what the store takes, after all that", lambda engine: engine.usage(),
                 note="cachectl du; buildah images; docker system df"),
        Scenario("open", "Opening", "open the store and answer for the first time", prepare=lambda engine: engine.close(), act=lambda engine: engine.open_and_answer(),
                 rounds=size.rounds, note="cachectl du; buildah images; dockerd from its start until docker images answers"),
        Scenario("memory", "Memory", f"resident memory over a chain of {size.warm} steps with nothing to do", unit="MB", rounds=3,
                 act=lambda engine: engine.memory_mb(warm), note="the most of a program; of the daemon, with its containerd, what it holds after the run"),
        Scenario("metadata", "Metadata", "metadata on the disk, after all that", unit="MB", rounds=1, act=lambda engine: engine.metadata_mb(),
                 note="all that is below the root but trees, blobs and Cairn's reserve for a full disk; buildah: but overlay/; dockerd: but overlay2/"),
        Scenario("prune", "Prune", "remove everything that the run has made", rounds=1, act=lambda engine: engine.prune(), flush=True,
                 note="cachectl prune --all; buildah rmi --all --force; docker system prune --all --force"),
        Scenario("disk-after-prune", "Prune", "what is on the disk after that", unit="MB", rounds=1, act=lambda engine: engine.stored_mb(),
                 note="without Cairn's reserve for a full disk"),
    ]


@dataclasses.dataclass
class Size:
    tiny: bool
    chain: int
    warm: int
    long: int
    independent: int
    files: int
    rounds: int


def size_of(tiny, files, rounds):
    return Size(True, 3, 3, 6, 3, files or 200, rounds or 2) if tiny else Size(False, 10, 100, 400, 100, files or 20_000, rounds or 5)


def all_scenarios(size, context, image):
    """In an order: sources begin with a new store, what is kept is looked at when there is much, and pruned at last."""
    found = [*sources(size, context), *chains(size), *images(size, context, image), *keeping(size)]
    for each in found:
        each.rounds = min(each.rounds, size.rounds)
    return found
