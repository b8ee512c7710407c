"""New required inputs of a node are filled in with the worker's defaults, and told; everything else is left alone."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from assetline.workflow import complete


def described(**required: Any) -> dict[str, Any]:
    return {"Blend": {"input": {"required": required, "optional": {"extra": ["INT", {"default": 9}]}}}}


GRAPH = {
    "1": {"class_type": "Blend", "inputs": {"image": ["2", 0], "amount": 0.4}},
    "2": {"class_type": "Unknown", "inputs": {}},
}
OLD: dict[str, Any] = {"image": ["IMAGE"], "amount": ["FLOAT", {"default": 1.0}]}


@pytest.mark.parametrize(
    ("spec", "value"),
    [
        (["INT", {"default": 0, "min": 0}], 0),
        (["STRING", {"default": ""}], ""),
        (["BOOLEAN", {"default": False}], False),
        ([["soft", "hard"], {"default": "hard"}], "hard"),
        ([["soft", "hard"]], "soft"),
        (["COMBO", {"options": ["soft", "hard"]}], "soft"),
    ],
)
def test_a_new_required_input_gets_its_default_and_is_told(spec: list[Any], value: object):
    before = copy.deepcopy(GRAPH)

    graph, notes = complete(GRAPH, described(**OLD, mode=spec))

    assert {"image": ["2", 0], "amount": 0.4, "mode": value} == graph["1"]["inputs"]
    assert (f"node 1 (Blend): mode was not in the workflow and is {value!r} now, the worker's default.",) == notes
    assert before == GRAPH


@pytest.mark.parametrize(
    "spec",
    [["INT", {"min": 0}], ["MASK"], ["MASK", {"tooltip": "where"}], [["a.safetensors", "b.safetensors"]], [[]]],
    ids=["no default", "a link", "a link with a tooltip", "a list of files", "an empty list"],
)
def test_what_has_no_default_is_left_to_the_workers_own_answer(spec: list[Any]):
    assert (GRAPH, ()) == complete(GRAPH, described(**OLD, mode=spec))


def test_a_graph_that_lacks_nothing_stays_as_it_is():
    assert (GRAPH, ()) == complete(GRAPH, described(**OLD))
    assert (GRAPH, ()) == complete(GRAPH, {})
