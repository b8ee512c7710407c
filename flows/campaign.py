"""run-campaign: a campaign's sheet becomes stored, checked, deduplicated pictures with a contact sheet.

Wraps `assetline.pipeline.run_campaign`; the asset step runs as one task run per asset. Needs the settings of the
README (a store, lanes) in the environment. Locally: `assetline run campaigns/spring-launch.csv`.
"""

from __future__ import annotations

from prefect import flow, get_run_logger
from prefect.client.schemas import State
from prefect.runtime import flow_run

from assetline.bootstrap.planning import campaign_of, plan_sheet
from assetline.bootstrap.running import open_job
from assetline.pipeline import run_campaign as run_pipeline
from assetline.records import RunOptions
from assetline.settings import load_settings
from tasks.asset import as_task
from tasks.reports import describe, final_state, progress_artifact, publish_summary


def _name() -> str:
    """The flow run is named after its campaign."""
    parameters = flow_run.parameters
    return campaign_of(str(parameters["sheet"]), RunOptions.model_validate(parameters.get("options") or {}))


@flow(name="run-campaign", flow_run_name=_name)
async def run_campaign(sheet: str, options: RunOptions = RunOptions()) -> State[None]:  # noqa: B008  (frozen)
    """Read the sheet (a path or s3://bucket/key), make what is missing, set duplicates aside, write the contact sheet.

    Ends Completed, CompletedWithFailures, or Failed where the sheet has errors or no request gave a picture.
    """
    settings = load_settings()
    planning = plan_sheet(sheet, options, settings)

    async with (
        open_job(planning, options, settings, flow_run=str(flow_run.id or "")) as job,
        progress_artifact(len(job.plan.requests)) as report,
    ):
        result = await run_pipeline(job, as_task, report)

    await publish_summary(result)
    get_run_logger().info("%s. Contact sheet: %s", describe(result), result.record.contact_sheet)
    return final_state(result)
