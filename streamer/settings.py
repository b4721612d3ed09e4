# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
"""Every setting, in one place: from the environment (``STREAMER_…``), then from a TOML file, then the defaults here.

``streamer config`` prints what is in force, with secrets hidden.
"""

from __future__ import annotations

import base64
import os
import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from streamer.suggest import nearest
from streamer.units import DAY_MS

from . import stores, zones
from .errors import SettingsError
from .events.placeholders import PLACEHOLDER_IDS, normal_form
from .flow.rules import Rules
from .language.durations import format_duration, parse_duration
from .message_links import LinkKeys
from .signing import Keyring, read_keys
from .stores.base import Store

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

FILE_VARIABLE: Final = "STREAMER_CONFIG"


def _to_ms(value: Any) -> Any:
    return parse_duration(value) if isinstance(value, str) and not value.isdigit() else value


def _to_placeholders(value: Any) -> Any:
    texts = value.split(",") if isinstance(value, str) else value
    return normal_form(texts) if isinstance(texts, (list, tuple)) and all(isinstance(text, str) for text in texts) else texts


PlaceholderIds = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_to_placeholders)]
DurationMs = Annotated[int, BeforeValidator(_to_ms), Field(ge=0)]


def _to_networks(value: object) -> object:
    return tuple(ip_network(text.strip(), strict=False) for text in value.split(",") if text.strip()) if isinstance(value, str) else value


Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_to_networks)]


def _to_names(value: object) -> object:
    return tuple(dict.fromkeys(text.strip() for text in value.split(",") if text.strip())) if isinstance(value, str) else value


Topics = Annotated[tuple[Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")], ...], NoDecode, BeforeValidator(_to_names)]
HostNames = Annotated[tuple[Annotated[str, Field(pattern=r"^(\*\.)?[^\s/:@\\]+$")], ...], NoDecode, BeforeValidator(_to_names)]
Roles = Annotated[tuple[Literal["read", "write", "erase"], ...], NoDecode, BeforeValidator(_to_names)]
Addresses = Annotated[tuple[Annotated[str, Field(pattern=r"^[^\s,]{1,256}$")], ...], NoDecode, BeforeValidator(_to_names)]
PrivacySignal = Literal["ignore", "mark", "drop"]


def _checked_address(value: SecretStr) -> SecretStr:
    try:
        stores.check_scheme(value.get_secret_value())
    except SettingsError as error:
        raise ValueError(str(error).partition(": ")[2]) from None
    return value


class Settings(BaseSettings):
    """What an operator can set. Durations are texts such as ``24h`` or whole milliseconds."""

    model_config = SettingsConfigDict(env_prefix="STREAMER_", extra="forbid", frozen=True)

    kafka: str = Field("localhost:9092", description="Kafka bootstrap servers, separated by commas")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "PLAIN", description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
    )
    kafka_username: str | None = Field(None, description="SASL user")
    kafka_password: SecretStr | None = Field(None, description="SASL password")
    kafka_ca_file: str | None = Field(None, description="CA certificates for TLS")
    kafka_cert_file: str | None = Field(None, description="client certificate for TLS, with the chain up to the CA")
    kafka_key_file: str | None = Field(None, description="its private key, where it is not in the same file")
    kafka_key_password: SecretStr | None = Field(None, description="password of the private key")
    topic_prefix: str = Field("streamer", pattern=r"^[a-zA-Z0-9._-]+$", description="topics are PREFIX.events, PREFIX.segment-changes, …")
    group: str = Field("streamer", description="consumer group of the workers")
    shards: int = Field(12, ge=1, le=1_000, description="partitions of the events topic; fixed for the life of the topic")
    replication: int = Field(1, ge=1, le=10, description="replication factor of topics that are created")
    create: bool = Field(
        False, description="true begins a new log where the cluster has one already, or a new state of a log, as --create does"
    )

    store: Annotated[SecretStr, AfterValidator(_checked_address)] = Field(
        SecretStr("redis://localhost:6379/0"),
        description="where what is known of customers is kept: a redis://, rediss:// (TLS) or unix:// address; behind Sentinel "
        "redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/NUMBER, or rediss+sentinel://; memory:// for a trial; may hold a password",
    )
    store_username: str | None = Field(None, description="user of the store, where it is not in the address")
    store_password: SecretStr | None = Field(None, description="password, where it is not in the address")
    store_ca_file: str | None = Field(None, description="CA certificates for TLS; for Redis the address is rediss:// then")
    store_cert_file: str | None = Field(None, description="client certificate for TLS")
    store_key_file: str | None = Field(None, description="its private key, where it is not in the same file")
    namespace: str = Field("streamer", pattern=r"^[a-zA-Z0-9._-]+$", description="what every key in the store begins with")

    lateness: DurationMs = Field(DAY_MS, description="how old an event may be; also how long message ids are remembered. Part of the story")
    trust_producer_time: bool = Field(
        False,
        description="take the time of records from producers where the topic has CreateTime: one wrong clock moves everybody's time. "
        "Part of the story",
    )
    skew: DurationMs = Field(300_000, description="how far ahead a producer's clock may be. Part of the story")
    placeholder_ids: PlaceholderIds = Field(
        PLACEHOLDER_IDS, description="ids that name nobody, separated by commas; an event without another id is refused. Part of the story"
    )
    source: str = Field("/streamer", description="CloudEvents source of the changes. Part of the story")
    log_generation: int = Field(1, ge=1, description="how often the log was sharded anew, counted from 1. Part of the story")
    refused_ratio_alert: float = Field(
        0.05, gt=0, le=1, description="of a shard's newest 1,000 records so many may be refused before an alert says so; 1 never does"
    )

    zones_dir: Path | None = Field(
        None, description="folder with further versions of the zone data, DIR/VERSION/tzdata, for logs that were told by them"
    )
    signing_keys: SecretStr | None = Field(
        None, description="keys for our own records, id:base64 each, separated by commas; the first one signs. See streamer keys"
    )
    signing_keys_file: Path | None = Field(None, description="a file with them instead, one a line")

    segments: Path | None = Field(None, description="definitions to publish at the start if the log has none")
    web_host: str = Field("127.0.0.1", description="where the worker's web port listens")
    web_port: int = Field(6066, ge=1, le=65_535, description="/metrics /livez /readyz")
    collect_host: str = Field("127.0.0.1", description="where the collector listens; another than this machine needs write keys")
    collect_port: int = Field(8080, ge=1, le=65_535, description="the collector's port for events")
    collect_web_port: int = Field(6067, ge=1, le=65_535, description="the collector's /metrics /livez /readyz, on STREAMER_WEB_HOST")
    collect_prefix: str = Field(
        "",
        pattern=r"^(/[A-Za-z0-9._~-]+)*$",
        description="what each path of the collector begins with, such as /shop; ad blockers know the usual ones",
    )
    collect_url: str = Field(
        "",
        pattern=r"^(https?://[^\s/?#\"'<>\\]+)?$",
        description="scheme and host by which browsers reach the collector; empty: those of the request",
    )
    collect_keys: Path | None = Field(None, description="TOML file with the write keys; read again when it changes or at SIGHUP")
    collect_proxies: Networks = Field(
        (), description="addresses or networks of proxies whose X-Forwarded-For is believed, separated by commas"
    )
    collect_ip: Literal["truncated", "full", "none"] = Field(
        "truncated", description="what is kept of an address: its network (/24, /48), all of it, or nothing"
    )
    collect_gpc: PrivacySignal = Field(
        "mark", description="events with Sec-GPC: 1 are taken as they are (ignore), marked, or dropped unkept"
    )
    collect_dnt: PrivacySignal = Field("ignore", description="the same for DNT: 1")
    serve_host: str = Field("127.0.0.1", description="where the server for readers listens; another than this machine needs tokens")
    serve_port: int = Field(8090, ge=1, le=65_535, description="the port of the server for readers")
    serve_web_port: int = Field(6072, ge=1, le=65_535, description="its /metrics /livez /readyz, on STREAMER_WEB_HOST")
    serve_tokens: Path | None = Field(None, description="TOML file with readers' tokens; read again when it changes or at SIGHUP")
    serve_proxies: Networks = Field((), description="addresses or networks of a proxy that says who looks at the page, separated by commas")
    serve_proxy_user: str = Field(
        "",
        pattern=r"^[A-Za-z0-9-]{0,64}$",
        description="the header in which it says so, such as X-Forwarded-Email; empty: none is believed",
    )
    serve_proxy_roles: Roles = Field(("read",), description="what whoever it lets in may: read, write, erase, separated by commas")
    serve_test_addresses: Addresses = Field(
        (), description="addresses to which people with the role write may send themselves a message from the page, separated by commas"
    )
    ingest_topics: Topics = Field((), description="topics of the shop that `streamer ingest` reads, separated by commas")
    ingest_format: str = Field("", description="what their messages are: segment, segment_sdk, snowplow, ga4, cloudevents, …")
    ingest_mapping: str | None = Field(None, description="a mapping (YAML file or name) for messages that are rows as JSON, not a format")
    ingest_web_port: int = Field(6068, ge=1, le=65_535, description="the ingest's /metrics /livez /readyz, on STREAMER_WEB_HOST")
    webhook_allow: Networks = Field(
        (), description="internal addresses or networks that deliveries may go to all the same, by http too, separated by commas"
    )
    webhook_web_port: int = Field(6070, ge=1, le=65_535, description="the deliverer's /metrics /livez /readyz, on STREAMER_WEB_HOST")
    templates: Path | None = Field(None, description="folder of the templates of messages, NAME/LANGUAGE/subject.liquid and text.liquid")
    sender_language: str = Field(
        "en", pattern=r"^[A-Za-z]{2,3}([_-][A-Za-z0-9]{2,8})*$", description="the language of a message where there is none in the reader's"
    )
    sender_rate: float = Field(50.0, gt=0, le=100_000, description="messages a second by one channel of one sender")
    sender_domain_rate: float = Field(10.0, gt=0, le=100_000, description="the same to one domain of e-mail addresses")
    sender_counts_opens: bool = Field(False, description="true puts a picture into e-mails, by which it is counted that they are opened")
    sender_at_once: int = Field(32, ge=1, le=1_000, description="messages that one sender hands over at the same time")
    sender_web_port: int = Field(6071, ge=1, le=65_535, description="the sender's /metrics /livez /readyz, on STREAMER_WEB_HOST")
    sender_file: Path | None = Field(
        None, description="file for messages of the channel console, a line of JSON each; left out: the terminal"
    )
    smtp_host: str = Field("", description="server that takes e-mails; empty: there is no channel email")
    smtp_port: int = Field(587, ge=1, le=65_535, description="its port")
    smtp_tls: Literal["starttls", "implicit", "none"] = Field(
        "starttls", description="how the connection is made safe; none only for a server on this machine or in a network of yours"
    )
    smtp_username: str = Field("", description="user of the server, where it wants one")
    smtp_password: SecretStr = Field(SecretStr(""), description="password of the user")
    smtp_from: str = Field("", description="whom e-mails are from, such as Shop <news@shop.example>")
    smtp_connections: int = Field(4, ge=1, le=100, description="connections to the server at most")
    sender_webhook: str = Field(
        "", pattern=r"^(https?://[^\s]+)?$", description="address to which messages of the channel webhook are posted"
    )
    sender_webhook_secret: SecretStr = Field(
        SecretStr(""), description="secret that signs them, whsec_ and base64, as of Standard Webhooks"
    )
    link_keys: SecretStr | None = Field(
        None,
        description="keys of links in messages, id:base64 each, separated by commas; the first one signs. Of sender and collector",
    )
    link_keys_file: Path | None = Field(None, description="a file with them instead, one a line")
    link_hosts: HostNames = Field(
        (),
        description="hosts that links of facts may lead to, separated by commas, *.shop.example for all below one; those of addresses in "
        "templates may be led to anyway",
    )
    transactions: bool = Field(
        True,
        description="write amendments in transactions, so that a worker that lost a shard cannot; false only for a broker that has none",
    )
    tick: DurationMs = Field(
        30_000,
        description="how long a shard is left without a record at most; besides, a quiet one gets one when something is due. "
        "0: none, time passes with the events alone",
    )
    record_offsets: bool = Field(
        True,
        description="keep with each customer where their records lie in the log, two or three bytes a record, for 1 % of the step's time: "
        "for explain --at, the audit, and reading few records where a state cannot be read. Counts from the "
        "beginning of a log or a rebuild on; changes no answer",
    )
    audit_share: float = Field(
        0.01,
        ge=0,
        le=0.5,
        description="of its time so much a worker tells customers anew from the log, at random, and compares; 0: none. Needs "
        "STREAMER_RECORD_OFFSETS",
    )
    audit_folder: Path | None = Field(
        None, description="folder for what shows that a state is not what the log says: a customer's events, in files for their owner alone"
    )
    probe: DurationMs = Field(2_000, description="how often a shard compares itself with its store")
    session_timeout: DurationMs = Field(30_000, description="after so long without a heartbeat a worker's shards go to others")
    batch_records: int = Field(1_000, ge=1, le=100_000, description="records per commit at most; changes no answer")
    lane_processes: int = Field(
        2,
        ge=0,
        le=64,
        description="processes of a worker in which the past is folded for what is published, and which take only what is left over of the "
        "processors; 0: it is folded in the worker's own process, between its batches",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="debug, info, warning or error")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the names are pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then the file."""
        file = os.environ.get(FILE_VARIABLE)
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, Path(file) if file else None)

    def topic(self, suffix: str) -> str:
        """The full name of a topic."""
        return f"{self.topic_prefix}.{suffix}"

    def open_store(self) -> Store:
        """The store, which connects on first use. SettingsError when the address, or a file for TLS, cannot be used."""
        password = self.store_password.get_secret_value() if self.store_password is not None else None
        access = stores.Access(self.store_username, password, self.store_ca_file, self.store_cert_file, self.store_key_file)
        return stores.open(self.store.get_secret_value(), namespace=self.namespace, access=access)

    @property
    def keyring(self) -> Keyring:
        """The secrets that sign and verify our own records. SettingsError when they cannot be read."""
        return Keyring(self.topic_prefix, _secrets(self.signing_keys, self.signing_keys_file, "STREAMER_SIGNING_KEYS"))

    def with_keys(self, keyring: Keyring) -> Settings:
        """The same with these keys, whatever their file says by now: for a process that is to hold what this one has read."""
        keys = ",".join(f"{key}:{base64.b64encode(secret).decode()}" for key, secret in keyring.secrets.items())
        return self.model_copy(update={"signing_keys": SecretStr(keys) if keys else None, "signing_keys_file": None})

    @property
    def message_links(self) -> LinkKeys:
        """The keys of links in messages, and where these lead. SettingsError when they cannot be read."""
        secrets = _secrets(self.link_keys, self.link_keys_file, "STREAMER_LINK_KEYS")
        return LinkKeys(secrets, f"{self.collect_url}{self.collect_prefix}" if self.collect_url else "")

    @property
    def linked_hosts(self) -> tuple[str, ...]:
        """Where links of messages may lead besides what stands in templates: as set, and the collector."""
        own = urlsplit(self.collect_url).hostname
        return (*self.link_hosts, own) if own else self.link_hosts

    @property
    def rules(self) -> Rules:
        """What of the settings is part of the story."""
        return Rules(
            self.shards, self.lateness, self.skew, self.source, self.log_generation, self.placeholder_ids, self.trust_producer_time
        )

    def shown(self) -> dict[str, object]:
        """Names and values fit to print: secrets are stars."""
        found: dict[str, object] = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if name == "store":
                found[name] = without_password(value.get_secret_value())
            elif isinstance(value, SecretStr):
                found[name] = "********"
            elif name in _DURATIONS:
                found[name] = format_duration(value)
            elif name in ("placeholder_ids", "collect_proxies", "ingest_topics", "webhook_allow", "link_hosts"):
                found[name] = ",".join(map(str, value))
            else:
                found[name] = str(value) if isinstance(value, Path) else value
        return found


def _secrets(given: SecretStr | None, file: Path | None, setting: str) -> dict[str, bytes]:
    """The keys of a setting and of the file that goes with it."""
    text = given.get_secret_value() if given is not None else ""
    if file is not None:
        try:
            text += "\n" + file.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{setting}_FILE: cannot read {file} ({type(error).__name__})") from None
    return read_keys(text, setting)


_DURATIONS: Final = ("lateness", "skew", "tick", "probe", "session_timeout")


_OTHERS: Final = ("STREAMER_FAUST_", "STREAMER_REQUIRE_REAL", "STREAMER_REDIS_SERVER", "STREAMER_TEST")  # read elsewhere


def without_password(url: str) -> str:
    """An address with stars for its password, and for what any part of its query holds whose name speaks of a password, secret, token or
    key."""
    # By hand: a password with / ? or # in it, or a port that is no number, leads urlsplit astray, and then it would show.
    url = re.sub(r"(?i)([?&][^=&]*(?:password|secret|token|key)[^=&]*=)[^&]*", r"\1********", url)
    scheme, separator, rest = url.partition("://")
    user, at, host = rest.rpartition("@")
    if not at or ":" not in user:
        return url
    return f"{scheme}{separator}{user.partition(':')[0]}:********@{host}"


def load_settings(**given: Any) -> Settings:
    """Settings from all sources; SettingsError names each wrong one, where it came from is in its name."""
    file = os.environ.get(FILE_VARIABLE)
    if file and not Path(file).is_file():
        raise SettingsError(f"{FILE_VARIABLE}: expected a TOML file, found nothing at {file}")
    try:
        settings = Settings(**given)
    except ValidationError as error:
        raise SettingsError("; ".join(_problem(item) for item in error.errors(include_input=False, include_url=False))) from None
    except (ValueError, OSError) as error:  # the TOML file itself
        raise SettingsError(f"{FILE_VARIABLE}: {error}") from None
    zones.know(settings.zones_dir)
    return settings


def _problem(item: ErrorDetails) -> str:
    """One wrong setting by the name of its variable, never with what was given: it may be a secret."""
    name = "_".join(part for part in item["loc"] if isinstance(part, str))  # of a list without the place in it
    if item["type"] == "extra_forbidden":
        return f"STREAMER_{name.upper()}: there is no such setting{similar_setting(name)}"
    return f"STREAMER_{name.upper()}: {item['msg'].removeprefix('Value error, ')}"


def similar_setting(name: str) -> str:
    """`` (did you mean …?)`` for a name that is nearly one; empty otherwise."""
    close = nearest(name.lower(), Settings.model_fields)
    return f" (did you mean STREAMER_{close.upper()}?)" if close is not None else ""


def unknown_variables() -> list[str]:
    """Variables of the environment that look like settings and are none: nobody reads them."""
    known = {FILE_VARIABLE, *(f"STREAMER_{name.upper()}" for name in Settings.model_fields)}
    return sorted(
        name for name in os.environ if name.startswith("STREAMER_") and name.upper() not in known and not name.startswith(_OTHERS)
    )
