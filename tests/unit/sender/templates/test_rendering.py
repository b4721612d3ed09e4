"""What a person reads is a function of the decision, and what would come out wrong does not come out."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest

from streamer.message_links import LinkKeys
from streamer.sender.templates.folder import TemplateError, Templates, names_needed
from streamer.sender.templates.rendering import render
from streamer.values import Json
from tests.unit.sender.decisions import NOON_MS, a_decision

NO_LINKS = LinkKeys({}, "")
LINKS = LinkKeys({"k1": b"s" * 32}, "https://shop.example/c")


def templates_of(folder: Path, *, link_hosts: Collection[str] = (), **files: str) -> Templates:
    """A folder with one template; the names of ``files`` are ``language_part``."""
    for name, text in files.items():
        language, _, part = name.rpartition("_")
        place = folder / "cart_reminder" / language.replace("_", "-")
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{part}.liquid").write_text(text, encoding="utf-8")
    return Templates(folder, link_hosts=link_hosts)


def text_of(folder: Path, text: str, language: str = "en", **facts: Json) -> str:
    templates = templates_of(folder, **{f"{language}_subject": "Hello", f"{language}_text": text})
    return render(a_decision(language=language, facts=facts), templates, NO_LINKS).text


def test_what_a_customer_gave_is_no_markup(tmp_path: Path) -> None:
    """A name is a text that anybody can choose; in HTML it must stay one."""
    templates = templates_of(
        tmp_path, en_subject="Hi", en_text="{{ first_name }}", en_html="<p>{{ first_name }} {{ first_name | bdi }}</p>"
    )
    content = render(a_decision(facts={"first_name": "<script>alert(1)</script>"}), templates, NO_LINKS)
    assert content.html == "<p>&lt;script&gt;alert(1)&lt;/script&gt; <bdi>&lt;script&gt;alert(1)&lt;/script&gt;</bdi></p>"
    assert content.text == "<script>alert(1)</script>", "plain text needs no escapes, and shows none"


def test_no_filter_leads_past_the_escaping(tmp_path: Path) -> None:
    """`safe` of the library would: one word in a template would make all names markup."""
    templates = templates_of(tmp_path, en_subject="Hi", en_text="Hi", en_html="{{ first_name | safe }}")
    assert "safe" in templates.problems["cart_reminder"]


@pytest.mark.parametrize("name", ["Anna\r\nBcc: all@shop.example", "Anna\nX: 1", "Anna\u2028X"])
def test_a_line_break_in_the_subject_is_an_error(tmp_path: Path, name: str) -> None:
    """It would begin another header of the mail."""
    templates = templates_of(tmp_path, en_subject="Hi {{ first_name }}\n", en_text="Hi")
    with pytest.raises(TemplateError, match="line break"):
        render(a_decision(facts={"first_name": name}), templates, NO_LINKS)


def test_a_missing_name_fails_with_its_place_and_a_default_helps(tmp_path: Path) -> None:
    """A mail that begins with "Hi ," is worse than none."""
    with pytest.raises(TemplateError, match=r"^cart_reminder/en/text\.liquid:2:\d+: .*first_name"):
        text_of(tmp_path, "Dear customer,\nHi {{ first_name }}!")
    assert text_of(tmp_path, "Hi {{ first_name | default: 'you' }}!") == "Hi you!"


def test_a_template_that_never_ends_is_ended(tmp_path: Path) -> None:
    """One template must not hold up all messages, whatever is written in it."""
    with pytest.raises(TemplateError, match="limit"):
        text_of(tmp_path, "{% for a in (1..100000) %}{% for b in (1..100000) %}x{% endfor %}{% endfor %}")
    with pytest.raises(TemplateError, match="limit"):
        text_of(tmp_path, "{% for a in (1..9000) %}" + "x" * 1_000 + "{% endfor %}")


@pytest.mark.parametrize(
    "text",
    [
        "{{ (1..n) | join }}",
        "{% for a in (1..n) reversed %}{% break %}{% endfor %}",
        "{% if true %}{% for a in list %}{{ (a..n) | reverse | first }}{% endfor %}{% endif %}",
        "{% case 1 %}{% when 1 %}{{ 'x' | concat: (1..n) | size }}{% endcase %}",
        "{% assign a = (1..n) | map: 'b' %}",
        "{% tablerow a in (1..n) %}{{ a }}{% endtablerow %}",
    ],
)
@pytest.mark.parametrize("n", [1_000_000_000, 10**30])
def test_a_range_without_an_end_fails_before_it_is_made(tmp_path: Path, text: str, n: int) -> None:
    """It took seconds, and gigabytes, in which no message left: its end may be a fact that anybody gave."""
    with pytest.raises(TemplateError, match="range limit"):
        text_of(tmp_path, text, n=n, list=[1])


def test_a_range_that_somebody_reads_is_one(tmp_path: Path) -> None:
    """Five stars are five stars."""
    assert (
        text_of(tmp_path, '{% for star in (1..n) %}*{% endfor %} {{ (1..3) | join: "," }} {{ (1..1000) | size }}', n=5)
        == "***** 1,2,3 1000"
    )


def test_a_syntax_error_is_known_before_anything_is_sent(tmp_path: Path) -> None:
    """With its place, when the folder is read."""
    templates = templates_of(tmp_path, en_subject="Hi", en_text="one\n{% if %}")
    assert templates.problems["cart_reminder"].startswith("cart_reminder/en/text.liquid:2:")
    assert templates.names == []


def test_text_is_always_there(tmp_path: Path) -> None:
    """Not everybody reads HTML, and a mail without text is more often taken for spam."""
    assert "text.liquid" in templates_of(tmp_path, en_subject="Hi", en_html="<p>Hi</p>").problems["cart_reminder"]


def test_the_language_is_the_readers_or_the_nearest(tmp_path: Path) -> None:
    """pt-BR is served by pt; who reads what there is not gets the fallback."""
    files = {f"{tag}_{part}": tag for tag in ("en", "pt", "fa") for part in ("subject", "text")}
    templates = templates_of(tmp_path, **files)
    found = {
        wanted: render(a_decision(language=wanted), templates, NO_LINKS) for wanted in ("pt-BR", "pt_BR.UTF-8", "de", "fa-IR", "", "<b>")
    }
    assert {wanted: content.language for wanted, content in found.items()} == {
        "pt-BR": "pt",
        "pt_BR.UTF-8": "pt",
        "de": "en",
        "fa-IR": "fa",
        "": "en",
        "<b>": "en",
    }
    assert found["fa-IR"].direction == "rtl"
    assert found["de"].direction == "ltr"


@pytest.mark.parametrize(
    ("language", "number", "expected"),
    [("en", 1, "1 item"), ("en", 5, "5 items"), ("uk", 1, "1 item"), ("uk", 3, "3 few"), ("uk", 11, "11 many"), ("ar", 2, "2 two")],
)
def test_a_plural_is_that_of_the_language(tmp_path: Path, language: str, number: int, expected: str) -> None:
    """Ukrainian has four forms, Arabic six."""
    text = '{{ n | plural: one: "# item", two: "# two", few: "# few", many: "# many", other: "# items" }}'
    assert text_of(tmp_path, text, language, n=number).replace("٢", "2") == expected


@pytest.mark.parametrize(
    ("language", "expected"), [("en", "€1,234.50"), ("uk", "1 234,50 EUR"), ("de", "1.234,50 €"), ("fa", "\u200e€ ۱٬۲۳۴٫۵۰")]
)
def test_money_is_written_as_the_language_writes_it(tmp_path: Path, language: str, expected: str) -> None:
    """With its separators, its digits, and the currency where it belongs."""
    found = text_of(tmp_path, '{{ price | money: "EUR" }}', language, price=1234.5)
    assert found.replace("\xa0", " ").replace("\u202f", " ") == expected


def test_a_moment_is_the_customers_own(tmp_path: Path) -> None:
    """Noon in UTC is two in the afternoon in Kyiv."""
    text = '{{ at | date: "long" }} {{ at | time }}'
    assert text_of(tmp_path, text, "fa", at=NOON_MS) == "۲۹ نوامبر ۲۰۲۶ ۱۴:۰۰"
    assert text_of(tmp_path, text, at=NOON_MS).replace("\u202f", " ") == "November 29, 2026 2:00 PM"
    assert text_of(tmp_path, text, "uk", at="2026-11-29T12:00:00Z").replace("\u202f", " ") == "29 листопада 2026 р. 14:00"


@pytest.mark.parametrize(
    "text",
    [
        '{{ "x" | money: "EUR" }}',
        "{{ 1 | money }}",
        '{{ "soon" | date }}',
        '{{ 1 | date: "huge" }}',
        "{{ 'a' | link }}",
        "{{ 1 | plural }}",
        '{{ "1e400000" | money: "EUR" }}',
        '{{ "1e400000" | number }}',
        '{{ "https://shop.example/a b" | link }}',
    ],
)
def test_what_a_filter_cannot_write_fails_with_its_place(tmp_path: Path, text: str) -> None:
    """Rather than saying None euros."""
    with pytest.raises(TemplateError, match=r"^cart_reminder/en/text\.liquid:1:"):
        text_of(tmp_path, text)


@pytest.mark.parametrize("text", ["{{ [name] }}", "{{ names | uniq: name }}", "{{ names | compact: name }}"])
def test_an_error_quotes_no_fact(tmp_path: Path, text: str) -> None:
    """It goes into the ledger and the log, where customers' data has no business."""
    with pytest.raises(TemplateError) as caught:
        text_of(tmp_path, text, name="Anna Kovalenko", names=["Anna Kovalenko"])
    assert "Anna" not in str(caught.value)
    assert str(caught.value).startswith("cart_reminder/en/text.liquid:1:")


def test_a_text_that_does_not_fit_into_memory_fails_that_message_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sender goes on with the others."""
    asked: list[object] = []

    def huge(*args: object, **named: object) -> str:
        asked.append((args, named))
        raise MemoryError

    monkeypatch.setattr("liquid.BoundTemplate.render", huge)
    with pytest.raises(TemplateError, match="MemoryError"):
        text_of(tmp_path, "Hi")
    assert asked


def test_a_link_that_the_collector_would_not_read_is_not_written(tmp_path: Path) -> None:
    """A reader would click it and find a page that says it is broken. A line break in it would be an error of the collector's."""
    templates = templates_of(tmp_path, link_hosts=["shop.example"], en_subject="Hi", en_text="{{ url | link }}")
    longest = "https://shop.example/".ljust(1_500, "a")
    token = render(a_decision(facts={"url": longest}), templates, LINKS).text.partition("?t=")[2]
    assert LINKS.read(token) is not None
    for url in (longest + "a", "https://shop.example/\r\nX: 1", "https://shop.example/\x85"):
        with pytest.raises(TemplateError, match="link: expected an address"):
            render(a_decision(facts={"url": url}), templates, LINKS)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/",
        "https://shop.example.evil.example/",
        "https://evilshop.example/",
        "https://shop.example@evil.example/",
        "https://evil.example\\@shop.example/",
        "https://evil.example\\.shop.example/",
        "https://shop.example:pw@evil.example/",
        "https://shop.example\u3002evil.example/",
        "https://below.example/",
        "https://s\u017fhop.example/",
    ],
)
def test_a_link_leads_to_no_host_that_an_event_alone_names(tmp_path: Path, url: str) -> None:
    """Whoever has the key of a browser can put an address into anybody's basket, and the shop's own mail would carry it, signed."""
    text = '{{ url | link }} {{ "https://shop.example/basket" | link }}'
    templates = templates_of(tmp_path, link_hosts=["*.below.example"], en_subject="Hi", en_text=text)
    for links in (LINKS, NO_LINKS):  # a preview says it too
        with pytest.raises(TemplateError, match=r"^cart_reminder/en/text\.liquid:1:\d+: link: "):
            render(a_decision(facts={"url": url}), templates, links)


@pytest.mark.parametrize(
    "url",
    [
        "https://Shop.example/a?b=c#d",
        "http://shop.example:8080",
        "HTTPS://SHOP.EXAMPLE/",
        "https://img.below.example/1",
        "https://кава.example/",
    ],
)
def test_a_link_leads_where_a_template_or_the_operator_says(tmp_path: Path, url: str) -> None:
    """A host that stands in a template is the marketer's own word; others are a setting."""
    text = '{{ url | link }} {{ "https://shop.example/basket" | link }}'
    templates = templates_of(tmp_path, link_hosts=["*.below.example", "кава.example"], en_subject="Hi", en_text=text)
    token = render(a_decision(facts={"url": url}), templates, LINKS).text.split()[0].partition("?t=")[2]
    found = LINKS.read(token)
    assert found is not None
    assert found.target == url


def test_links_are_signed_and_say_of_which_message_they_are(tmp_path: Path) -> None:
    """A click must count for the message, and an unsubscription for its topic."""
    templates = templates_of(tmp_path, en_subject="Hi", en_text='{{ "https://shop.example/cart?a=1&b=2" | link }} {{ unsubscribe_url }}')
    click, unsubscribe = render(a_decision(7), templates, LINKS).text.split()
    found = LINKS.read(click.partition("?t=")[2])
    assert found is not None
    assert (found.purpose, found.customer, found.target) == ("click", "c-7", "https://shop.example/cart?a=1&b=2")
    taken = LINKS.read(unsubscribe.partition("?t=")[2])
    assert taken is not None
    assert (taken.purpose, taken.topic, taken.key) == ("unsubscribe", "offers", f"{7:032x}")


def test_a_fact_cannot_take_the_place_of_a_name_of_ours(tmp_path: Path) -> None:
    """A fact that is called `unsubscribe_url` would send readers elsewhere."""
    templates = templates_of(tmp_path, en_subject="Hi", en_text="{{ unsubscribe_url }}")
    content = render(a_decision(facts={"unsubscribe_url": "https://evil.example"}), templates, LINKS)
    assert content.text.startswith("https://shop.example/c/messages/unsubscribe?t=")


def test_what_a_template_needs_is_known_with_its_place(tmp_path: Path) -> None:
    """So `check` can compare it with the facts of a message before anything is published."""
    templates_of(
        tmp_path,
        en_subject="Hi {{ first_name }}",
        en_text="{% for item in items %}{{ item.name }}{% endfor %}\n {{ total }} {{ customer }}",
    )
    assert names_needed(tmp_path, "cart_reminder") == {
        "first_name": "cart_reminder/en/subject.liquid:1:7",
        "items": "cart_reminder/en/text.liquid:1:16",
        "total": "cart_reminder/en/text.liquid:2:5",
    }
    with pytest.raises(TemplateError, match="did you mean cart_reminder"):
        names_needed(tmp_path, "cart_remindr")
