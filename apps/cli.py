"""The command line: parse, call, print. What is heavy is imported by the command that needs it.

Data goes to stdout, everything else to stderr. Exit codes are promises: see `EXIT_CODES`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter, validators
from pydantic import ValidationError

from apps.costs_commands import costs
from apps.workflows_commands import Flag, Json, workflows
from assetline import __version__
from assetline.errors import AssetlineError, OptionError, SheetError
from assetline.run_records import RunOptions

EXIT_CODES = (
    "Exit codes: 0 all well, 1 unexpected, 2 usage, 3 the sheet is invalid, 4 finished with failures, 5 refused by "
    "budget, 6 a lane or the store cannot be reached, 130 interrupted (run it again to go on)."
)
INTERRUPTED = 130

app = App(
    name="assetline",
    version=__version__,
    help="A campaign spreadsheet goes in; reviewed, traceable image assets come out.\n\n"
    "Example: assetline run campaigns/spring-launch.csv",
    help_epilogue=EXIT_CODES,
    default_parameter=Parameter(show_default=False),
    suppress_keyboard_interrupt=False,  # `main` says how to go on
)
app.command(workflows)
app.command(costs)

Lanes = Annotated[
    tuple[str, ...],
    Parameter(
        name="--lane",
        negative="",
        help="fpo, replicate, or a ComfyUI URL; repeatable. Default: ASSETLINE_COMFYUI, else fpo.",
    ),
]
StoreUri = Annotated[str, Parameter(name="--store", help="A folder or s3://bucket/prefix. Default: ASSETLINE_STORE.")]
Campaign = Annotated[str, Parameter(name="--campaign", help="The campaign's name. Default: the sheet's file name.")]
OfCampaign = Annotated[str, Parameter(name="--campaign", help="Only this campaign's runs. Default: all.")]
Offline = Annotated[
    bool, Parameter(name="--offline", negative="", help="Do not ask the ComfyUI workers what models they have.")
]
MaxCost = Annotated[
    float | None, Parameter(name="--max-cost", help="USD that the run may spend. Default: ASSETLINE_MAX_COST, else 0.")
]
OverflowLimit = Annotated[
    str,
    Parameter(
        name="--overflow",
        help="How long the GPUs may take before rows go to Replicate: 30m, 2h, off. Default: ASSETLINE_OVERFLOW.",
    ),
]
OnlyValid = Annotated[
    bool, Parameter(name="--only-valid", negative="", help="The rows without errors, though others have some.")
]


@app.command
def check(
    sheet: str,
    /,
    *,
    lane: Lanes = (),
    campaign: Campaign = "",
    no_write: Annotated[bool, Flag] = False,
    offline: Offline = False,
    json: Json = False,
) -> int:
    """Say everything that is wrong with a sheet, in one pass; nothing is generated.

    ComfyUI workers are asked which models, LoRAs and nodes they have; one that does not answer within 5 s is left out.

    Writes SHEET.checked beside the sheet: the same rows with status, problem and fix.

    Example: assetline check campaigns/spring-launch.csv

    Parameters
    ----------
    sheet
        A CSV, TSV or XLSX file, or s3://bucket/key.
    no_write
        Write no checked copy.
    """
    from apps.check import check_sheet

    options = _options(lanes=lane, campaign=campaign)
    return check_sheet(sheet, options, write=not no_write, as_json=json, offline=offline)


@app.command
def plan(
    sheet: str,
    /,
    *,
    lane: Lanes = (),
    store: StoreUri = "",
    rows: str = "",
    only_valid: OnlyValid = False,
    max_cost: MaxCost = None,
    overflow: OverflowLimit = "",
    campaign: Campaign = "",
    offline: Offline = False,
    json: Json = False,
) -> int:
    """Check a sheet and say what a run would make, on which lanes, how long and for how much. Costs nothing.

    Example: assetline plan campaigns/holiday.xlsx --lane http://127.0.0.1:8188

    Parameters
    ----------
    sheet
        A CSV, TSV or XLSX file, or s3://bucket/key.
    rows
        Ids with commas: only these rows.
    """
    from apps.check import plan_run
    from apps.renamed import of_its_campaign

    options = _options(
        lanes=lane,
        store=store,
        rows=_ids(rows),
        only_valid=only_valid,
        max_cost=max_cost,
        overflow=overflow,
        campaign=campaign,
    )
    return plan_run(sheet, of_its_campaign(sheet, options).options, as_json=json, offline=offline)


@app.command
def run(
    sheet: str,
    /,
    *,
    lane: Lanes = (),
    store: StoreUri = "",
    rows: str = "",
    only_valid: OnlyValid = False,
    max_cost: MaxCost = None,
    overflow: OverflowLimit = "",
    yes: Annotated[bool, Flag] = False,
    direct: Annotated[bool, Flag] = False,
    assets_per_task: Annotated[int | None, Parameter(validator=validators.Number(gte=1, lte=100))] = None,
    campaign: Campaign = "",
    json: Json = False,
) -> int:
    """Make a campaign's pictures: a Prefect flow run. What is already made is not made again.

    Example: assetline run campaigns/spring-launch.csv

    Example: assetline run holiday.xlsx --lane http://gpu1:8188 --lane http://gpu2:8188 --store s3://assets/2026

    Parameters
    ----------
    sheet
        A CSV, TSV or XLSX file, or s3://bucket/key.
    rows
        Ids with commas: only these rows.
    yes
        Do not ask before money is spent; the caps hold all the same.
    direct
        The same steps without Prefect: starts at once, leaves no history.
    assets_per_task
        How many pictures share a task run in Prefect; 1: each its own, always. Unless said, each has its own as long as
        no more than 20 a second are made; beyond that twenty share one.
    """
    from apps.run import run_sheet

    options = _options(
        lanes=lane,
        store=store,
        rows=_ids(rows),
        only_valid=only_valid,
        max_cost=max_cost,
        overflow=overflow,
        assets_per_task=assets_per_task,
        campaign=campaign,
    )
    return run_sheet(sheet, options, direct=direct, as_json=json, agreed=yes)


@app.command
def warm(
    sheet: str,
    /,
    *,
    lane: Lanes = (),
    store: StoreUri = "",
    rows: str = "",
    campaign: Campaign = "",
    json: Json = False,
) -> int:
    """Have each ComfyUI worker load the models that it will begin a sheet with. Makes no picture.

    Example: assetline warm campaigns/holiday.xlsx --lane http://gpu1:8188 --lane http://gpu2:8188

    Parameters
    ----------
    sheet
        A CSV, TSV or XLSX file, or s3://bucket/key.
    rows
        Ids with commas: only these rows.
    """
    from apps.renamed import of_its_campaign
    from apps.warm import warm_workers

    options = _options(lanes=lane, store=store, rows=_ids(rows), only_valid=True, campaign=campaign)
    return warm_workers(sheet, of_its_campaign(sheet, options).options, as_json=json)


@app.command
def runs(*, campaign: OfCampaign = "", store: StoreUri = "", json: Json = False) -> int:
    """List the runs in the store, newest first.

    Example: assetline runs --campaign spring-launch
    """
    from apps.runs import list_runs

    return list_runs(campaign, store, as_json=json)


@app.command
def status(
    run: str = "",
    /,
    *,
    by: Literal["lane", "row", "size", "workflow"] = "lane",
    timeline: Annotated[bool, Flag] = False,
    campaign: OfCampaign = "",
    store: StoreUri = "",
    json: Json = False,
) -> int:
    """Say how a run stands or ended: counts, what failed and why, seconds and cost by lane.

    A run that goes on says so every nine seconds, from whatever machine it runs on.

    Example: assetline status

    Example: assetline status 20261122T014500Z-9f3a1c --by row

    Parameters
    ----------
    run
        A run id, or the beginning of one. Default: the newest.
    by
        What the table counts by.
    timeline
        The lanes over time: who worked when, loads, idle, down; with the address of the picture.
    """
    from apps.runs import Asked, show_run

    return show_run(Asked(run, campaign, store, by=by, timeline=timeline), as_json=json)


@app.command
def pause(run: str = "", /, *, campaign: OfCampaign = "", store: StoreUri = "", json: Json = False) -> int:
    """Have a run hand out nothing more; what its lanes work on is finished. It goes on with `resume`.

    Example: assetline pause 20261122T014500Z-9f3a1c

    Parameters
    ----------
    run
        A run id, or the beginning of one. Default: the newest.
    """
    from apps.pause import ask_run

    return ask_run(run, campaign, store, pause=True, as_json=json)


@app.command
def resume(run: str = "", /, *, campaign: OfCampaign = "", store: StoreUri = "", json: Json = False) -> int:
    """Have a paused run go on.

    A run that was stopped or killed is not resumed by this but by running its sheet again.

    Example: assetline resume 20261122T014500Z-9f3a1c

    Parameters
    ----------
    run
        A run id, or the beginning of one. Default: the newest.
    """
    from apps.pause import ask_run

    return ask_run(run, campaign, store, pause=False, as_json=json)


@app.command
def template(file: str = "campaign.xlsx", /, *, force: Annotated[bool, Flag] = False) -> int:
    """Write a starter workbook: examples, lists of the allowed styles, channels and workflows, help.

    Example: assetline template spring.xlsx

    Parameters
    ----------
    file
        The workbook to write. Default: campaign.xlsx.
    force
        Replace the file that is there.
    """
    from apps.template import write_template

    return write_template(file, force=force)


@app.command
def doctor(*, lane: Lanes = (), store: StoreUri = "", json: Json = False) -> int:
    """Probe everything that a run needs. Each line is ok, warn or fail, with the command that mends it.

    Example: assetline doctor
    """
    from apps.doctor import examine

    return examine(_options(lanes=lane, store=store), as_json=json)


def _options(**chosen: Any) -> RunOptions:
    """The options of a run. Raises OptionError that names each one that cannot be."""
    try:
        return RunOptions(**chosen)
    except ValidationError as error:
        faults = [f"--{str(fault['loc'][0]).replace('_', '-')}: {fault['msg']}." for fault in error.errors()]
        raise OptionError(" ".join(faults)) from error


def _ids(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code."""
    try:
        code = app(arguments, result_action="return_value")
    except SheetError as error:
        print(*(str(problem) for problem in error.problems), str(error), sep="\n", file=sys.stderr)
        code = error.exit_code
    except AssetlineError as error:
        print(error, file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        print("Interrupted. The same command goes on where it stopped.", file=sys.stderr)
        code = INTERRUPTED
    except BrokenPipeError:  # `assetline runs | head`
        sys.stderr.close()
        code = 0
    sys.exit(code or 0)


if __name__ == "__main__":
    main()
