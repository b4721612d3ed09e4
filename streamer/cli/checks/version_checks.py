"""Checks of what was published: the manifest against the settings, and which version of the definitions holds where."""

from __future__ import annotations

from collections.abc import Sequence

from streamer.flow.published import Published, manifest_of
from streamer.language.durations import format_duration
from streamer.settings import Settings
from streamer.stores.base import Store
from streamer.stores.documents import definitions_document

from .finding import CheckResult, ok, shard_numbers, warning, wrong
from .store_checks import StoredShard


def check_manifest(settings: Settings, published: Published) -> CheckResult:
    """Whether the log was begun with the settings that are in force here."""
    kept = published.manifest
    if kept is None:
        remedy = "`streamer segments publish` or `worker` writes it once; from then on shards, lateness, skew and placeholder ids are fixed"
        return warning("manifest", "none yet: the log has not begun", remedy)
    differing = kept.differences(manifest_of(settings.topic_prefix, settings.rules))
    if differing:
        remedy = "set them back; to begin another log, use another STREAMER_NAMESPACE and STREAMER_TOPIC_PREFIX"
        return wrong("manifest", f"the log was begun with other settings: {'; '.join(differing)}", remedy)
    lateness, skew = format_duration(kept.rules.lateness_ms), format_duration(kept.rules.skew_ms)
    return ok("manifest", f"fits the settings: {kept.rules.shards} shards, lateness {lateness}, skew {skew}")


async def check_definitions(published: Published, store: Store, shards: Sequence[StoredShard]) -> CheckResult:
    """Which version was published last, and which one holds where."""
    newest = published.newest
    if newest is None:
        return warning("definitions", "none were published: nobody enters a segment", "streamer segments publish PATH")
    if lost := await _lost_digests(store, shards):
        remedy = "streamer shards rebuild SHARD for each of them"
        return wrong("definitions", f"{', '.join(lost)} hold in shards and are not in the store", remedy)
    by_version: dict[int, list[int]] = {}
    for shard in shards:
        by_version.setdefault(shard.body.version if shard.body is not None else 0, []).append(shard.number)
    holding = [f"{f'version {version}' if version else 'none'} in {shard_numbers(at)}" for version, at in sorted(by_version.items())]
    shown = f"version {newest.version} was published last; {'; '.join(holding)}"
    if len(by_version) > 1 or 0 in by_version:
        remedy = "a shard obeys once its worker has folded the past for it: start workers; `streamer segments status` says how far it is"
        return warning("definitions", shown, remedy)
    return ok("definitions", shown)


async def _lost_digests(store: Store, shards: Sequence[StoredShard]) -> list[str]:
    """Digests of definitions that hold in shards and whose document the store has no longer."""
    lost: dict[str, None] = {}
    for shard in shards:
        digest = shard.body.digest if shard.body is not None else ""
        if digest and await store.get_document(definitions_document(digest), shard=shard.number) is None:
            lost[digest] = None
    return list(lost)
