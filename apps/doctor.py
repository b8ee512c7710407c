"""`doctor`: every dependency probed. Each finding is ok, warn or fail, with what mends it."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from apps.doctor_ledger import examine_ledger
from apps.doctor_replicate import examine_replicate
from apps.doctor_workers import examine_workers
from apps.finding import Finding
from apps.prefect_api import configured_api_url
from apps.prefect_server import is_healthy, running_server
from assetline.bootstrap.planning import FPO, REPLICATE, lane_names, open_store
from assetline.bootstrap.workers import worker_urls
from assetline.catalogue import load_catalogue
from assetline.errors import AssetlineError
from assetline.run_records import RunOptions
from assetline.settings import Settings, load_settings
from assetline.sheet.suggest import nearest
from assetline.store.check import probe_store
from assetline.workflow import load_workflows

LEAST_FREE_BYTES = 2 * 2**30  # about a thousand 1024 px pictures
FASTAPI_CAP = (0, 151)  # Prefect 3.8.8's server does not start with a newer one, though its metadata allows it
PREFECT_FLOOR = (3, 8, 8)
OURS = "ASSETLINE_"
MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


def examine(options: RunOptions, *, as_json: bool) -> int:
    """Print every finding; 6 when something fails, since a run would end so."""
    findings = list(_findings(options))
    failed = any(finding.verdict == "fail" for finding in findings)
    if as_json:
        facts = [finding.model_dump(mode="json") for finding in findings]
        print(json.dumps({"ok": not failed, "findings": facts}, ensure_ascii=False))
    else:
        for finding in findings:
            print(f"{MARKS[finding.verdict]}  {finding.name}: {finding.found}")
            if finding.mend:
                print(f"      {finding.mend}")
    return 6 if failed else 0


def _findings(options: RunOptions) -> Iterator[Finding]:
    yield _python()
    yield from _packages()
    yield _prefect()
    yield from _unread()
    try:
        settings = load_settings()
    except AssetlineError as error:
        yield Finding(name="settings", verdict="fail", found=str(error), mend="Mend the environment or .env.")
        return
    yield from _files(settings)
    yield _store(options.store or settings.store, settings)
    if not (uri := options.store or settings.store).startswith("s3://"):
        yield _disk(Path(uri.removeprefix("file://")).expanduser())
    yield from _lanes(options, settings)
    yield from examine_replicate(settings, wanted=REPLICATE in options.lanes)
    yield examine_ledger(settings, paying=REPLICATE in options.lanes or settings.replicate_api_token is not None)
    yield _chromium()


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] < (3, 14):
        return Finding(name="python", verdict="ok", found=found)
    return Finding(name="python", verdict="fail", found=found, mend="make setup PYTHON=python3.11")


def _packages() -> Iterator[Finding]:
    checks: dict[str, Callable[[tuple[int, ...]], bool]] = {
        "prefect": lambda found: PREFECT_FLOOR <= found < (4,),
        "fastapi": lambda found: found < FASTAPI_CAP,
    }
    for name, suits in checks.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            yield Finding(name=name, verdict="fail", found="not installed", mend="make setup")
            continue
        numbers = tuple(int(part) for part in found.split(".") if part.isdigit())
        good = suits(numbers)
        mend = "" if good else "make setup (the lock has versions whose server starts)"
        yield Finding(name=name, verdict="ok" if good else "fail", found=found, mend=mend)


def _prefect() -> Finding:
    name = "prefect server"
    if url := configured_api_url():
        if is_healthy(url):
            return Finding(name=name, verdict="ok", found=f"answers at {url}")
        mend = "Start it, or unset PREFECT_API_URL to use an embedded one."
        return Finding(name=name, verdict="fail", found=f"{url} does not answer", mend=mend)
    if server := running_server():
        return Finding(name=name, verdict="ok", found=f"runs at {server.url} (make server)")
    found = "none configured; each run starts an embedded one (about 10 s)"
    return Finding(name=name, verdict="ok", found=found, mend="make server keeps one running, with its history.")


def _unread() -> Iterator[Finding]:
    """Variables that look like settings but that nothing reads: a misspelt one changes nothing and says nothing."""
    known = {name for name in setting_names() if name.startswith(OURS)}
    for place, names in (("the environment", list(os.environ)), (".env", _names_in(Path(".env")))):
        for name in sorted({name for name in names if name.upper().startswith(OURS)}):
            if name.upper() not in known:
                near = nearest(name[len(OURS) :], [each.removeprefix(OURS) for each in known])
                mend = f"Did you mean {OURS}{near}?" if near else "Remove it; docs/operations.md has all names."
                yield Finding(name="settings", verdict="warn", found=f"nothing reads {name} (in {place})", mend=mend)


def _names_in(file: Path) -> list[str]:
    """The names that a .env file sets; settings that cannot be read are told by `load_settings`."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    return re.findall(r"^[ \t]*(?:export[ \t]+)?(\w+)[ \t]*=", text, re.MULTILINE)


def setting_names() -> tuple[str, ...]:
    """Every environment variable that is a setting."""
    fields = Settings.model_fields.items()
    return tuple(str(field.validation_alias or f"{OURS}{name.upper()}") for name, field in fields)


def _files(settings: Settings) -> Iterator[Finding]:
    """Styles, channels and workflows can be read."""
    loads: dict[str, Callable[[], str]] = {
        "catalogue": lambda: _catalogue_found(settings),
        "workflows": lambda: ", ".join(load_workflows(settings.workflows_folder)),
    }
    for name, load in loads.items():
        try:
            yield Finding(name=name, verdict="ok", found=load())
        except AssetlineError as error:
            yield Finding(name=name, verdict="fail", found=str(error), mend="Mend the file that is named.")


def _catalogue_found(settings: Settings) -> str:
    catalogue = load_catalogue(settings.campaigns_folder)
    return f"{len(catalogue.styles)} styles, {len(catalogue.channels)} channels, {len(catalogue.wildcards)} wildcards"


def _store(uri: str, settings: Settings) -> Finding:
    name = f"store {uri}"
    try:
        store = open_store(uri, settings)
        capabilities = probe_store(store)
    except AssetlineError as error:
        return Finding(name=name, verdict="fail", found=str(error), mend="Set ASSETLINE_STORE, or give --store.")
    if problems := capabilities.problems:
        return Finding(name=name, verdict="warn", found=" ".join(problems), mend="One run at a time on this store.")
    return Finding(name=name, verdict="ok", found="writes, reads, refuses to overwrite, compares and swaps")


def _disk(path: Path) -> Finding:
    folder = next((one for one in (path, *path.absolute().parents) if one.is_dir()), Path())
    free = shutil.disk_usage(folder).free
    found = f"{free / 2**30:.1f} GiB free at {folder.resolve()}"
    if free >= LEAST_FREE_BYTES:
        return Finding(name="disk", verdict="ok", found=found)
    return Finding(name="disk", verdict="warn", found=found, mend="Free some space, or give another --store.")


def _lanes(options: RunOptions, settings: Settings) -> Iterator[Finding]:
    try:
        names = lane_names(options, settings)
        workflows = load_workflows(settings.workflows_folder)
    except AssetlineError as error:
        yield Finding(name="lanes", verdict="fail", found=str(error), mend="Set ASSETLINE_COMFYUI, or give --lane.")
        return
    if FPO in names:
        mend = "" if FPO in options.lanes else "ASSETLINE_COMFYUI=http://gpu1:8188 makes real pictures."
        yield Finding(name="lane fpo", verdict="ok", found="draws placeholders on this machine", mend=mend)
    yield from examine_workers(worker_urls(options, settings), workflows)


def _chromium() -> Finding:
    names: Sequence[str] = ("chromium", "chromium-browser", "google-chrome")
    if path := next((found for name in names if (found := shutil.which(name))), None):
        return Finding(name="chromium", verdict="ok", found=f"{path} (browser tests only)")
    mend = "Debian: apt-get install chromium" + ("" if os.geteuid() == 0 else " (as root)")
    return Finding(name="chromium", verdict="warn", found="not there; browser tests are skipped", mend=mend)
