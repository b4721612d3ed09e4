"""Settings of channels that cannot be right are known before anything is sent."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from streamer.errors import SettingsError
from streamer.sender.channels.opening import open_channels
from streamer.settings import load_settings


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_AA==", "hunter2", "aHVudGVyMmh1bnRlcjJodW50ZXIyaHVudGVyMg=="])
def test_a_weak_secret_of_the_webhook_is_refused_and_not_repeated(secret: str) -> None:
    """A password would be read as a few bytes of base64, which anybody can guess who sees one signature."""
    settings = load_settings(sender_webhook="http://127.0.0.1:1/", sender_webhook_secret=SecretStr(secret))
    with pytest.raises(SettingsError, match="24 to 64 bytes") as caught:
        open_channels(settings, print, lambda: 0)
    assert not secret.removeprefix("whsec_") or secret.removeprefix("whsec_") not in str(caught.value)
