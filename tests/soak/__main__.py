"""Long runs, seeded and bounded, that are too slow for every day: run them before something is called done.

python -m tests.soak                        all of them, each with its default bounds
python -m tests.soak fuzz --seed 7 --logs 1 one of them again, as a failure says
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from time import monotonic

from tests.simulation.verdict import play
from tests.soak.bodies import send_all
from tests.soak.born_old import HERE, Compared, compare, found_in
from tests.soak.collect import kill_rounds
from tests.soak.differ import AGREED, differ
from tests.soak.fuzz import fuzz
from tests.soak.hostile import STARTS_MS
from tests.soak.mails import send_round
from tests.soak.strangers import besiege

Run = Callable[[argparse.Namespace], str]
BODIES = 100_000
MAILS = 10_000


def _fuzz(options: argparse.Namespace) -> str:
    """Hostile logs through the real step: any JSON, zone and clock."""
    end = monotonic() + options.seconds
    seeds = iter(range(options.seed, options.seed + options.logs))
    told = 0
    while monotonic() < end and (seed := next(seeds, None)) is not None:
        told += sum(fuzz([seed], events=options.events).values())
    return f"{told:,} records and outputs, none an error"


def _differ(options: argparse.Namespace) -> str:
    """Hostile logs through the step and the oracle: do both say the same?"""
    end, said, logs = monotonic() + options.seconds, 0, 0
    seeds = (seed for seed in range(options.seed, options.seed + options.logs) if seed % len(STARTS_MS) in AGREED)
    while monotonic() < end and (seed := next(seeds, None)) is not None:
        said, logs = said + differ(seed, events=min(options.events, 30)), logs + 1  # the oracle looks at everything, at each moment
    return f"{said:,} changes of {logs} logs, none different"


def _world(options: argparse.Namespace) -> str:
    """The seeded world: crashes, failovers, lost keys and poisoned records between any two awaits, and people with several ids."""
    end, seed = monotonic() + options.seconds, options.seed
    happened: Counter[str] = Counter()
    while monotonic() < end and seed < options.seed + options.logs:
        try:
            happened += play(seed)
        except BaseException:
            print(f"world: seed {seed} failed", flush=True)
            raise
        seed += 1
    return f"{seed - options.seed:,} histories with {happened.total():,} faults and odd records, each the one story"


def _bodies(options: argparse.Namespace) -> str:
    """Broken bodies for the collector, a thousand a seed: no answer is 500, and each element is an event or a dead letter."""
    end, found = monotonic() + options.seconds, Counter[str]()
    seeds = iter(range(options.seed, options.seed + options.logs))
    while monotonic() < end and found["bodies"] < BODIES and (seed := next(seeds, None)) is not None:
        found += asyncio.run(send_all(seed, 1_000)) + Counter(bodies=1_000)
    return f"{found['bodies']:,} bodies, {found['events']:,} events and {found['letters']:,} dead letters of them, none lost"


def _collect(options: argparse.Namespace) -> str:
    """A collector and a broker killed again and again under load: does all that was answered 200 lie in the log?"""
    kills = kill_rounds(options.seed, logs=options.logs, seconds=options.seconds)
    return f"{kills.victims.total()} kills, {kills.acknowledged:,} events acknowledged and {kills.cut:,} requests cut, none lost"


def _mails(options: argparse.Namespace) -> str:
    """Mails to a real SMTP server that refuses, hangs and cuts, 500 a seed, by senders that are killed: does any offer arrive twice?"""
    end, found, sent = monotonic() + options.seconds, Counter[str](), 0
    seeds = iter(range(options.seed, options.seed + options.logs))
    while monotonic() < end and sent < MAILS and (seed := next(seeds, None)) is not None:
        found += asyncio.run(send_round(seed, 500, kill_every=300, cut_seconds=1.0))
        sent += 500
    return f"{sent:,} mails, {found['kills']} senders killed: {', '.join(f'{number:,} {what}' for what, number in sorted(found.items()))}"


def _strangers(options: argparse.Namespace) -> str:
    """12,000 connections that say little or nothing, and bombs of gzip: is memory bounded, and who asks properly answered?"""
    found = besiege(seconds=min(options.seconds, 60))
    return f"{found.bombs.total():,} bombs refused, {found.good.total():,} good requests answered, {found.growth_mb:.0f} MB more memory"


def _born_old(options: argparse.Namespace) -> str:
    """Real shops' logs, and segments that are published behind them: is everything known that would be, had they been there before?"""
    end, told = monotonic() + options.seconds, list[Compared]()
    for file, mapping in found_in(options.data):
        if monotonic() > end:
            break
        try:
            told.append(compare(file, mapping))
        except BaseException:
            print(f"born-old: {file} failed", flush=True)
            raise
    assert told, f"no data set lies in {options.data}"
    events, customers, members = (sum(numbers) for numbers in zip(*told, strict=True))
    return f"{len(told)} logs of {events:,} events and {customers:,} customers, {members:,} memberships of new segments, none different"


RUNS: dict[str, Run] = {
    "fuzz": _fuzz,
    "differ": _differ,
    "world": _world,
    "bodies": _bodies,
    "collect": _collect,
    "strangers": _strangers,
    "mails": _mails,
    "born-old": _born_old,
}


def main() -> None:
    """Run what was asked for; the first failure ends it with its seed."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", help=f"which, of {', '.join(RUNS)}; all if left out")
    parser.add_argument("--seed", type=int, default=1_000, help="the first seed (CI uses those below 100)")
    parser.add_argument("--logs", type=int, default=10_000, help="at most so many logs of each run")
    parser.add_argument("--events", type=int, default=120, help="records of a log")
    parser.add_argument("--seconds", type=float, default=600, help="at most so long for each run")
    parser.add_argument("--data", type=Path, default=HERE, help="born-old: a folder of public data sets, see its module")
    options = parser.parse_args()
    for name in options.runs or RUNS:
        if name not in RUNS:
            parser.error(f"expected one of {', '.join(RUNS)}, found {name!r}")
        print(f"{name}: {RUNS[name].__doc__}", flush=True)
        started = monotonic()
        print(f"{name}: {RUNS[name](options)}, in {monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
