"""A run that is killed at any moment leaves nothing that counts as whole and is not, and nothing is made twice."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from assetline.images import inspect
from assetline.provenance import read_sidecar
from assetline.store.folder import FolderStore
from assetline.store.layout import parse_asset_key, sidecar_key
from assetline.store.runs import find_runs

pytestmark = pytest.mark.server

KILLS = 12
MOST_FILES = 14  # an asset is five files with its metadata, so a kill comes anywhere within the first few
ROWS = 14
SHEET = "id,prompt,size,variants\n" + "".join(f'R{n:02},a thing no. {n},"96x64, 64x96",2\n' for n in range(ROWS))
REQUESTS = ROWS * 4


@dataclass(frozen=True)
class Original:
    """A stored picture: what it is, and which run made it."""

    sha256: str
    made_by: str


def command(folder: Path) -> list[str]:
    sheet = folder / "spring.csv"
    sheet.parent.mkdir(exist_ok=True)
    sheet.write_text(SHEET)
    return [sys.executable, "-m", "apps.cli", "run", str(sheet), "--direct", "--json", "--store", str(folder / "store")]


def run_to_the_end(folder: Path) -> dict[str, Any]:
    """What `run --json` says."""
    done = subprocess.run(command(folder), cwd=folder, capture_output=True, text=True, timeout=120, check=True)
    return json.loads(done.stdout)


def run_and_kill(folder: Path, files: int) -> None:
    """Start a run and kill it as soon as it has added so many files to the store, finished or in the making."""
    wanted = count_files(folder) + files
    with subprocess.Popen(command(folder), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and count_files(folder) < wanted:
            pass
        process.kill()
    assert process.returncode == -9, "it had ended before it could be killed"


def count_files(folder: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(folder / "store"))


def originals(store: FolderStore) -> dict[str, Original]:
    """Every stored picture; each is a whole file."""
    found = {}
    for key in store.list("campaigns/spring/assets/"):
        place = parse_asset_key(key)
        assert place, key
        if not place.is_sidecar:
            picture = store.get(key)
            assert inspect(picture.data, (place.width, place.height)).rejected is None
            found[key] = Original(hashlib.sha256(picture.data).hexdigest(), picture.metadata["run-id"])
    return found


def assert_what_is_whole_is_whole(store: FolderStore, pictures: dict[str, Original]) -> None:
    """A sidecar is the mark of a whole asset: everything that it names is there, and is what it says."""
    keys = set(store.list("campaigns/"))
    for key in keys:
        place = parse_asset_key(key)
        if place and place.is_sidecar:
            asset = read_sidecar(store.get(key).data).asset
            assert {asset.original, *asset.thumbnails.values()} <= keys
            assert asset.sha256 == pictures[asset.original].sha256
            assert asset.run_id == pictures[asset.original].made_by


def pictures_and_thumbnails(store: FolderStore) -> dict[str, str]:
    """The sha256 of everything that does not name a run."""
    keys = [key for key in store.list("campaigns/") if "/runs/" not in key and not key.endswith(".json")]
    return {key: hashlib.sha256(store.get(key).data).hexdigest() for key in keys}


def test_a_store_over_which_runs_were_killed_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    moments = random.Random(20261122)
    store = FolderStore(tmp_path / "killed" / "store")
    before: dict[str, Original] = {}
    for _ in range(KILLS):
        run_and_kill(tmp_path / "killed", moments.randint(1, MOST_FILES))
        pictures = originals(store)
        assert before.items() <= pictures.items(), "what was stored stays as it is"
        assert_what_is_whole_is_whole(store, pictures)
        assert [run.record for run in find_runs(store, "spring") if run.record] == []
        before = pictures
    assert 0 < len(before) < REQUESTS, "the kills must come while pictures are made"

    said = run_to_the_end(tmp_path / "killed")

    pictures = originals(store)
    assert before.items() <= pictures.items()
    assert_what_is_whole_is_whole(store, pictures)
    assert {sidecar_key(key) for key in pictures} <= set(store.list("campaigns/spring/assets/"))
    assert (said["counts"]["reused"], said["counts"]["stored"]) == (len(before), REQUESTS - len(before))
    assert [said["run_id"]] == [run.run_id for run in find_runs(store, "spring") if run.record]
    assert_the_manifest_names_each_picture(store, said["run_id"], pictures)

    run_to_the_end(tmp_path / "undisturbed")
    assert pictures_and_thumbnails(FolderStore(tmp_path / "undisturbed" / "store")) == pictures_and_thumbnails(store)


def assert_the_manifest_names_each_picture(store: FolderStore, run_id: str, pictures: dict[str, Original]) -> None:
    lines = store.get(f"campaigns/spring/runs/{run_id}/manifest.jsonl").data.splitlines()
    assets = [json.loads(line)["asset"] for line in lines]
    assert len(assets) == REQUESTS
    named = {asset["original"]: Original(asset["sha256"], asset["run_id"]) for asset in assets}
    assert named == pictures
