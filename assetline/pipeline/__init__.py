"""The steps, composed once. How an asset is made and how progress is reported are passed in.

`run` is the way of one row; `asset` one picture; `existing` what is already made; `progress` what people are told.
"""

from assetline.pipeline.asset import Bench, Make, make_asset
from assetline.pipeline.pool import WorkPool
from assetline.pipeline.progress import Progress, Report
from assetline.pipeline.run import RunJob, Watcher, run_campaign, watcher
from assetline.pipeline.write import RunResult

__all__ = [
    "Bench",
    "Make",
    "Progress",
    "Report",
    "RunJob",
    "RunResult",
    "Watcher",
    "WorkPool",
    "make_asset",
    "run_campaign",
    "watcher",
]
