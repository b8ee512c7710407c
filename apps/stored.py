"""A run in the store, as `runs`, `status`, `pause` and `resume` find it, and what it last said of itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from apps.words import many
from assetline.bootstrap.planning import open_store
from assetline.errors import OptionError, StoreError
from assetline.pipeline.live import RunNews, read_news
from assetline.pipeline.progress import duration
from assetline.plan import campaign_slug
from assetline.settings import load_settings
from assetline.store import Store
from assetline.store.runs import StoredRun, find_runs

RUNS_NAMED = 5
SILENT_S = 60.0  # a run says how it stands every nine seconds; after a minute it is more likely killed than slow
AGAIN = "Running the same sheet again makes the rest."


@dataclass(frozen=True)
class Chosen:
    """A run that a person named, in its store."""

    store: Store
    run: StoredRun

    def news(self) -> RunNews | None:
        """What it last said. Raises StoreError."""
        return read_news(self.store, self.run.campaign, self.run.run_id)


def open_stored(store_uri: str) -> Store:
    """The store that was named, or the settings'."""
    settings = load_settings()
    return open_store(store_uri or settings.store, settings)


def choose_run(run: str, campaign: str, store_uri: str) -> Chosen:
    """The newest run, or the one whose id begins with `run`.

    Raises OptionError where that is none, or several; StoreError where its record is damaged.
    """
    store, campaign = open_stored(store_uri), campaign and campaign_slug(campaign)
    found = find_runs(store, campaign)
    if not found:
        raise OptionError(none_in(store, campaign))
    chosen = [one for one in found if one.run_id.startswith(run)]
    if chosen and (len(chosen) == 1 or not run):
        if chosen[0].fault:
            raise StoreError(chosen[0].fault)
        return Chosen(store, chosen[0])
    known = ", ".join(one.run_id for one in (chosen or found)[:RUNS_NAMED])
    if chosen:
        raise OptionError(f'{many(len(chosen), "run")} begin with "{run}"; say more of it. The newest: {known}.')
    raise OptionError(f'No run begins with "{run}". The newest: {known}. assetline runs lists them all.')


def none_in(store: Store, campaign: str) -> str:
    """That there are no runs."""
    of_campaign = f' of campaign "{campaign}"' if campaign else ""
    return f"There are no runs{of_campaign} in {store.uri} yet. assetline run SHEET makes the first."


def seconds_since(news: RunNews) -> float:
    """How long ago the run said that, by this machine's clock; never negative."""
    return max((datetime.now(UTC) - datetime.fromisoformat(news.updated_at)).total_seconds(), 0.0)


def is_silent(news: RunNews | None) -> bool:
    """Whether the run has said nothing for so long that it was probably killed."""
    return news is not None and seconds_since(news) > SILENT_S


def state_of(stored: StoredRun, news: RunNews | None) -> str:
    """How a run stands, in a few words."""
    if stored.record is not None:
        if stored.record.interrupted:
            return "interrupted"
        return "finished with failures" if stored.record.counts.failed else "finished"
    if stored.fault:
        return "damaged"
    if news is None:
        return "not finished (still running, or it was killed)"
    if is_silent(news):
        return f"not finished; not heard of for {duration(seconds_since(news))}, so it was probably killed"
    return "paused" if news.paused else "running"
