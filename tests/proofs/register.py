"""Read and write reports/proofs.json: the figures of each proof that passed, and the hash of the sources it covers."""

import ast
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.storage.locks import path_lock
from posemodel.atomic_write import atomic_path

REGISTER = Path("reports", "proofs.json")
"""From the repository's root. {name of a proof: {date, seconds, figures, sources, covers}}."""

SHARDS = ("simulations", "worlds", "kills", "real")
"""Each takes 40 minutes at most on two cores."""

Entries = dict[str, dict[str, Any]]


def constants(module: Path) -> dict[str, Any]:
    """``SHARD`` and ``COVERS`` of a proof's module, which is not imported.

    Raises:
        ValueError: The module lacks one of them, it is no literal, or there is no such shard.
    """
    found = {}
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name in ("SHARD", "COVERS"):
                found[name] = ast.literal_eval(node.value)
    for name in ("SHARD", "COVERS"):
        if name not in found:
            raise ValueError(f"{module}: a module of proofs needs the constant {name}")
    if found["SHARD"] not in SHARDS:
        raise ValueError(f"{module}: SHARD must be one of {', '.join(SHARDS)}, not {found['SHARD']}")
    return found


def sources_hash(root: Path, module: Path) -> str:
    """SHA-256 of the paths and contents of the files that a proof's module covers, and of the module itself.

    Raises:
        ValueError: A glob of ``COVERS`` matches no file: sources have moved, and their changes would go unnoticed.
    """
    files = {module}
    for pattern in constants(module)["COVERS"]:
        matched = {path for path in root.glob(pattern) if path.is_file() and "__pycache__" not in path.parts}
        if not matched:
            raise ValueError(f"{module.relative_to(root).as_posix()}: COVERS: {pattern} matches no file")
        files |= matched
    total = hashlib.sha256()
    for path in sorted(files):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
    return total.hexdigest()


def read_entries(root: Path) -> Entries:
    """All entries by the names of their proofs; none where no proof has ever passed."""
    file = root / REGISTER
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def keep(root: Path, name: str, entry: dict[str, Any]) -> None:
    """Write the entry of a proof that has passed; all others stay."""
    _change(root, lambda entries: entries | {name: entry})


def drop(root: Path, name: str) -> None:
    """Remove the entry of a proof that has failed; all others stay."""
    _change(root, lambda entries: {other: entry for other, entry in entries.items() if other != name})


def _change(root: Path, change: Callable[[Entries], Entries]) -> None:
    file = root / REGISTER
    with path_lock(file):  # workers of one run, or two shards at once
        before = read_entries(root)
        after = change(before)
        if after == before:
            return
        text = json.dumps(after, indent=2, sort_keys=True, ensure_ascii=False)
        with atomic_path(file) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
