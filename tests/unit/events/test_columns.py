"""Rows of files to events, by the mappings that ship and by small ones made up here."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from streamer.errors import DefinitionError
from streamer.events.adapters import cells
from streamer.events.adapters.columns import GROUP_MAX, Mapping, load_mapping
from streamer.events.adapters.mapping import SHIPPED, MappingFile
from streamer.events.adapters.outcome import Outcome, Refusal
from streamer.events.admission import REASONS
from streamer.events.codec import decode, encode
from streamer.events.event import Event
from streamer.transports.files import event_files as files

DATA = Path(__file__).parents[2] / "data"
SMALL: dict[str, Any] = {
    "format": "csv",
    "customer": "who",
    "timestamp": {"column": "when", "format": "ms"},
    "event": {"column": "what"},
    "message_id": "id",
}
SMALL_MAPPING = Mapping(msgspec.convert({**SMALL, "properties": {"x": "x"}}, MappingFile))
ROW: dict[str, Any] = {"who": "c-17", "when": "1000", "what": "Cart Viewed", "id": "m-1"}


@pytest.fixture
def written(tmp_path: Path) -> Any:
    """Writes a mapping like ``SMALL`` with these changes and loads it."""

    def write(**changes: Any) -> Mapping:
        path = tmp_path / "mapping.yaml"
        path.write_text(yaml.safe_dump({key: value for key, value in {**SMALL, **changes}.items() if value is not None}))
        return load_mapping(path)

    return write


def one(mapping: Mapping, **changes: Any) -> Outcome:
    """What becomes of a row like ``ROW`` with these changes."""
    [found] = mapping.events([{**ROW, **changes}])
    return found


def event(mapping: Mapping, **changes: Any) -> Event:
    """The same, where it must be an event."""
    found = one(mapping, **changes)
    assert isinstance(found, Event), found
    return found


def refusal(mapping: Mapping, **changes: Any) -> tuple[str, str]:
    """Reason and place, where it must be refused."""
    found = one(mapping, **changes)
    assert isinstance(found, Refusal), found
    return found.reason, found.path


def replay(mapping: Mapping, path: Path) -> list[Outcome]:
    """Everything in a file."""
    return [found for _, found in mapping.numbered(files.read(path, file_format=mapping.format, columns=mapping.columns))]


# the mappings that ship


@pytest.mark.parametrize("name", ["rees46", "otto", "online_retail"])
def test_a_shipped_mapping_is_known_by_its_name(name: str) -> None:
    """A first replay should need no path into our package."""
    assert load_mapping(name).format in {"csv", "ndjson"}


def test_every_shipped_mapping_is_tried_here() -> None:
    """One that nobody loads may have been broken for a year."""
    assert sorted(file.stem for file in SHIPPED.iterdir()) == ["online_retail", "otto", "rees46"]


def test_a_rees46_row_becomes_an_event_of_the_shop() -> None:
    """Made up, since their rows may not be copied: the columns are theirs."""
    row: dict[str, object] = {
        "event_time": "2019-10-01 00:00:01 UTC",
        "event_type": "cart",
        "product_id": "1003461",
        "category_id": "2053013555631882655",
        "category_code": "",
        "brand": "acme",
        "price": "489.07",
        "user_id": "520088904",
        "user_session": "s-1",
    }
    [found] = load_mapping("rees46").events([row])
    assert isinstance(found, Event)
    assert (found.name, found.customer, found.timestamp_ms) == ("Product Added", "520088904", 1_569_888_001_000)
    assert found.properties == {
        "product_id": "1003461",
        "category_id": "2053013555631882655",
        "brand": "acme",
        "price": 489.07,
        "session": "s-1",
    }


def test_both_rees46_files_are_read_by_one_mapping() -> None:
    """One writes the zone as letters, the other as an offset, and has no session."""
    letters: dict[str, object] = {"event_time": "2021-01-14 22:09:05 UTC", "event_type": "view", "product_id": "1", "user_id": "9"}
    offset: dict[str, object] = {**letters, "event_time": "2021-01-14 23:09:05+01:00"}
    moments = [found.timestamp_ms for found in load_mapping("rees46").events([letters, offset]) if isinstance(found, Event)]
    assert moments == [1_610_662_145_000] * 2


def test_equal_rows_of_rees46_are_one_event() -> None:
    """Their tracker delivers twice and gives no ids: that a row is equal is the only evidence."""
    row: dict[str, object] = {"event_time": "2021-01-14 22:09:05 UTC", "event_type": "view", "product_id": "1", "user_id": "9"}
    other: dict[str, object] = {**row, "product_id": "2"}
    ids = [found.message_id for found in load_mapping("rees46").events([row, other, row]) if isinstance(found, Event)]
    assert ids[0] == ids[2] != ids[1]


def test_the_whole_otto_sample_is_accepted() -> None:
    """A line holds a shopper's whole history; the counts are those of the data set's own page."""
    found = replay(load_mapping("otto"), DATA / "otto_sample" / "train_20_sessions.jsonl")
    events = [item for item in found if isinstance(item, Event)]
    assert len(events) == len(found) == 862
    assert Counter(item.name for item in events) == {"Product Viewed": 800, "Product Added": 52, "Order Completed": 10}
    assert len({item.customer for item in events}) == 20
    assert len({item.message_id for item in events}) == 862
    assert events[0].customer == "0"
    assert events[0].properties == {"product_id": "1517085"}


def test_an_invoice_of_online_retail_is_one_order() -> None:
    """The shop wrote a row per article; a customer who bought five articles has ordered once."""
    found = replay(load_mapping("online_retail"), DATA / "online_retail" / "first_3000.csv.gz")
    first = found[0]
    assert isinstance(first, Event)
    properties = first.properties or {}
    assert (first.name, first.customer, first.timestamp_ms) == ("Order Completed", "17850", 1_291_191_960_000)
    assert (properties["order_id"], len(properties["products"]), properties["total"]) == ("536365", 7, 139.12)
    assert first.traits == {"country": "United Kingdom"}


def test_the_counts_of_the_online_retail_cut_are_those_of_its_rows() -> None:
    """Rows without a customer are passed over and counted; the rest is lost to nobody."""
    path = DATA / "online_retail" / "first_3000.csv.gz"
    found = replay(load_mapping("online_retail"), path)
    counts = Counter(item.name if isinstance(item, Event) else item.reason for item in found)
    rows = [row for _, row in files.read(path) if isinstance(row, dict)]
    assert counts["skipped"] == sum(not row["CustomerID"] for row in rows)
    bought = {row["InvoiceNo"] for row in rows if row["CustomerID"]}
    assert counts["Order Completed"] == sum(not str(number).startswith("C") for number in bought)
    assert counts["Order Refunded"] == sum(str(number).startswith("C") for number in bought)
    assert sum(counts.values()) == len(found)


def test_a_cancelled_invoice_takes_its_money_back() -> None:
    """Negative as in the file, so the sum over both names is what the customer spent."""
    row = {"InvoiceNo": "C536379", "StockCode": "D", "Quantity": "-1", "InvoiceDate": "2010-12-01T09:41:00"}
    [found] = load_mapping("online_retail").events([{**row, "UnitPrice": "27.5", "CustomerID": "14527"}])
    assert isinstance(found, Event)
    assert (found.name, (found.properties or {})["total_cents"]) == ("Order Refunded", -2750)


# cells


@pytest.mark.parametrize(
    ("changes", "cell", "expected_ms"),
    [
        ({"format": "ms"}, "1000", 1_000),
        ({"format": "ms"}, 1_000, 1_000),
        ({"format": "s"}, "1.5", 1_500),
        ({"format": "s"}, 1.001, 1_001),
        ({"format": "iso"}, "1970-01-01T00:00:01+00:00", 1_000),
        ({"format": "iso", "zone": "Europe/London"}, "2011-07-01T12:00:00", 1_309_518_000_000),
        ({"format": "iso", "zone": "Europe/London"}, "2011-01-01", 1_293_840_000_000),
        ({"format": "%d.%m.%Y %H:%M", "zone": "Europe/Vienna"}, "01.07.2011 14:00", 1_309_521_600_000),
        ({"format": ["%d.%m.%Y", "iso"]}, "1970-01-02", 86_400_000),
        ({"format": ["s", "ms"]}, "1772359201000", 1_772_359_201_000),
        ({"format": ["s", "ms"]}, 1772359201000, 1_772_359_201_000),
        ({"format": ["ms", "s"]}, "1772359200", 1_772_359_200_000),
        ({"format": ["ms", "iso", "s"]}, 1772359200.25, 1_772_359_200_250),
        ({"format": ["iso", "ms"]}, "2000", 2_000),
        ({"format": "s"}, "1000000", 1_000_000_000),
        ({"format": "iso", "zone": "Europe/Berlin"}, date(2026, 3, 1), 1_772_319_600_000),
        ({"format": "iso"}, b"2026-03-01", 1_772_323_200_000),
        ({"format": "iso", "zone": "Europe/London"}, datetime(2011, 7, 1, 12), 1_309_518_000_000),  # noqa: DTZ001 - as Parquet gives it
        ({"format": "iso"}, datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), 1_000),
    ],
)
def test_a_moment_is_read_in_its_format_and_zone(written: Any, changes: Any, cell: Any, expected_ms: int) -> None:
    """A shop's file says half past two and means its own half past two, in summer and in winter."""
    assert event(written(timestamp={"column": "when", **changes}), when=cell).timestamp_ms == expected_ms


@pytest.mark.parametrize(
    ("formats", "cell", "expected"),
    [
        (["ms"], "1772359200", "epoch_seconds"),
        (["iso", "ms"], 1772359200, "epoch_seconds"),
        (["s", "ms"], "1772359202000000", "bad_timestamp"),
        (["s"], "1772359201000", "bad_timestamp"),
        (["iso"], "1772359200", "bad_timestamp"),
    ],
)
def test_a_number_that_fits_none_of_the_formats_is_refused_by_its_column(
    written: Any, formats: list[str], cell: Any, expected: str
) -> None:
    """The place must be the column of the file, which the reader can open, and not a field of ours."""
    assert refusal(written(timestamp={"column": "when", "format": formats}), when=cell) == (expected, "$.when")


@pytest.mark.parametrize("cell", ["", None, "yesterday", "-1", "1e30", float("inf"), True, [], "2011-02-30"])
def test_a_moment_that_is_none_is_refused(written: Any, cell: object) -> None:
    """Whatever stands there, the row is refused and the file goes on."""
    assert refusal(written(), when=cell)[0] in {"bad_timestamp", "not_finite"}


@pytest.mark.parametrize(
    ("kind", "cell", "expected"),
    [
        ("number", "33.20", 33.2),
        ("number", " 7 ", 7),
        ("number", "-1.5e3", -1500.0),
        ("number", Decimal("7.00"), 7),
        ("number", Decimal("7.25"), 7.25),
        ("text", 17850.0, "17850"),
        ("text", 2144415922427789416, "2144415922427789416"),
        ("text", date(2011, 7, 1), "2011-07-01"),
        ("as_is", "33.20", "33.20"),
        ("as_is", 33.2, 33.2),
        ("as_is", False, False),
        ("as_is", 0, 0),
        ("as_is", ["a"], ["a"]),
        ("as_is", Decimal("1.5"), 1.5),
        ("as_is", b"caf\xc3\xa9", "café"),
        ("as_is", [date(2026, 3, 1), b"x", {"y": Decimal("2.50")}], ["2026-03-01", "x", {"y": 2.5}]),
        ("as_is", 2**64, str(2**64)),
        ("text", b"x", "x"),
        ("number", b" 7.5 ", 7.5),
        ("as_is", datetime(2011, 7, 1, tzinfo=UTC), "2011-07-01T00:00:00+00:00"),
    ],
)
def test_a_cell_is_read_as_its_type(written: Any, kind: str, cell: object, expected: object) -> None:
    """A file of text knows no numbers, and a file of numbers no ids; rules know both."""
    found = event(written(properties={"x": {"column": "cell", "type": kind}}), cell=cell)
    assert found.properties == {"x": expected}
    assert type((found.properties or {})["x"]) is type(expected)


@pytest.mark.parametrize("kind", ["number", "text", "as_is"])
@pytest.mark.parametrize("cell", ["", None, float("nan"), Decimal("NaN")])
def test_an_empty_cell_is_no_property(written: Any, kind: str, cell: object) -> None:
    """Missing is missing: an empty brand must not become a brand of its own."""
    assert event(written(properties={"x": {"column": "cell", "type": kind}}), cell=cell).properties is None


@pytest.mark.parametrize(
    ("kind", "cell", "expected"),
    [
        ("number", "1,000.50", ("wrong_type", "$.cell")),
        ("number", "nan", ("wrong_type", "$.cell")),
        ("number", "١", ("wrong_type", "$.cell")),
        ("number", True, ("wrong_type", "$.cell")),
        ("number", "1e999", ("not_finite", "$.cell")),
        ("number", "9" * 30, ("not_finite", "$.cell")),
        ("number", float("inf"), ("not_finite", "$.cell")),
        ("text", True, ("wrong_type", "$.cell")),
        ("text", 2.0**60, ("wrong_type", "$.cell")),
        ("text", b"\xff", ("bad_utf8", "$.cell")),
        ("as_is", "\udcff", ("bad_utf8", "$.cell")),
        ("as_is", b"\xff", ("bad_utf8", "$.cell")),
        ("as_is", {1, 2}, ("wrong_type", "$.properties.x")),
    ],
)
def test_a_cell_that_is_not_of_its_type_refuses_the_row(written: Any, kind: str, cell: object, expected: tuple[str, str]) -> None:
    """To leave the property out would make it a different event, and nobody would know."""
    assert refusal(written(properties={"x": {"column": "cell", "type": kind}}), cell=cell) == expected


@pytest.mark.parametrize("cell", ["\udcff", b"\xff", {1}, 10**30, float("inf")])
@pytest.mark.parametrize("message_id", ["id", "content", "row", ["id"]])
def test_a_column_that_the_mapping_does_not_read_costs_nothing(written: Any, message_id: Any, cell: object) -> None:
    """A note in Latin-1 beside it does not unmake an order; not even where the id is made of the whole row."""
    assert event(written(message_id=message_id), note=cell).customer == "c-17"


@pytest.mark.parametrize("cell", [157963456373623802.0, "157963456373623802.0", "1.57963456373623802e17", Decimal("1.5"), "-1e16"])
def test_a_number_that_may_have_lost_digits_is_no_customer(written: Any, cell: object) -> None:
    """A tool that kept ids as doubles has made one customer of sixteen."""
    if cell == Decimal("1.5"):  # exact, if strange
        assert event(written(), who=cell).customer == "1.5"
    else:
        assert refusal(written(), who=cell) == ("wrong_type", "$.who")


@pytest.mark.parametrize(("cell", "expected"), [(17850.0, "17850"), (2**70, str(2**70)), ("007", "007"), ("1" * 30, "1" * 30)])
def test_a_number_that_is_whole_is_a_customer(written: Any, cell: object, expected: str) -> None:
    """As it was written."""
    assert event(written(), who=cell).customer == expected


# names, ids, empty rows


def test_a_name_is_looked_up_then_guessed_by_its_beginning_then_given() -> None:
    """Online Retail marks a cancelled invoice only by the letter that its number begins with."""
    mapping = load_mapping("online_retail")
    row = {"CustomerID": "1", "InvoiceDate": "2010-12-01", "UnitPrice": "1", "Quantity": "1"}
    names = [found.name for found in mapping.events([{**row, "InvoiceNo": number} for number in ("C1", "1")]) if isinstance(found, Event)]
    assert names == ["Order Refunded", "Order Completed"]


def test_a_name_the_mapping_does_not_know_is_refused(written: Any) -> None:
    """A new kind of event in the file should be noticed, not thrown in with the others."""
    assert refusal(written(event={"column": "what", "names": {"view": "Product Viewed"}})) == ("missing_event_name", "$.what")


@pytest.mark.parametrize(
    ("message_id", "same_row_is_duplicate", "other_price_is_duplicate"),
    [("content", True, False), ("row", False, False), (["id"], True, True), ("id", True, True)],
)
def test_a_message_id_tells_duplicates_from_repetitions(
    written: Any, message_id: Any, same_row_is_duplicate: bool, other_price_is_duplicate: bool
) -> None:
    """Whether two equal rows are one event is known to whoever knows the file, so the mapping says it."""
    rows = [{**ROW, "price": "1"}, {**ROW, "price": "1"}, {**ROW, "price": "2"}]
    first, again, other = (found.message_id for found in written(message_id=message_id).events(rows))
    assert (first == again, first == other) == (same_row_is_duplicate, other_price_is_duplicate)


def test_ids_made_of_content_never_change() -> None:
    """They are remembered in stores: another id for the same row would count it twice after an upgrade."""
    row: dict[str, object] = {"event_time": "2021-01-14 22:09:05 UTC", "event_type": "view", "product_id": "1", "user_id": "9"}
    [found] = load_mapping("rees46").events([row])
    assert isinstance(found, Event)
    assert found.message_id == "content-0eea74c50aa04cd5edd7fa2aee3385b1"


def test_a_row_that_is_to_be_skipped_is_counted_but_no_fault(written: Any) -> None:
    """A quarter of Online Retail has no customer; as faults they would stop a shard."""
    assert refusal(written(skip_if_empty=["who"]), who="") == ("skipped", "$.who")
    assert refusal(written(), who="") == ("missing_id", "$.userId")


def test_a_refusal_carries_the_line_and_the_row(written: Any) -> None:
    """Somebody will open the file at that line."""
    found = list(written().numbered([(17, {**ROW, "when": "never"})]))
    assert found == [(17, Refusal("bad_timestamp", "$.when", "expected ms", {**ROW, "when": "never"}))]


def test_a_line_that_is_no_row_is_refused(written: Any) -> None:
    """The last line of a file that was cut off has fewer cells than the others."""
    assert [found.reason for _, found in written().numbered([(1, b"c-17,10")])] == ["not_a_row"]


# rows in rows, rows of rows


def test_a_row_that_holds_a_list_is_taken_apart(written: Any) -> None:
    """What stands beside the list holds for each of its items."""
    mapping = written(format="ndjson", explode="events", properties={"a": "a"})
    row = b'{"who":"c-17","events":[{"when":1,"what":"A","id":"1","a":5},{"when":2,"what":"B","id":"2"}]}'
    events = [found for _, found in mapping.numbered([(1, row)]) if isinstance(found, Event)]
    assert [(found.customer, found.name, found.timestamp_ms, found.properties) for found in events] == [
        ("c-17", "A", 1, {"a": 5}),
        ("c-17", "B", 2, None),
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"events":{}}', ("wrong_type", "$.events")),
        (b'{"events":[1]}', ("wrong_type", "$.events[0]")),
        (b"{}", ("wrong_type", "$.events")),
        (b'{"events":[NaN]}', ("wrong_type", "$.events[0]")),
        (b"[]", ("not_an_object", "$")),
        (b"{", ("not_json", "$")),
        (b'{"a":"' + b"x" * (1 << 20) + b'"}', ("too_large", "$")),
    ],
)
def test_a_line_that_cannot_be_taken_apart_is_refused_whole(written: Any, line: bytes, expected: tuple[str, str]) -> None:
    """Half of a history would be a different history."""
    [(_, found)] = written(format="ndjson", explode="events").numbered([(1, line)])
    assert (found.reason, found.path) == expected


def test_a_row_whose_list_is_empty_is_counted(written: Any) -> None:
    """A session in which nothing happened is no event, and must not be lost without a word either."""
    [(line, found)] = written(format="ndjson", explode="events").numbered([(1, b'{"events":[]}')])
    assert (found.reason, found.path, line) == ("skipped", "$.events", 1)


def order(number: str, sku: str, price: str, quantity: str) -> dict[str, Any]:
    """A row of an order."""
    return {**ROW, "order": number, "id": number, "sku": sku, "price": price, "quantity": quantity}


GROUPED: dict[str, Any] = {
    "group_by": ["order"],
    "collect": {"property": "products", "item": {"product_id": "sku"}, "max": 2},
    "total": {"property": "total", "price": "price", "quantity": "quantity"},
}


def test_rows_that_agree_and_follow_each_other_are_one_event(written: Any) -> None:
    """Only neighbours: to wait for rows further on would need the whole file in memory."""
    rows = [order("1", "a", "0.10", "3"), order("1", "b", "0.20", "1"), order("2", "c", "5", "1"), order("1", "d", "1", "1")]
    found = [item.properties for item in written(**GROUPED).events(rows)]
    assert found == [
        {"products": [{"product_id": "a"}, {"product_id": "b"}], "total": 0.5, "total_cents": 50},
        {"products": [{"product_id": "c"}], "total": 5.0, "total_cents": 500},
        {"products": [{"product_id": "d"}], "total": 1.0, "total_cents": 100},
    ]


def test_a_total_is_exact_and_rounded_once(written: Any) -> None:
    """Some articles cost a tenth of a cent; rounded row by row, a thousand of them would cost nothing."""
    rows = [order("1", "screw", "0.001", "1") for _ in range(1_005)]
    [found] = written(**GROUPED).events(rows)
    assert found.properties["total_cents"] == 100


def test_a_long_order_keeps_its_total_and_says_what_it_left_out(written: Any) -> None:
    """The largest order of Online Retail has 542 rows, more than an event may hold; its money must not be lost with them."""
    [found] = written(**GROUPED).events([order("1", "a", "1", "1") for _ in range(5)])
    assert (len(found.properties["products"]), found.properties["products_omitted"], found.properties["total"]) == (2, 3, 5.0)


def test_a_row_that_cannot_be_read_refuses_its_whole_order(written: Any) -> None:
    """An order without one of its rows has another total; the next order is untouched."""
    rows = [order("1", "a", "1", "1"), order("1", "b", "one", "1"), order("2", "c", "1", "1")]
    (line, bad), (_, good) = written(**GROUPED).numbered(enumerate(rows, 1))
    assert (line, bad.reason, bad.path) == (1, "wrong_type", "$.price")
    assert good.properties["total"] == 1.0


def test_a_row_that_is_skipped_does_not_cut_an_order_in_two(written: Any) -> None:
    """The second half would come under the same id, and be dropped as a duplicate."""
    rows = [order("1", "a", "1", "1"), {**order("1", "b", "1", "1"), "who": ""}, order("1", "c", "1", "1")]
    (line, skipped), (_, whole) = written(**GROUPED, skip_if_empty=["who"]).numbered(enumerate(rows, 1))
    assert (skipped.reason, line, whole.properties["total"]) == ("skipped", 2, 2.0)


def test_a_group_without_end_is_refused_and_not_kept(written: Any) -> None:
    """A file in which a column is always empty would be one group, and all of it in memory."""
    rows = ((number, order("", "a", "1", "1")) for number in range(1, GROUP_MAX + 6))
    [(line, found)] = written(**GROUPED).numbered(rows)
    assert (found.reason, line) == ("too_large", 1)


def test_an_event_too_large_for_the_log_is_refused_here(written: Any) -> None:
    """Whoever replays the file writes its events to the log, and must not be surprised there."""
    assert refusal(written(properties={"x": "x"}), x="x" * 70_000) == ("too_large", "$")


numbers = st.integers() | st.floats() | st.decimals() | st.booleans() | st.sampled_from([10**400, Decimal("1e999999")])
anything = st.none() | st.text(max_size=8) | numbers | st.binary(max_size=3) | st.datetimes()


@given(st.dictionaries(st.sampled_from(["who", "when", "what", "id", "x"]), anything))
def test_any_row_is_an_event_or_refused_for_a_known_reason(row: dict[str, Any]) -> None:
    """A file has a million rows: one of them must not end the replay."""
    [found] = SMALL_MAPPING.events([row])
    if isinstance(found, Event):
        assert decode(encode(found)) == found
    else:
        assert found.reason in REASONS


# mappings that cannot be used


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"format": "xml"}, "at 'format'"),
        ({"customer": None}, "'customer'"),
        ({"customer": 5}, "at 'customer'"),
        ({"costumer": "who"}, "'costumer'"),
        ({"timestamp": {"column": "when", "zone": "Europe/Atlantis"}}, "at 'timestamp.zone'"),
        ({"timestamp": {"column": "when", "zone": "../../etc/passwd"}}, "at 'timestamp.zone'"),
        ({"timestamp": {"column": "when", "format": []}}, "at 'timestamp.format'"),
        ({"timestamp": {"when": 1}}, "at 'timestamp'"),
        ({"columns": ["who", "when", "what"]}, "column 'id' is not among 'columns', at 'message_id'"),
        ({"columns": ["who", "when", "what", "id"], "properties": {"a": "b"}}, "column 'b' is not among 'columns', at 'properties.a'"),
        ({"properties": {"a": {"column": "a", "type": "money"}}}, "at 'properties"),
        ({"collect": {"property": "p", "item": {}}}, "'group_by'"),
        ({"event": {}}, "the name of 'otherwise'"),
        ({"event": {"names": {"view": "Viewed"}, "otherwise": "Seen"}}, "at 'event'"),
        ({"decimal": ";"}, "at 'decimal'"),
        ({"event": {"column": "what", "names": {"view": True}}}, "at 'event.names"),
        ({"event": {"column": "what", "names": {"view": ""}}}, "at 'event.names"),
        ({"collect": {"property": "p", "item": {}, "max": 100_000}, "group_by": ["a"]}, "at 'collect.max'"),
    ],
)
def test_a_mapping_that_cannot_be_used_says_where_it_is_wrong(written: Any, changes: Any, expected: str) -> None:
    """It is written by hand, and read long before the file that it is for."""
    with pytest.raises(DefinitionError) as caught:
        written(**changes)
    assert caught.value.file.endswith("mapping.yaml")
    assert expected in caught.value.message


def test_a_mapping_that_is_not_yaml_says_the_line(tmp_path: Path) -> None:
    """The commonest slip is a quote that is not closed."""
    path = tmp_path / "broken.yaml"
    path.write_text('format: csv\ncustomer: "who\n')
    with pytest.raises(DefinitionError, match="not YAML") as caught:
        load_mapping(path)
    assert (caught.value.line, caught.value.file) == (3, str(path))


def test_a_mapping_runs_no_code(tmp_path: Path) -> None:
    """YAML can name Python objects; a mapping from a stranger must not build them."""
    path, canary = tmp_path / "evil.yaml", tmp_path / "canary"
    path.write_text(f"format: !!python/object/apply:os.mkdir ['{canary}']\n")
    with pytest.raises(DefinitionError):
        load_mapping(path)
    assert not canary.exists()


@pytest.mark.parametrize("name", ["nothing", "../mappings/rees46", "absent.yaml"])
def test_a_mapping_that_is_not_there_is_named(name: str) -> None:
    """And the ones that are there are listed."""
    with pytest.raises(DefinitionError) as caught:
        load_mapping(name)
    assert caught.value.file == name
    assert name.endswith(".yaml") or "rees46" in caught.value.hint


def test_a_map_of_parquet_is_an_object() -> None:
    """Warehouses keep properties in one; it comes as pairs, and each of its rows was refused as nothing JSON knows."""
    assert cells.as_is([("plan", "gold"), ("tags", ["a"])], "properties") == {"plan": "gold", "tags": ["a"]}
    assert cells.as_is([[("a", 1)], []], "nested") == [{"a": 1}, []]


def test_a_key_of_a_mapping_that_stands_twice_is_refused(tmp_path: Path) -> None:
    """The last won: a second block of properties took the place of the first, whose columns were missing in each event."""
    path = tmp_path / "twice.yaml"
    path.write_text("format: csv\nproperties: {a: a}\ncustomer: who\nproperties: {b: b}\n", encoding="utf-8")
    with pytest.raises(DefinitionError, match="the key 'properties' stands twice") as caught:
        load_mapping(path)
    assert (caught.value.line, caught.value.file) == (4, str(path))


@pytest.mark.parametrize("number", ["1e300", "9" * 18 + "e3", "-1e17", "1e-300"])
def test_a_sum_that_cannot_be_held_costs_its_own_group_alone(tmp_path: Path, number: str) -> None:
    """One garbled price ended the replay: the quotient of so large a number is none."""
    path = tmp_path / "orders.yaml"
    text = "{format: csv, customer: who, timestamp: {column: when}, event: {column: what}, message_id: row, group_by: [who]"
    path.write_text(text + ", total: {property: total, price: price, quantity: quantity}}", encoding="utf-8")
    row = {"when": "2026-03-01T10:00:00Z", "what": "Order Completed", "price": "2.50", "quantity": "2"}
    odd, good = load_mapping(path).events([{**row, "who": "a", "price": number}, {**row, "who": "b"}])
    if number == "1e-300":
        assert isinstance(odd, Event)
    else:
        assert isinstance(odd, Refusal)
        assert (odd.reason, odd.path) == ("not_finite", "$.price")
    assert isinstance(good, Event)
    assert good.properties == {"total": 5.0, "total_cents": 500}


def test_the_example_of_the_documentation_is_one_order(tmp_path: Path) -> None:
    """Whoever writes a first mapping copies it: with a comma before the cents, no column for the event, and a clock of Berlin."""
    text = (Path(__file__).parents[3] / "docs" / "mappings.md").read_text(encoding="utf-8")
    blocks = {kind: text.split(f"```{kind}\n", 1)[1].split("```", 1)[0] for kind in ("csv", "yaml")}
    for kind, block in blocks.items():
        (tmp_path / f"example.{kind}").write_text(block, encoding="utf-8")
    mapping = load_mapping(tmp_path / "example.yaml")
    rows = files.read(tmp_path / "example.csv", file_format="csv", columns=mapping.columns, delimiter=mapping.delimiter)
    [(_, found)] = mapping.numbered(rows)
    assert isinstance(found, Event), found
    assert (found.customer, found.name, found.message_id) == ("ada@mail.example", "Order Completed", "SO-2972")
    assert found.timestamp_ms == int(datetime(2024, 11, 29, 21, 24, tzinfo=UTC).timestamp()) * 1_000
    cups = {"product_id": "cups", "price": 4.5, "quantity": 4}
    tea = {"product_id": "tea", "price": 9.9, "quantity": 2}
    assert found.properties == {"order_id": "SO-2972", "products": [cups, tea], "total": 37.8, "total_cents": 3_780}


@pytest.mark.parametrize(
    ("cell", "number"), [("4,5", 4.5), (b"4,5", 4.5), ("-0,25", -0.25), ("7", 7), (7, 7), ("1.234,50", None), ("1,234,5", None)]
)
def test_a_comma_before_the_cents_is_read_where_the_mapping_says_so(written: Any, cell: object, number: float | None) -> None:
    """Half of Europe writes prices so. A point and a comma together could mean either, so that is refused."""
    wanted = {"x": {"column": "x", "type": "number"}}
    found = one(written(properties=wanted, decimal=","), x=cell)
    if number is None:
        assert isinstance(found, Refusal)
        assert (found.reason, found.path) == ("wrong_type", "$.x")
    else:
        assert isinstance(found, Event)
        assert found.properties == {"x": number}
    assert isinstance(one(written(properties=wanted), x="4,5"), Refusal), "and only there"
