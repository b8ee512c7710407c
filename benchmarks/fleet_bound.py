"""A tighter lower bound than the stated one, by linear programming: how much of a gap no schedule can close.

scipy is here because imagehash needs it.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from scipy.optimize import linprog

from benchmarks.fleet_traces import Trace, least, lower_bound


def tight_bound(trace: Trace) -> float:
    """Seconds below which no schedule of a steady trace ends (all comes at once, all are equal, nothing fails).

    The least T for which a relaxed plan exists. In it a worker takes part with a share of itself. Of each model it
    makes at most the whole pictures that fit into T behind the load, times the share of that load which it does. Its
    loads add up to at least the share that takes part, its time to at most T times that; each model is loaded once. A
    schedule that ends by T is such a plan with shares of 0 and 1, so where there is no plan there is no schedule.
    It is looked for from the stated bound upwards.
    """
    counts = Counter(one.model for one in trace.requests)
    models = sorted(counts)
    seconds = np.array([[trace.seconds[model] / speed for model in models] for speed in trace.speeds])
    loads = np.tile([trace.loads[model] for model in models], (len(trace.speeds), 1))
    wanted = np.array([counts[model] for model in models])
    return least(lambda until: _fits(until, seconds, loads, wanted), lower_bound(trace))


def _fits(until: float, seconds: np.ndarray, loads: np.ndarray, wanted: np.ndarray) -> bool:
    """Whether a relaxed plan ends by `until`. Variables: pictures, then loads, by worker and model; then workers."""
    workers, models = seconds.shape
    room = np.floor((until - loads) / seconds + 1e-9).clip(0, wanted)
    of_worker = np.kron(np.eye(workers), np.ones(models))
    of_model = np.tile(np.eye(models), workers)
    none = np.zeros((workers * models, workers))
    matrix = np.block(
        [
            [np.eye(room.size), -np.diag(room.ravel()), none],  # pictures <= those that fit x share of the load
            [of_worker * seconds.ravel(), of_worker * loads.ravel(), -until * np.eye(workers)],  # time <= T x share
            [0 * of_worker, -of_worker, np.eye(workers)],  # loads >= share of the worker
            [-of_model, 0 * of_model, none[:models]],  # pictures >= wanted
            [0 * of_model, -of_model, none[:models]],  # loads of a model >= 1
        ]
    )
    limits = np.concatenate([np.zeros(room.size + 2 * workers), -wanted, -np.ones(models)])
    bounds = [*((0, most) for most in room.ravel()), *[(0, 1)] * (room.size + workers)]
    return bool(linprog(np.zeros(matrix.shape[1]), A_ub=matrix, b_ub=limits, bounds=bounds).status == 0)
