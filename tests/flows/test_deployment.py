"""prefect.yaml as a person uses it: deployed by Prefect's own commands, and run once by a worker of its pool."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.fake_comfyui import FakeComfyUI
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.responses import DeploymentResponse
from prefect.settings import PREFECT_API_URL, temporary_settings

from assetline.run_records import RunOptions
from assetline.store.folder import FolderStore
from assetline.store.runs import find_runs
from flows.campaign import run_campaign
from flows.warm import warm_workers

# The connections of Prefect's cached clients are closed by the collector.
pytestmark = [pytest.mark.server, pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")]

ROOT = Path(__file__).parents[2]
NEEDED = ("prefect.yaml", "flows", "tasks")
SHEET = "id,prompt,size,variants\nTENT,a red tent,128x128,2\nMUG,a blue mug,128x96,1\n"
COMMAND_LIMIT_S = 180


class Checkout:
    """The files that a deployment needs, in a folder of their own, and Prefect's command line in it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self._environment = environment
        for name in NEEDED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, folder)

    def prefect(self, *arguments: str) -> str:
        """Run a command of Prefect's; what it printed. Fails the test where it fails."""
        done = subprocess.run(
            [sys.executable, "-m", "prefect", *arguments],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def files(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.folder)): path.read_bytes() for path in self.folder.rglob("*") if path.is_file()
        }


@pytest.fixture(scope="module")
def checkout(prefect_api: str, prefect_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    own = {"PREFECT_API_URL": prefect_api, "PREFECT_HOME": str(prefect_home), "PYTHONDONTWRITEBYTECODE": "1"}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "ASSETLINE_"))}
    return Checkout(tmp_path_factory.mktemp("checkout"), inherited | own)


@pytest.fixture(scope="module")
def client(prefect_api: str) -> Iterator[SyncPrefectClient]:
    with temporary_settings({PREFECT_API_URL: prefect_api}), get_client(sync_client=True) as client:
        yield client


@pytest.fixture(scope="module")
def deployed(checkout: Checkout) -> None:
    """The commands that prefect.yaml's head names."""
    before = checkout.files()
    checkout.prefect("work-pool", "create", "assetline", "--type", "process")
    checkout.prefect("--no-prompt", "deploy", "--all")
    assert before == checkout.files(), "deploying leaves nothing behind"


@pytest.fixture(scope="module")
def nightly(deployed: None, client: SyncPrefectClient) -> DeploymentResponse:
    return client.read_deployment_by_name("run-campaign/nightly")


@pytest.fixture(scope="module")
def warm_up(deployed: None, client: SyncPrefectClient) -> DeploymentResponse:
    return client.read_deployment_by_name("warm-workers/nightly-warm-up")


def schedules(deployment: DeploymentResponse) -> list[tuple[str, str | None, bool]]:
    found = [(entry.schedule, entry.active) for entry in deployment.schedules]
    return [(schedule.cron, schedule.timezone, active) for schedule, active in found]


def test_its_schedule_exists_and_is_paused(nightly: DeploymentResponse) -> None:
    assert [("0 2 * * *", "Europe/Berlin", False)] == schedules(nightly)


def test_the_warm_up_is_ten_minutes_earlier_for_the_same_sheet_and_as_paused(
    nightly: DeploymentResponse, warm_up: DeploymentResponse
) -> None:
    assert [("50 1 * * *", "Europe/Berlin", False)] == schedules(warm_up)
    assert (nightly.parameters, nightly.work_pool_name) == (warm_up.parameters, warm_up.work_pool_name)


def test_a_second_run_waits_for_the_first(nightly: DeploymentResponse) -> None:
    assert nightly.global_concurrency_limit
    assert nightly.concurrency_options
    assert (1, "ENQUEUE") == (
        nightly.global_concurrency_limit.limit,
        nightly.concurrency_options.collision_strategy.value,
    )


def test_its_form_says_what_the_parameters_are(nightly: DeploymentResponse) -> None:
    schema = nightly.parameter_openapi_schema
    assert schema
    assert ["sheet"] == schema["required"]
    assert "s3://bucket/key" in schema["properties"]["sheet"]["description"]
    assert "settings" in schema["properties"]["options"]["description"]
    options = {"lanes", "store", "rows", "only_valid", "max_cost", "overflow", "campaign", "assets_per_task"}
    assert options == set(schema["definitions"]["RunOptions"]["properties"])


def test_a_served_flow_knows_its_parameter_types() -> None:
    """`serve` pickles the flow by value; annotations that are mere names end in "Run_CampaignModel is not fully defined"."""
    for flow in (run_campaign, warm_workers):
        assert (str, RunOptions) == (flow.fn.__annotations__["sheet"], flow.fn.__annotations__["options"])


def test_a_worker_runs_both_with_other_parameters(
    nightly: DeploymentResponse,
    warm_up: DeploymentResponse,
    checkout: Checkout,
    client: SyncPrefectClient,
    tmp_path: Path,
) -> None:
    sheet, store = tmp_path / "Night Shift.csv", tmp_path / "assets"
    sheet.write_text(SHEET)
    start = client.create_flow_run_from_deployment
    with FakeComfyUI() as gpu:
        options = {"store": str(store), "lanes": [gpu.url]}
        warming = start(warm_up.id, parameters={"sheet": str(sheet), "options": options})
        options = {"store": str(store), "lanes": ["fpo"]}
        started = start(nightly.id, parameters={"sheet": str(sheet), "options": options})

        printed = checkout.prefect("worker", "start", "--pool", "assetline", "--run-once")

        loaded = [prompt["prompt"]["4"]["inputs"]["ckpt_name"] for prompt in gpu.bodies["/prompt"]]
    run, warmed = client.read_flow_run(started.id), client.read_flow_run(warming.id)
    assert ("Completed", "night-shift-warm-up") == (warmed.state_name, warmed.name), printed
    assert (["sd_xl_base_1.0.safetensors"], "1 of 1 worker ready.") == (loaded, warmed.state and warmed.state.message)
    assert ("Completed", "night-shift") == (run.state_name, run.name), printed
    [stored] = find_runs(FolderStore(store))
    assert stored.record
    assert (str(run.id), 3) == (stored.record.flow_run, stored.record.counts.stored)
    [record] = store.rglob("run.json")
    assert not json.loads(record.read_text())["interrupted"]
