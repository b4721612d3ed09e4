"""What a package that registers a store looks like once it is installed."""

from __future__ import annotations

from pathlib import Path


def install(folder: Path, *, scheme: str, opener: str) -> None:
    """Metadata in ``folder``, as an installer writes them; whoever has the folder on its path finds the store."""
    metadata = folder / f"{scheme}_store-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {scheme}-store\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[streamer.stores]\n{scheme} = {opener}\n")
