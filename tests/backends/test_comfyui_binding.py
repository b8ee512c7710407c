"""A request in the words of one worker: its file names, its node classes, what a newer version of it asks for."""

from __future__ import annotations

import pytest
from fakes.comfyui_lane import lane, planned
from fakes.fake_comfyui import FakeComfyUI

from assetline.backends.comfyui.binder import spell
from assetline.errors import BackendUnavailable, JobRejected, LaneUnsuited

pytestmark = pytest.mark.anyio

CLASSES = ["CLIPTextEncode", "CheckpointLoaderSimple", "EmptyLatentImage", "KSampler", "SaveImage", "VAEDecode"]


def asked_for(worker: FakeComfyUI) -> list[str]:
    return [path.removeprefix("/object_info/") for _, path in worker.asked if path.startswith("/object_info/")]


# ---------------------------------------------------------------------- names of files


@pytest.mark.parametrize(
    ("wanted", "has"),
    [
        ("xl/base.safetensors", "xl\\base.safetensors"),
        ("xl\\base.safetensors", "xl/base.safetensors"),
        ("xl\\new/base.safetensors", "xl/new/base.safetensors"),
    ],
)
async def test_a_file_in_a_folder_is_sent_as_the_worker_spells_it(worker: FakeComfyUI, wanted: str, has: str) -> None:
    """A worker on Windows lists its files with back-slashes, and refuses any other form."""
    worker.engine.models["checkpoints"] = ["other.safetensors", has]
    backend = lane(worker.url, asks=True)
    render = await backend.generate(planned(checkpoint=wanted), 1)
    await backend.close()
    assert render.graph is not None
    assert render.graph["4"]["inputs"]["ckpt_name"] == has
    assert worker.bodies["/prompt"][0]["prompt"] == render.graph


async def test_a_file_that_the_worker_lacks_is_sent_as_it_was_written(worker: FakeComfyUI) -> None:
    backend = lane(worker.url, asks=True)
    with pytest.raises(LaneUnsuited, match=r"lacks ckpt_name 'xl/none\.safetensors'"):
        await backend.generate(planned(checkpoint="xl/none.safetensors"), 1)
    await backend.close()


def test_only_choices_are_spelled_and_an_exact_one_is_left_alone() -> None:
    graph = {
        "1": {"class_type": "Loader", "inputs": {"file": "a/b", "newer": "a/b", "text": "a/b", "link": ["2", 0]}},
        "2": {"class_type": "Unknown", "inputs": {"file": "a/b"}},
    }
    required = {"file": [["a\\b", "a/b"], {}], "newer": ["COMBO", {"options": ["a\\b"]}], "text": ["STRING", {}]}
    spell(graph, {"Loader": {"input": {"required": required, "optional": {"link": ["MODEL"]}, "hidden": {"x": "X"}}}})
    assert graph["1"]["inputs"] == {"file": "a/b", "newer": "a\\b", "text": "a/b", "link": ["2", 0]}
    assert graph["2"]["inputs"] == {"file": "a/b"}


# ---------------------------------------------------------------------- node classes


async def test_each_node_class_is_asked_for_once(worker: FakeComfyUI) -> None:
    backend = lane(worker.url, asks=True)
    for seed in range(3):
        await backend.generate(planned(seed), 1)
    await backend.close()
    assert sorted(asked_for(worker)) == CLASSES


async def test_a_class_that_the_worker_did_not_know_is_asked_for_again(worker: FakeComfyUI) -> None:
    worker.engine.without = frozenset({"KSampler"})
    backend = lane(worker.url, asks=True)
    with pytest.raises(LaneUnsuited):
        await backend.generate(planned(), 1)
    worker.engine.without = frozenset()
    await backend.generate(planned(), 2)
    await backend.close()
    assert sorted(asked_for(worker)) == sorted([*CLASSES, "KSampler"])


async def test_all_classes_are_asked_for_again_once_the_worker_was_away(worker: FakeComfyUI) -> None:
    """It may have been updated meanwhile."""
    backend = lane(worker.url, asks=True)
    await backend.generate(planned(), 1)
    worker.stop()
    with pytest.raises(BackendUnavailable):
        await backend.generate(planned(2), 1)
    worker.start()
    await backend.generate(planned(2), 2)
    await backend.close()
    assert sorted(asked_for(worker)) == sorted(CLASSES * 2)


async def test_a_new_required_input_with_a_default_is_filled_in_and_told(worker: FakeComfyUI) -> None:
    worker.engine.added["KSampler"] = {"noise_kind": [["gaussian", "pink"], {"default": "pink"}]}
    backend = lane(worker.url, asks=True)
    render = await backend.generate(planned(), 1)
    await backend.close()
    assert render.graph is not None
    assert render.graph["3"]["inputs"]["noise_kind"] == "pink"
    assert render.notes == (
        "node 3 (KSampler): noise_kind was not in the workflow and is 'pink' now, the worker's default.",
    )


async def test_a_new_required_input_without_a_default_is_the_worker_s_to_refuse(worker: FakeComfyUI) -> None:
    worker.engine.added["KSampler"] = {"guide": ["GUIDE"]}
    backend = lane(worker.url, asks=True)
    with pytest.raises(JobRejected, match=r"guide is missing \(node 3, KSampler\)"):
        await backend.generate(planned(), 1)
    await backend.close()


@pytest.mark.parametrize("fault", ["404", "500", "nonsense"])
async def test_a_worker_that_does_not_tell_of_its_classes_makes_pictures_all_the_same(
    worker: FakeComfyUI, fault: str
) -> None:
    worker.fault("GET /object_info", *[fault] * len(CLASSES))
    backend = lane(worker.url, asks=True)
    render = await backend.generate(planned(), 1)
    await backend.close()
    assert render.notes == ()


async def test_a_worker_that_is_gone_while_it_is_asked_is_unavailable_and_was_sent_nothing(worker: FakeComfyUI) -> None:
    worker.fault("GET /object_info", "drop_before")
    backend = lane(worker.url, asks=True)
    with pytest.raises(BackendUnavailable):
        await backend.generate(planned(), 1)
    await backend.close()
    assert "POST /prompt" not in worker.paths()
