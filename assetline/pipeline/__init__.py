"""The steps, composed once. How an asset is made and how progress is reported are passed in.

`run` is the way of one row; `asset` one picture; `existing` what is already made; `progress` what people are told;
`attendant` looks after a run that goes on, `live` is what it writes and reads there, `lanes` what its lanes did.
"""

from assetline.pipeline.asset import Bench, Make, make_asset
from assetline.pipeline.pool import WorkPool
from assetline.pipeline.progress import Progress, Report
from assetline.pipeline.run import RunJob, RunStopped, Watcher, run_campaign, watcher
from assetline.pipeline.write import RunResult

__all__ = [
    "Bench",
    "Make",
    "Progress",
    "Report",
    "RunJob",
    "RunResult",
    "RunStopped",
    "Watcher",
    "WorkPool",
    "make_asset",
    "run_campaign",
    "watcher",
]
