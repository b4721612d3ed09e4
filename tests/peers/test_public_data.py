"""Real shops' data through the whole of ``streamer replay``, against a recomputation that knows nothing of it: plain loops over plain rows.

Every line is accepted, a duplicate, or refused for a reason that the data set's own page names; who is in which segment at the end is
what the definition says in words.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from streamer.cli import command_line

DATA = Path(__file__).parents[1] / "data"
OTTO = DATA / "otto_sample" / "train_20_sessions.jsonl"
RETAIL = DATA / "online_retail" / "first_3000.csv.gz"
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
LATER = {"0ms": 0, "1h": HOUR_MS, "1d": DAY_MS, "10d": 10 * DAY_MS}


class Told(NamedTuple):
    """What a replay left behind: the summary, members by customer, and changes in their order."""

    summary: dict[str, Any]
    members: dict[str, set[str]]
    changes: list[dict[str, Any]]


def replay(*arguments: str | Path) -> Told:
    """Run the command with all its outputs."""
    command = ["replay", *map(str, arguments), "--changes", "-", "--members", "--json"]
    result = CliRunner().invoke(command_line(), command, catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    members = {line["customer"]: set(line["segments"]) for line in lines if "customer" in line}
    return Told(json.loads(result.stderr), members, [line for line in lines if "specversion" in line])


def written(path: Path, rules: dict[str, str]) -> Path:
    """A file of definitions."""
    path.write_text(json.dumps({"segments": {name: {"for": "x", "when": when} for name, when in rules.items()}}), encoding="utf-8")
    return path


# OTTO: clicks, carts and orders of 20 shoppers over four weeks

OTTO_RULES = {
    "looked": 'count("Product Viewed", within="1d") >= 5',
    "looked_less": 'count("Product Viewed", within="7d") < 3',
    "between": 'count("Product Viewed", within="7d", before="1d") >= 2',
    "wide": 'distinct("Product Viewed", "product_id", within="7d") >= 10',
    "ordered": 'did("Order Completed")',
    "left": 'did("Product Added", within="7d") and never("Order Completed", within="7d")',
    "abandoned": 'sequence("Product Added", then_not="Order Completed", wait="1h", over="14d")',
    "bought_soon": 'sequence("Product Added", "Order Completed", within="1h")',
    "active_days": 'active("*", each="1d", of=7) >= 3',
    "away": 'idle("*") >= "5d"',
}


class Click(NamedTuple):
    """An event of OTTO's."""

    at: int
    what: str
    product: int


def shoppers() -> dict[str, list[Click]]:
    """Their histories, in the order of time."""
    found: dict[str, list[Click]] = {}
    for line in OTTO.read_text(encoding="utf-8").splitlines():
        session = json.loads(line)
        clicks = {Click(event["ts"], event["type"], event["aid"]) for event in session["events"]}
        found[str(session["session"])] = sorted(clicks)
    return found


def inside_otto(clicks: list[Click], now: int) -> set[str]:
    """The segments that a shopper is in at ``now``, in plain words of Python."""

    def of(what: str, since: int = 400 * DAY_MS, until: int = 0) -> list[Click]:
        return [click for click in clicks if click.what == what and now - since < click.at <= now - until]

    carts, orders = of("carts"), of("orders")
    abandoned = any(
        now - 14 * DAY_MS < cart.at + HOUR_MS <= now and not any(cart.at < order.at <= cart.at + HOUR_MS for order in orders)
        for cart in carts
    )
    days = {(now - click.at) // DAY_MS for click in clicks if now - 7 * DAY_MS < click.at <= now}
    truths = {
        "looked": len(of("clicks", DAY_MS)) >= 5,
        "looked_less": len(of("clicks", 7 * DAY_MS)) < 3,
        "between": len(of("clicks", 7 * DAY_MS, DAY_MS)) >= 2,
        "wide": len({click.product for click in of("clicks", 7 * DAY_MS)}) >= 10,
        "ordered": bool(orders),
        "left": bool(of("carts", 7 * DAY_MS)) and not of("orders", 7 * DAY_MS),
        "abandoned": abandoned,
        "bought_soon": any(0 < order.at - cart.at <= HOUR_MS for cart in carts for order in orders),
        "active_days": len(days) >= 3,
        "away": now - max(click.at for click in clicks) >= 5 * DAY_MS,
    }
    return {name for name, holds in truths.items() if holds}


@pytest.mark.parametrize("later", LATER)
def test_the_shoppers_of_otto_are_where_their_clicks_put_them(later: str, tmp_path: Path) -> None:
    """A day after the last click other answers hold, and no event tells so."""
    told = replay(OTTO, "--mapping", "otto", "--segments", written(tmp_path / "rules.yaml", OTTO_RULES), "--until", later)
    histories = shoppers()
    now = max(click.at for clicks in histories.values() for click in clicks) + LATER[later]
    wanted = {shopper: inside_otto(clicks, now) for shopper, clicks in histories.items()}
    assert told.members == wanted
    assert told.summary["received"] == 862
    assert told.summary["outcomes"] == {"accepted": 862}
    if later == "0ms":
        assert set[str]().union(*wanted.values()) == set(OTTO_RULES)  # each of them says something about somebody


def test_the_changes_of_otto_are_those_of_a_clock_that_is_asked_each_minute(tmp_path: Path) -> None:
    """Not only the end is right: a pass over all shoppers at full minutes finds who the changes say is inside."""
    told = replay(OTTO, "--mapping", "otto", "--segments", written(tmp_path / "rules.yaml", OTTO_RULES))
    changes: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for change in told.changes:
        at = int(datetime.fromisoformat(change["time"]).timestamp() * 1_000)
        changes[change["subject"]].append((at, change["data"]["segment"]))
    asked = 0
    for shopper, clicks in shoppers().items():
        for moment in range(clicks[0].at - clicks[0].at % 60_000 + 60_000, clicks[-1].at, 97 * 60_000):
            inside = {name for name, turns in Counter(name for at, name in changes[shopper] if at <= moment).items() if turns % 2}
            assert inside == inside_otto([click for click in clicks if click.at <= moment], moment), (shopper, moment)
            asked += 1
    assert asked > 1_000


# Online Retail: the first 3,000 lines of invoices

RETAIL_RULES = {
    "buyer": 'did("Order Completed")',
    "repeat": 'count("Order Completed") >= 2',
    "rich": 'sum(["Order Completed", "Order Refunded"], "total", within="1d") >= 500',
    "small": 'avg("Order Completed", "total") < 150',
    "dear": 'max("Order Completed", "total", within="6h") >= 300',
    "refunded": 'did("Order Refunded", within="12h")',
    "quiet": 'idle("*") >= "6h"',
    "abroad": 'trait("country") != "United Kingdom"',
    "french": 'trait("country") == "France" and segment("buyer")',
}


class Invoice(NamedTuple):
    """Lines of one number that follow each other."""

    customer: str
    at: int
    cents: int
    is_refund: bool
    country: str


def invoices() -> Iterator[Invoice]:
    """All of them, in the order of the file. In December London's clocks show UTC."""
    with gzip.open(RETAIL, "rt", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["CustomerID"]]
    for number, lines in groupby(rows, key=lambda row: row["InvoiceNo"]):
        parts = list(lines)
        total = sum((Decimal(row["UnitPrice"]) * Decimal(row["Quantity"]) for row in parts), Decimal(0)) * 100
        at = int(datetime.fromisoformat(parts[0]["InvoiceDate"]).replace(tzinfo=UTC).timestamp() * 1_000)
        cents = int(total.quantize(Decimal(1), ROUND_HALF_EVEN))
        yield Invoice(parts[0]["CustomerID"], at, cents, number.startswith("C"), parts[0]["Country"])


def inside_retail(mine: list[Invoice], now: int) -> set[str]:
    """The segments that a customer is in at ``now``, in plain words of Python."""
    orders, refunds = [one for one in mine if not one.is_refund], [one for one in mine if one.is_refund]
    truths = {
        "buyer": bool(orders),
        "repeat": len(orders) >= 2,
        "rich": sum(one.cents for one in mine if now - DAY_MS < one.at) >= 500_00,
        "small": bool(orders) and Decimal(sum(one.cents for one in orders)) / len(orders) < 150_00,
        "dear": any(one.cents >= 300_00 for one in orders if now - 6 * HOUR_MS < one.at),
        "refunded": any(now - 12 * HOUR_MS < one.at for one in refunds),
        "quiet": now - max(one.at for one in mine) >= 6 * HOUR_MS,
        "abroad": mine[-1].country != "United Kingdom",
        "french": mine[-1].country == "France" and bool(orders),
    }
    return {name for name, holds in truths.items() if holds}


@pytest.mark.parametrize("later", LATER)
def test_the_customers_of_online_retail_are_where_their_invoices_put_them(later: str, tmp_path: Path) -> None:
    """Sums of money and cancellations, with lines that belong to nobody passed over and counted."""
    told = replay(RETAIL, "--mapping", "online_retail", "--segments", written(tmp_path / "rules.yaml", RETAIL_RULES), "--until", later)
    by_customer: defaultdict[str, list[Invoice]] = defaultdict(list)
    for invoice in invoices():
        by_customer[invoice.customer].append(invoice)
    now = max(one.at for mine in by_customer.values() for one in mine) + LATER[later]
    wanted = {customer: inside_retail(mine, now) for customer, mine in by_customer.items()}
    assert told.members == wanted
    if later == "0ms":
        assert set[str]().union(*wanted.values()) == set(RETAIL_RULES)
    with gzip.open(RETAIL, "rt", encoding="utf-8", newline="") as file:
        nobodys = sum(not row["CustomerID"] for row in csv.DictReader(file))
    accepted = sum(map(len, by_customer.values()))
    assert told.summary["outcomes"] == {"accepted": accepted, "skipped": nobodys}
    assert told.summary["received"] == accepted + nobodys


# the library that ships with us


@pytest.mark.parametrize(("file", "mapping"), [(OTTO, "otto"), (RETAIL, "online_retail")], ids=["otto", "online_retail"])
def test_the_library_goes_through_real_data_without_surprise(file: Path, mapping: str) -> None:
    """Entries and exits alternate, numbers count on, and what they come to is what the end says."""
    told = replay(file, "--mapping", mapping, "--until", "3d")
    assert sum(told.summary["outcomes"].values()) == told.summary["received"]
    assert set(told.summary["outcomes"]) <= {"accepted", "skipped"}
    inside: defaultdict[str, set[str]] = defaultdict(set)
    numbers: Counter[tuple[str, str]] = Counter()
    by_position: Callable[[dict[str, Any]], tuple[int, int]] = lambda change: (  # noqa: E731
        change["data"]["position"]["offset"],
        change["data"]["position"]["ordinal"],
    )
    assert told.changes == sorted(told.changes, key=by_position)
    for change in told.changes:
        customer, segment = change["subject"], change["data"]["segment"]
        numbers[customer, segment] += 1
        assert change["data"]["sequence"] == numbers[customer, segment]
        assert (change["type"] == "segment.entered") == (segment not in inside[customer])
        inside[customer] ^= {segment}
    assert told.members == {customer: inside[customer] for customer in told.members}
    assert told.summary["members"] == Counter(segment for segments in inside.values() for segment in segments)
    assert told.summary["changes"] == len(told.changes) > 100
