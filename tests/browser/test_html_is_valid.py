"""Every page is HTML as the standard has it: the W3C's Nu checker says so, in each language and with every text from outside."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest

from streamer.page.languages import LANGUAGES
from tests.clients.installed import NotInstalledError, node_clients
from tests.lacking import missing
from tests.unit.page.desk import PageDesk
from tests.unit.page.test_hostile_texts import HOSTILE

from .views import VIEWS

pytestmark = pytest.mark.asyncio(loop_scope="session")

LIMIT_S: Final = 120.0
MORE: Final = {
    "filtered": "/segments?q=quick&sort=size",
    "no-segment": "/segments?q=nothing-of-that-name",
    "preview": "/templates?message=reminder&customer=c-39",
    "no-preview": "/templates?message=word&customer=c-39",
    "one-subscription": "/deliveries?subscription=shop",
    "stranger": "/customers/nobody-of-that-name",
    **{f"hostile-{number}": f"/customers/{quote(text, safe='')}?all=1" for number, text in enumerate(HOSTILE)},
}
WRONG: Final = 'segments: {x: {for: a, when: \'did("<b>", withinn="1h")\'}}'


async def judged(pages: dict[str, str], folder: Path) -> list[str]:
    """What the checker finds in these pages, one line each; a remark counts as an error does."""
    try:
        jar = node_clients() / "vnu-jar" / "build" / "dist" / "vnu.jar"
    except NotInstalledError as error:
        missing(f"needs the checker of pages: {error}")
    java = shutil.which("java")
    if java is None or not jar.exists():
        missing(f"needs Java and {jar}")
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    arguments = ["-Xss4m", "-XX:TieredStopAtLevel=1", "-jar", str(jar), "--format", "json", "--exit-zero-always", str(folder)]
    child = await asyncio.create_subprocess_exec(java, *arguments, stderr=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(LIMIT_S):
            _, said = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    return [f"{Path(one['url']).name}: {one['message']} {one.get('extract', '')!r}" for one in json.loads(said)["messages"]]


async def test_every_view_is_valid_html_in_every_language(desk: PageDesk, tmp_path: Path) -> None:
    """A browser mends what is wrong, each in its own way; a screen reader may not. Two broken pages show that the checker looks."""
    pages = {"broken-1": "<!doctype html><title>x</title><p><div></p>", "broken-2": '<!doctype html><html lang="en"><title>x</title><img>'}
    for language in LANGUAGES:
        for name, path in (VIEWS | MORE).items():
            mark = "&" if "?" in path else "?"
            pages[f"{name}-{language}"] = (await desk.look(f"{path}{mark}lang={language}")).html
    form = {"form_key": (await desk.look("/login")).form_key, "what": "check", "text": WRONG}
    pages["tried"] = (await desk.ask("POST", "/try", form=form)).html
    assert "withinn" in pages["tried"], "it was not looked at"
    found = await judged(pages, tmp_path)
    assert {one.partition(".")[0] for one in found if one.startswith("broken")} == {"broken-1", "broken-2"}, "it looks at nothing"
    assert [one for one in found if not one.startswith("broken")] == []
