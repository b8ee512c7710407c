"""The editor's own files: converted as its export would, or refused with everything that is not certain."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assetline.errors import WorkflowError
from assetline.workflow.discover import discover
from assetline.workflow.ui_format import is_ui_format, to_api_format

INFO: dict[str, Any] = json.loads((Path(__file__).parents[1] / "fakes" / "comfyui_object_info.json").read_text("utf-8"))
for kind, name in (("CheckpointLoaderSimple", "ckpt_name"), ("LoraLoader", "lora_name")):
    INFO[kind]["input"]["required"][name][0] = ["base.safetensors", "style.safetensors"]

# Links as the editor numbers them: from, slot, to, slot, type.
LINKS = {
    1: (4, 0, 10, 0, "MODEL"), 2: (4, 1, 10, 1, "CLIP"), 3: (10, 0, 3, 0, "MODEL"), 4: (10, 1, 11, 0, "*"),
    5: (11, 0, 6, 0, "CLIP"), 6: (11, 0, 7, 0, "CLIP"), 7: (6, 0, 3, 1, "CONDITIONING"), 8: (7, 0, 3, 2, "CONDITIONING"),
    9: (5, 0, 3, 3, "LATENT"), 10: (3, 0, 8, 0, "LATENT"), 11: (4, 2, 8, 1, "VAE"), 12: (8, 0, 9, 0, "IMAGE"),
    13: (12, 0, 3, 4, "INT"),
}  # fmt: skip


def saved() -> dict[str, Any]:
    """A saved workflow with a LoRA (10), a reroute (11), a primitive for the seed (12), a note and a preview."""

    def made(
        number: int, kind: str, values: object, *inputs: tuple[str, str, int | None], mode: int = 0
    ) -> dict[str, Any]:
        sockets = [{"name": name, "type": type_, "link": link} for name, type_, link in inputs]
        outputs = [{"links": [each for each, link in LINKS.items() if link[0] == number]}]
        facts = {"id": number, "type": kind, "mode": mode, "widgets_values": values}
        return facts | {"inputs": sockets, "outputs": outputs}

    nodes = [
        made(4, "CheckpointLoaderSimple", ["base.safetensors"]),
        made(10, "LoraLoader", ["style.safetensors", 0.8, 0.6], ("model", "MODEL", 1), ("clip", "CLIP", 2)),
        made(11, "Reroute", None, ("", "*", 4)),
        made(6, "CLIPTextEncode", ["a cup"], ("clip", "CLIP", 5)),
        made(7, "CLIPTextEncode", ["blurry"], ("clip", "CLIP", 6)),
        made(5, "EmptyLatentImage", [512, 768, 1]),
        made(12, "PrimitiveNode", [4711, "randomize"]),
        made(
            3, "KSampler", [1, "randomize", 20, 7.5, "euler", "normal", 1],
            ("model", "MODEL", 3), ("positive", "CONDITIONING", 7), ("negative", "CONDITIONING", 8),
            ("latent_image", "LATENT", 9), ("seed", "INT", 13),
        ),
        made(8, "VAEDecode", [], ("samples", "LATENT", 10), ("vae", "VAE", 11)),
        made(9, "SaveImage", ["cups"], ("images", "IMAGE", 12)),
        made(20, "Note", ["remember the milk"]),
        made(21, "MarkdownNote", ["# and the bread"]),
    ]  # fmt: skip
    return {"nodes": nodes, "links": [[number, *link] for number, link in LINKS.items()], "version": 0.4}


def node(of: dict[str, Any], number: int) -> dict[str, Any]:
    return next(each for each in of["nodes"] if each["id"] == number)


def test_values_links_reroutes_and_primitives_become_what_the_export_has():
    graph, notes = to_api_format(saved(), INFO)

    assert {"3", "4", "5", "6", "7", "8", "9", "10"} == set(graph)
    assert {
        "seed": 4711, "steps": 20, "cfg": 7.5, "sampler_name": "euler", "scheduler": "normal", "denoise": 1,
        "model": ["10", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0],
    } == graph["3"]["inputs"]  # fmt: skip
    assert {"text": "a cup", "clip": ["10", 1]} == graph["6"]["inputs"]
    assert {"width": 512, "height": 768, "batch_size": 1} == graph["5"]["inputs"]
    assert () == notes
    assert ["prompt", "negative_prompt"] == [*discover(graph).found][:2]


def test_the_newer_links_are_objects_and_sockets_of_widgets_are_listed_too():
    newer = saved()
    newer["links"] = [
        {"id": link[0], "origin_id": link[1], "origin_slot": link[2], "target_id": link[3], "type": link[5]}
        for link in newer["links"]
    ]
    node(newer, 5)["inputs"] = [{"name": "width", "type": "INT", "widget": {"name": "width"}, "link": None}]

    assert to_api_format(saved(), INFO) == to_api_format(newer, INFO)


def test_a_bypassed_node_is_passed_through_by_type_and_a_muted_one_left_out():
    bypassed = saved()
    node(bypassed, 10)["mode"] = 4
    graph, _ = to_api_format(bypassed, INFO)
    assert (["4", 0], ["4", 1], False) == (graph["3"]["inputs"]["model"], graph["6"]["inputs"]["clip"], "10" in graph)

    muted = saved()
    muted["nodes"].append(node(saved(), 9) | {"id": 30, "mode": 2})
    assert to_api_format(saved(), INFO) == to_api_format(muted, INFO)


def test_titles_come_along():
    titled = saved()
    node(titled, 6)["title"] = "Hero"

    graph, _ = to_api_format(titled, INFO)

    assert ("Hero", "Load Checkpoint") == tuple(graph[key]["_meta"]["title"] for key in ("6", "4"))


def test_an_upload_button_is_no_value_and_a_file_that_the_worker_lacks_is_told():
    loading = saved()
    loading["nodes"].append({"id": 30, "type": "LoadImage", "mode": 0, "widgets_values": ["pose.png", "image"]})

    graph, notes = to_api_format(loading, INFO)

    assert {"image": "pose.png"} == graph["30"]["inputs"]
    assert notes[0].startswith("Node 30 (LoadImage): the worker has no image 'pose.png'")


def _change(number: int, **facts: Any) -> Callable[[dict[str, Any]], None]:
    return lambda of: node(of, number).update(facts)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_change(3, widgets_values=[1, 20, 7.5, "euler"]), "Node 3 (KSampler) has 4 values where"),
        (_change(5, widgets_values=[512, 768, 1, 9]), "Node 5 (EmptyLatentImage) has 4 values where"),
        (_change(3, widgets_values=[1, "fixed", 20, "euler", 7.5, "normal", 1]), "has 'euler' for cfg, which it cannot be"),
        (_change(3, widgets_values=[1, "fixed", 20, 7.5, "eulre", "normal", 1]), "has 'eulre' for sampler_name"),
        (_change(6, type="EncodeFromSomewhere"), "Node 6 (EncodeFromSomewhere) is of a class that the worker does not"),
        (_change(6, type="8b0f6f0c-5f5c-4f2a-9a43-0a3f1f1a2b3c"), "is a subgraph; unpack it"),
        (_change(6, type="workflow>My encode"), "is a group of nodes; ungroup it"),
        (_change(6, mode=2), "Node 3 (KSampler) has nothing at positive: what fed it is muted."),
        (_change(6, mode=3), "runs in a mode (3)"),
        (_change(11, type="GetNode", widgets_values=["clip"]), "takes its value by name (Get/Set)"),
        (lambda of: of["links"].clear(), "is not laid out as the editor lays it out"),
    ],
)  # fmt: skip
def test_what_is_not_certain_is_refused_with_the_way_out(change: Callable[[dict[str, Any]], None], reason: str):
    doubtful = saved()
    change(doubtful)

    with pytest.raises(WorkflowError) as caught:
        to_api_format(doubtful, INFO)

    assert reason in str(caught.value)
    assert str(caught.value).endswith("In ComfyUI choose Workflow > Export (API) and take that file.")


def test_a_widget_of_a_kind_that_is_not_known_is_refused():
    info = copy.deepcopy(INFO)
    info["VAEDecode"]["input"]["required"]["curve"] = ["CURVE", {}]

    with pytest.raises(WorkflowError, match=r"Node 8 \(VAEDecode\) has a widget of its own for curve \(CURVE\)"):
        to_api_format(saved(), info)


@pytest.mark.parametrize(
    ("content", "is_one"), [(saved(), True), ({"nodes": 3, "links": []}, False), ({"3": {"class_type": "X"}}, False)]
)
def test_the_editors_format_is_told_by_its_nodes_and_links(content: object, is_one: bool):
    assert is_one == is_ui_format(content)
