"""What TLS trusts and shows, for the clients of Kafka and of stores."""

from __future__ import annotations

import ssl

from .errors import SettingsError


def tls_context(
    whose: str, ca_file: str | None, cert_file: str | None = None, key_file: str | None = None, password: str | None = None
) -> ssl.SSLContext:
    """Context for a client. SettingsError names the setting, ``STREAMER_<whose>_…``, whose file cannot be used."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise SettingsError(f"STREAMER_{whose}_CA_FILE: cannot use {ca_file} ({error.strerror or type(error).__name__})") from None
    if cert_file is None and key_file is not None:
        raise SettingsError(f"STREAMER_{whose}_KEY_FILE: expected STREAMER_{whose}_CERT_FILE beside it")
    if cert_file is not None:
        try:
            context.load_cert_chain(cert_file, key_file, password or "")  # never ask for one on a terminal
        except OSError as error:
            names = cert_file if key_file is None else f"{cert_file} with {key_file}"
            raise SettingsError(f"STREAMER_{whose}_CERT_FILE: cannot use {names} ({error.strerror or type(error).__name__})") from None
    return context
