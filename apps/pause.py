"""`pause` and `resume`: a run is asked, through the store, to hand out nothing more, or to go on."""

from __future__ import annotations

import json
import platform
import sys
import time
from datetime import UTC, datetime

from apps.stored import AGAIN, Chosen, choose_run, is_silent, seconds_since
from assetline.errors import OptionError
from assetline.pipeline.live import Control, RunNews, put_control
from assetline.pipeline.progress import duration

ANSWER_LIMIT_S = 20.0  # a run looks every three seconds, and answers at once
LOOK_EVERY_S = 0.3


def ask_run(run: str, campaign: str, store_uri: str, *, pause: bool, as_json: bool) -> int:
    """Ask a run to pause or to go on, and wait a while for its answer. Raises OptionError for one that has ended."""
    chosen = choose_run(run, campaign, store_uri)
    if chosen.run.record is not None:
        raise OptionError(f"{chosen.run.run_id} has ended; there is nothing to {'pause' if pause else 'resume'}.")
    asked_at = datetime.now(UTC).isoformat(timespec="seconds")
    control = Control(paused=pause, asked_at=asked_at, by=platform.node())
    put_control(chosen.store, chosen.run.campaign, chosen.run.run_id, control)
    news = _answer(chosen, paused=pause)
    answered = news is not None and news.paused == pause and not is_silent(news)
    if as_json:
        facts = {"campaign": chosen.run.campaign, "run_id": chosen.run.run_id, "paused": pause, "answered": answered}
        print(json.dumps(facts))
    elif answered and news:
        print(_confirmed(chosen, news))
    else:
        print(_unanswered(chosen, news), file=sys.stderr)
    return 0


def _answer(chosen: Chosen, *, paused: bool) -> RunNews | None:
    """The run's news once they are as asked; the last ones where that does not come, or cannot be expected."""
    deadline = time.monotonic() + ANSWER_LIMIT_S
    while True:
        news = chosen.news()
        if is_silent(news) or (news and news.paused == paused) or time.monotonic() > deadline:
            return news
        time.sleep(LOOK_EVERY_S)


def _confirmed(chosen: Chosen, news: RunNews) -> str:
    run_id = chosen.run.run_id
    if news.paused:
        return f"{run_id} is {news.said}. What runs is finished. Go on: assetline resume {run_id}"
    return f"{run_id} goes on: {news.said}"


def _unanswered(chosen: Chosen, news: RunNews | None) -> str:
    run_id = chosen.run.run_id
    if news is None:
        return f"{run_id} is asked, but has not said anything yet. assetline status {run_id} tells more."
    since = duration(seconds_since(news))
    if is_silent(news):
        return f"{run_id} is asked, but was last heard of {since} ago: it was probably killed. {AGAIN}"
    return f"{run_id} is asked, and has not answered yet; it was last heard of {since} ago."
