"""warm-workers: each ComfyUI worker loads the models that it will begin a sheet with, before the run is due.

Wraps `assetline.bootstrap.warming`; makes no picture. Needs the settings of the run that follows (a store, lanes) in
the environment. Locally: `assetline warm campaigns/spring-launch.csv`.
"""

# No `from __future__ import annotations` in a flow with a model as parameter: see campaign.py.
import asyncio

from prefect import flow, get_run_logger
from prefect.client.schemas import State
from prefect.runtime import flow_run

from assetline.bootstrap.planning import campaign_of, plan_sheet
from assetline.bootstrap.recognition import of_its_campaign
from assetline.bootstrap.warming import plan_warm_up, warm_up
from assetline.bootstrap.workers import ask_workers
from assetline.errors import AssetlineError
from assetline.run_records import RunOptions
from assetline.settings import load_settings
from tasks.reports import publish_problems, refused
from tasks.run_log import core_log
from tasks.warming import publish_warm_up, warm_up_state, warm_up_stopped


def _name() -> str:
    """The flow run is named after the campaign that it prepares."""
    parameters = flow_run.parameters
    options = RunOptions.model_validate(parameters.get("options") or {})
    return f"{campaign_of(str(parameters['sheet']), options)}-warm-up"


@flow(name="warm-workers", flow_run_name=_name)
async def warm_workers(sheet: str, options: RunOptions = RunOptions()) -> State[None]:  # noqa: B008  (frozen)
    """Let every ComfyUI worker load the models that it will begin the sheet with, all at the same time.

    Ends Completed, also where no picture is left to make, CompletedWithFailures where only some workers are ready,
    Failed where none is or the sheet has errors, or Cancelled.

    Args:
        sheet: The sheet of the run that follows: a path on the machine that runs this, or s3://bucket/key.
        options: Those of the run that follows. Empty fields take the settings of the machine that runs this.

    """
    with core_log():
        try:
            settings = load_settings()
            found = of_its_campaign(sheet, options, settings)
            options = found.options
            if found.said:
                get_run_logger().info(found.said)
            workers = await ask_workers(options, settings)
            planning = plan_sheet(sheet, options, settings, workers)
            await publish_problems(planning.plan.problems)

            plan = await plan_warm_up(planning, workers, options, settings)
            result = await warm_up(plan, settings, get_run_logger().info)
        except AssetlineError as error:
            return refused(error)
        except asyncio.CancelledError:
            return warm_up_stopped()

        await publish_warm_up(result)
        get_run_logger().info("%s", result)
        return warm_up_state(result)
