"""``streamer collect`` as a process, with the keys that the clients here send."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from copy import copy
from hashlib import sha256
from pathlib import Path
from typing import Final, Self
from urllib.request import urlopen

from streamer.local.children import Child, free_port
from streamer.settings import Settings

READY_S: Final = 30.0
STOP_S: Final = 10.0  # what it promises
BROWSER_KEY: Final = "browser-key"
SERVER_KEYS: Final = ("server-key", "server-key:secret")  # the second as Jitsu's look
SNOWPLOW_APP: Final = "shop"  # its trackers send no key


class Door:
    """A collector on a free port of loopback. ``origins`` are those of the pages that the browser's key is for; None: no keys."""

    def __init__(self, settings: Settings, folder: Path, origins: Sequence[str] | None, *, share_port: bool = False) -> None:
        port, self._web_port = free_port(), free_port()
        self._options = ["--share-port"] if share_port else []
        self.address = f"http://127.0.0.1:{port}"
        self._log = folder / "collector.log"
        self._environment = {
            **os.environ,
            "STREAMER_KAFKA": settings.kafka,
            "STREAMER_TOPIC_PREFIX": settings.topic_prefix,
            "STREAMER_SHARDS": str(settings.shards),
            "STREAMER_COLLECT_PORT": str(port),
            "STREAMER_COLLECT_WEB_PORT": str(self._web_port),
        }
        if origins is not None:
            keys = folder / "keys.toml"
            keys.write_text(_keys(origins))
            self._environment["STREAMER_COLLECT_KEYS"] = str(keys)
        self.start()

    def start(self) -> None:
        """Begin the process, also anew after ``kill`` at the same address, and wait until it is ready."""
        self.child = Child([sys.executable, "-m", "streamer", "collect", *self._options], log=self._log, env=self._environment)
        self.child.wait_until(self._ready, name="the collector", deadline_s=READY_S)

    def figures(self) -> str:
        """Its metrics."""
        with urlopen(f"http://127.0.0.1:{self._web_port}/metrics", timeout=2) as answer:
            return answer.read().decode()

    def twin(self) -> Self:
        """One more at the same address; both share it."""
        made = copy(self)
        made._web_port = free_port()
        made._environment = {**self._environment, "STREAMER_COLLECT_WEB_PORT": str(made._web_port)}
        made.start()
        return made

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.child.kill()

    def stop(self) -> int | None:
        """End it as an operator would; its exit code."""
        self.child.stop(grace_s=STOP_S)
        return self.child.process.returncode

    def _ready(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self._web_port}/readyz", timeout=2):
                return True
        except OSError:
            return False


def _keys(origins: Sequence[str]) -> str:
    """A file of keys. All clients here share one address, so rates of one visitor would hold for all of them."""
    tables = [
        f"""[keys.browser]
kind = "browser"
hash = "{_hash(BROWSER_KEY)}"
origins = {list(origins)}
events = ["Product Viewed", "Product Added", "Order Completed"]
events_per_second = 10_000
bytes_per_minute = 100_000_000
""",
        f"""[keys.snowplow]
kind = "browser"
hash = "{_hash("nobody sends it")}"
snowplow_app_ids = ["{SNOWPLOW_APP}"]
events_per_second = 10_000
bytes_per_minute = 100_000_000
""",
        *(f'[keys.server{number}]\nkind = "server"\nhash = "{_hash(key)}"\n' for number, key in enumerate(SERVER_KEYS)),
    ]
    return "\n".join(tables)


def _hash(key: str) -> str:
    return f"sha256:{sha256(key.encode()).hexdigest()}"
