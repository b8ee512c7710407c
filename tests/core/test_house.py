"""The house itself: the lock file, the floors, names of files, what the documents must say."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from fakes.command_line import ROOT

from assetline.settings import Settings

SOURCES = ("assetline", "tasks", "flows", "apps", "tests", "benchmarks")
FOLDERS = (*SOURCES, ".ci", "campaigns", "deployments", "docs", "workflows")
TOP = ("requirements.lock", "pyproject.toml", "prefect.yaml", "Makefile", "README.md", "CHANGELOG.md", ".gitignore")
LOCKED = re.compile(r"(?P<name>[a-z0-9][a-z0-9._-]*)==(?P<version>[^ ;]+)(?: ; (?P<marker>.+))?")


def sources() -> Iterator[Path]:
    """Every Python file of the project."""
    for folder in SOURCES:
        yield from (ROOT / folder).rglob("*.py")


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def locked() -> dict[str, list[str]]:
    """The lines of the lock, each requirement with its options."""
    text = (ROOT / "requirements.lock").read_text().replace("\\\n", " ")
    lines = [re.split(r" +(?=--)", line.strip()) for line in text.splitlines() if line.strip()]
    return {line[0]: line[1:] for line in lines}


# --- requirements.lock


def test_the_lock_names_no_host() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert [] == [line for line in text.splitlines() if "://" in line or "index" in line or "@ " in line]


def test_every_requirement_is_one_version_with_its_hashes() -> None:
    found = locked()
    assert len(found) > 50
    assert [] == [requirement for requirement in found if not LOCKED.fullmatch(requirement)]
    hashes = re.compile(r"--hash=sha256:[0-9a-f]{64}")
    assert [] == [name for name, options in found.items() if not options or not all(map(hashes.fullmatch, options))]


def test_the_lock_has_every_direct_dependency() -> None:
    names = {match["name"] for requirement in locked() if (match := LOCKED.fullmatch(requirement))}
    extras = project()["optional-dependencies"]
    wanted = {re.split(r"[\[<>=]", one)[0].lower() for one in (*project()["dependencies"], *extras["dev"])}
    assert set() == wanted - names


def test_no_committed_file_names_a_registry() -> None:
    hosts = ["pypi" + ".org", "python" + "hosted", "index" + "-url", "index" + "_url"]
    files = [ROOT / name for name in TOP] + [path for name in FOLDERS for path in (ROOT / name).rglob("*")]
    texts = {
        path: path.read_bytes().decode(errors="ignore") for path in files if path.is_file() and path.suffix != ".pyc"
    }
    assert [] == [path.name for path, text in texts.items() if any(host in text for host in hosts)]


def test_the_pythons_are_those_that_every_dependency_takes() -> None:
    assert ">=3.11,<3.14" == project()["requires-python"]  # replicate 1.0.7 does not import on 3.14


def test_each_direct_dependency_has_its_reason() -> None:
    pages = (ROOT / "docs" / "decisions.md").read_text().lower()
    table = "".join(line.split("|")[1] for line in pages.splitlines() if line.startswith("| "))
    wanted = {re.split(r"[\[<>=]", one)[0].lower() for one in project()["dependencies"]}
    assert [] == sorted(name for name in wanted if name not in table)


# --- floors and files


def test_the_floors_hold() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert 0 == found.returncode, found.stdout + found.stderr


def test_no_flow_file_bears_the_name_of_a_module_that_it_would_hide() -> None:
    """A path entrypoint leaves `flows/` at the front of `sys.path`."""
    ours = {"assetline", "tasks", "flows", "apps"}
    taken = (set(packages_distributions()) | set(sys.stdlib_module_names)) - ours
    assert set() == {path.stem for path in (ROOT / "flows").glob("*.py") if path.stem != "__init__"} & taken


def test_there_is_no_init_file_among_the_tests_and_no_name_twice() -> None:
    tests = list((ROOT / "tests").rglob("*.py"))
    assert [] == [path for path in tests if path.name == "__init__.py"]
    names = [path.name for path in tests if path.name != "conftest.py"]
    assert [] == sorted(name for name in names if names.count(name) > 1)


def test_every_ignore_says_which_rule_it_ignores() -> None:
    bare = re.compile(r"#\s*(noqa(?!: [A-Z]+[0-9]+)|type:\s*ignore(?!\[[a-z-]+(, ?[a-z-]+)*\]))")
    lines = [(path, line) for path in sources() for line in path.read_text().splitlines()]
    assert [] == [f"{path.relative_to(ROOT)}: {line.strip()}" for path, line in lines if bare.search(line)]


def test_no_file_is_longer_than_a_person_reads_and_none_is_left_unfinished() -> None:
    product = [path for path in sources() if "tests" not in path.parts]
    assert [] == [path.name for path in product if len(path.read_text().splitlines()) > 400]
    marks = re.compile("TO" + "DO|FIX" + "ME|X" + "XX")
    assert [] == [str(path) for path in sources() if marks.search(path.read_text())]


# --- what the documents must say


def setting_names() -> list[str]:
    names = {
        name: field.validation_alias or f"ASSETLINE_{name.upper()}" for name, field in Settings.model_fields.items()
    }
    return [str(name) for name in names.values() if not str(name).startswith("AWS_")]  # those are AWS's to document


@pytest.mark.parametrize("name", setting_names())
def test_every_setting_is_documented(name: str) -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    assert [page.name for page in pages if re.search(rf"\b{name}\b", page.read_text())]


def test_every_make_target_says_what_it_does() -> None:
    targets = re.findall(r"^([a-z]+):(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert [] == [name for name, rest in targets if "## " not in rest]
    assert {"setup", "demo", "test", "check", "server", "stop"} <= {name for name, _ in targets}
