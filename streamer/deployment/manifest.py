"""The manifest of a log: what it was begun with, which later settings must fit."""

from __future__ import annotations

from streamer.errors import SettingsError
from streamer.flow.published import encode_manifest, manifest_of
from streamer.settings import Settings
from streamer.transports.kafka.definitions_topic import DefinitionsTopic
from streamer.wire import DEFINITIONS


async def check_manifest(settings: Settings, topic: DefinitionsTopic, *, new_log: bool = False) -> None:
    """Write the manifest of the log, or compare with the one that is there. Raises SettingsError.

    Of two who write it at the same time the first counts, for both. ``new_log``: the settings may be of the next generation of the log.
    """
    mine = manifest_of(settings.topic_prefix, settings.rules, settings.namespace)
    published = await topic.refresh()
    if published.manifest is None or (new_log and mine.follows(published.manifest)):
        await topic.append(encode_manifest(mine))
        published = await topic.refresh()
    kept = published.manifest
    if kept is None:
        raise SettingsError(f"topic {settings.topic(DEFINITIONS)}: what was just written is not there")
    if kept.story != mine.story:
        raise SettingsError(
            f"the log was begun by a release that tells story version {kept.story}, this one tells {mine.story}: before 1.0 an upgrade "
            "that changes the story means to tell it anew; use another STREAMER_NAMESPACE and STREAMER_TOPIC_PREFIX, and write the events "
            "there again"
        )
    if mine.follows(kept):
        raise SettingsError(
            f"STREAMER_LOG_GENERATION: the log is of generation {kept.rules.log_generation}; where its topic {kept.topic} was "
            "made anew, stop all workers and begin the next one by `streamer shards rebuild --new-log`"
        )
    if differences := kept.differences(mine):
        raise SettingsError(
            f"the log was begun with other settings: {'; '.join(differences)}; these are part of the story and cannot change: "
            "set them back, or use another STREAMER_NAMESPACE and STREAMER_TOPIC_PREFIX"
        )
    if kept.namespace != mine.namespace and not settings.create:
        raise SettingsError(
            f"STREAMER_NAMESPACE: the state of this log is kept under {kept.namespace!r}, not {mine.namespace!r}; correct it, or begin "
            "another state of the same log with --create (or STREAMER_CREATE=true)"
        )
