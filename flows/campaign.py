"""run-campaign: a campaign's sheet becomes stored, checked, deduplicated pictures with a contact sheet.

Wraps `assetline.pipeline.run_campaign`; the asset step runs as one task run per asset. Needs the settings of the
README (a store, lanes) in the environment. Locally: `assetline run campaigns/spring-launch.csv`.
"""

# No `from __future__ import annotations` in a flow with a model as parameter: `serve` sends the function to its process
# by value, where Prefect cannot look up a type by its name (3.8.8: "Run_CampaignModel is not fully defined").
import asyncio

from prefect import flow, get_run_logger
from prefect.client.schemas import State
from prefect.runtime import flow_run

from assetline.bootstrap.planning import campaign_of, plan_sheet
from assetline.bootstrap.recognition import of_its_campaign, remember
from assetline.bootstrap.running import open_job
from assetline.bootstrap.workers import ask_workers
from assetline.errors import AssetlineError
from assetline.pipeline import RunStopped
from assetline.pipeline import run_campaign as run_pipeline
from assetline.run_records import RunOptions
from assetline.settings import load_settings
from tasks.batches import asset_tasks
from tasks.live import followed
from tasks.reports import (
    describe,
    final_state,
    publish_problems,
    publish_stopped,
    publish_summary,
    refused,
    stopped,
)
from tasks.run_log import core_log


def _name() -> str:
    """The flow run is named after its campaign."""
    parameters = flow_run.parameters
    return campaign_of(str(parameters["sheet"]), RunOptions.model_validate(parameters.get("options") or {}))


@flow(name="run-campaign", flow_run_name=_name)
async def run_campaign(sheet: str, options: RunOptions = RunOptions()) -> State[None]:  # noqa: B008  (frozen)
    """Read the sheet, make what is missing, set duplicates aside, write the contact sheet.

    Ends Completed, CompletedWithFailures, Failed where the sheet has errors or no request gave a picture, or Cancelled.

    Args:
        sheet: The campaign's spreadsheet, CSV, TSV or XLSX: a path on the machine that runs this, or s3://bucket/key.
        options: What to make and where. Empty fields take the settings of the machine that runs this.

    """
    with core_log():
        try:
            settings = load_settings()
            found = of_its_campaign(sheet, options, settings)
            options = found.options
            if found.said:
                get_run_logger().info(found.said)
            planning = plan_sheet(sheet, options, settings, await ask_workers(options, settings))
            await publish_problems(planning.plan.problems)

            async with (
                open_job(planning, options, settings, flow_run=str(flow_run.id or "")) as job,
                followed(job) as report,
                asset_tasks(options.assets_per_task) as in_tasks,
            ):
                remember(found, settings)
                result = await run_pipeline(job, in_tasks, report)
        except AssetlineError as error:
            return refused(error)
        except RunStopped as stop:
            return await publish_stopped(stop)
        except asyncio.CancelledError:
            return stopped()

        await publish_summary(result)
        get_run_logger().info("%s. Contact sheet: %s", describe(result), result.record.contact_sheet)
        return final_state(result)
