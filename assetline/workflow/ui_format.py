"""Turns a workflow as ComfyUI's editor saves it (`nodes`, `links`) into API format, or says why that is not certain.

As the editor's own export does (ComfyUI frontend 1.27): values by the order of the widgets that /object_info gives,
muted nodes left out, bypassed ones passed through by type, reroutes and primitives dissolved, notes ignored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from assetline.errors import WorkflowError
from assetline.workflow.files import EXPORT_HINT
from assetline.workflow.wiring import Wiring, choices_of, is_value, options_of

Graph = dict[str, Any]

_ALWAYS, _NEVER, _BYPASSED = 0, 2, 4
_NOTES = {"Note", "MarkdownNote", "Label (rgthree)", "Bookmark (rgthree)", "Fast Groups Muter (rgthree)"}
_NOTES |= {"Fast Groups Bypasser (rgthree)", "Fast Muter (rgthree)", "Fast Bypasser (rgthree)"}
_VIRTUAL = {"Reroute", "PrimitiveNode", "GetNode", "SetNode", *_NOTES}
_WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
_SEEDS = {"seed", "noise_seed"}
_CONTROLS = {"fixed", "increment", "decrement", "randomize"}
_UPLOADS = ("image_upload", "video_upload", "audio_upload", "animated_image_upload")


def is_ui_format(content: object) -> bool:
    """Whether a file's JSON is what the editor saves."""
    return isinstance(content, dict) and isinstance(content.get("nodes"), list) and "links" in content


def to_api_format(saved: Mapping[str, Any], object_info: Mapping[str, Any]) -> tuple[Graph, tuple[str, ...]]:
    """The graph in API format and what a person should know of it. Ids of nodes stay as they are.

    `object_info` is that of a worker with all the nodes of the workflow. Raises WorkflowError that names everything
    that is not certain: then only the editor's own export is right.
    """
    try:
        conversion = _Conversion.of(saved, object_info)
        graph = conversion.graph()
    except (KeyError, TypeError, IndexError, ValueError, AttributeError) as exc:
        raise WorkflowError(f"The file is not laid out as the editor lays it out ({exc!r}). {EXPORT_HINT}") from exc
    refusals = conversion.refusals or [*_unfed(graph, object_info)]
    if refusals:
        raise WorkflowError("\n".join([*dict.fromkeys(refusals), EXPORT_HINT]))
    return graph, tuple(conversion.notes)


@dataclass(frozen=True)
class _Wire:
    """A link of the editor: from an output of a node, of a type."""

    node: str
    slot: int
    type: str


@dataclass
class _Conversion:
    """One conversion. `refusals` are what is not certain."""

    nodes: dict[str, Mapping[str, Any]]
    wires: dict[int, _Wire]
    object_info: Mapping[str, Any]
    refusals: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, saved: Mapping[str, Any], object_info: Mapping[str, Any]) -> _Conversion:
        nodes = {str(node["id"]): node for node in saved["nodes"]}
        return cls(nodes, dict(_wire(link) for link in saved["links"]), object_info)

    def graph(self) -> Graph:
        """Every node that runs, in API format."""
        found: Graph = {}
        for node_id, node in self.nodes.items():
            mode = node.get("mode", _ALWAYS)
            if node["type"] in _VIRTUAL or mode in {_NEVER, _BYPASSED}:
                continue
            if mode != _ALWAYS:
                self._refuse(node, f"runs in a mode ({mode}) that is not known here.")
            elif node["type"] not in self.object_info:
                self._unknown(node)
            else:
                found[node_id] = self._node(node)
        return found

    def _refuse(self, node: Mapping[str, Any], why: str) -> None:
        self.refusals.append(f"Node {node['id']} ({node['type']}) {why}")

    def _unknown(self, node: Mapping[str, Any]) -> None:
        kind = str(node["type"])
        if "-" in kind and len(kind) == 36:
            self._refuse(node, "is a subgraph; unpack it in the editor, or export it there.")
        elif kind.startswith(("workflow>", "workflow/")):
            self._refuse(node, "is a group of nodes; ungroup it in the editor, or export it there.")
        elif any(output.get("links") for output in node.get("outputs") or ()):
            self._refuse(node, "is of a class that the worker does not have.")
        else:
            self.notes.append(f"Node {node['id']} ({kind}) is not on the worker and feeds nothing; it was left out.")

    def _node(self, node: Mapping[str, Any]) -> dict[str, Any]:
        inputs = self._values(node)
        for socket in node.get("inputs") or ():
            if socket.get("link") is None:
                continue
            origin = self._origin(self.wires[socket["link"]], str(socket.get("type", "*")))
            if isinstance(origin, _Wire):
                inputs[socket["name"]] = [origin.node, origin.slot]
            elif isinstance(origin, _Value):
                inputs[socket["name"]] = origin.value
        title = node.get("title") or self.object_info[node["type"]].get("display_name") or node["type"]
        return {"inputs": inputs, "class_type": node["type"], "_meta": {"title": title}}

    def _origin(self, wire: _Wire, wanted: str) -> _Wire | _Value | None:
        """What really feeds a link: past reroutes and bypassed nodes; None where nothing does."""
        seen: set[_Wire] = set()
        while wire not in seen:
            seen.add(wire)
            node = self.nodes[wire.node]
            kind, mode = node["type"], node.get("mode", _ALWAYS)
            if kind == "PrimitiveNode":
                return _Value(node["widgets_values"][0])
            if mode == _NEVER:
                return None
            if kind not in _VIRTUAL and mode != _BYPASSED:
                return wire
            index = self._way_through(node, wire, wanted)
            socket = (node.get("inputs") or ())[index] if index is not None else {}
            if socket.get("link") is None:
                return None
            wanted = wanted if kind in _VIRTUAL else str(socket.get("type", "*"))
            wire = self.wires[socket["link"]]
        return None

    def _way_through(self, node: Mapping[str, Any], wire: _Wire, wanted: str) -> int | None:
        """The input that an output stands for: of a reroute its only one, of a bypassed node the first of its type."""
        if node["type"] == "GetNode":
            return self._set_node(node)
        sockets = node.get("inputs") or []
        if node["type"] in _VIRTUAL:
            return 0 if sockets else None
        if wanted in {"*", ""}:
            return (wire.slot if len(sockets) > wire.slot else 0) if sockets else None
        types = [str(socket.get("type", "*")) for socket in sockets]
        if wire.slot < len(types) and types[wire.slot] in {wanted, "*"}:
            return wire.slot
        return next((i for i, kind in enumerate(types) if kind == wanted), None)

    def _set_node(self, node: Mapping[str, Any]) -> int | None:
        """Of a pair that carries a value by name alone: not followed, since names may be set twice."""
        self._refuse(node, "takes its value by name (Get/Set); such pairs are only certain in the editor.")
        return None

    def _values(self, node: Mapping[str, Any]) -> dict[str, Any]:
        """The values of a node's widgets, by name."""
        values = node.get("widgets_values") or []
        widgets = dict(self._widgets(node))
        if isinstance(values, Mapping):
            found = {name: values[name] for name in widgets if name in values}
        else:
            found = self._in_order(node, widgets, list(values))
        for name, value in found.items():
            self._check(node, name, widgets[name], value)
        return found

    def _widgets(self, node: Mapping[str, Any]) -> Iterator[tuple[str, list[Any]]]:
        """The inputs that have a widget, in the editor's order, each with its description."""
        facts = self.object_info[node["type"]]
        sockets = {socket["name"] for socket in node.get("inputs") or ()}
        for part in ("required", "optional"):
            specs = facts.get("input", {}).get(part, {})
            for name in dict.fromkeys([*facts.get("input_order", {}).get(part, ()), *specs]):
                spec = list(specs[name])
                kind = spec[0] if isinstance(spec[0], str) else "COMBO"
                if kind in _WIDGETS and not options_of(spec).get("forceInput"):
                    yield name, spec
                elif kind not in _WIDGETS and part == "required" and name not in sockets:
                    self._refuse(node, f"has a widget of its own for {name} ({kind}), whose values are not known here.")

    def _in_order(self, node: Mapping[str, Any], widgets: dict[str, list[Any]], values: list[Any]) -> dict[str, Any]:
        """One value after the other; a seed is followed by what becomes of it after a run, an upload by its button."""
        found: dict[str, Any] = {}
        rest = list(values)
        for name, spec in widgets.items():
            if not rest:
                break
            found[name] = rest.pop(0)
            controlled = options_of(spec).get("control_after_generate") or name in _SEEDS
            if controlled and rest and rest[0] in _CONTROLS:
                rest.pop(0)
        uploads = any(options_of(spec).get(kind) for spec in widgets.values() for kind in _UPLOADS)
        if rest and uploads and rest[0] in {"image", "video", "audio", None, ""}:
            rest.pop(0)
        if rest or len(found) < len(widgets):
            self._refuse(node, f"has {len(values)} values where the worker's version of it has {len(widgets)} widgets.")
        return found

    def _check(self, node: Mapping[str, Any], name: str, spec: list[Any], value: object) -> None:
        """A value of another kind than its widget's: then the order is not as it was thought to be."""
        choices = choices_of(spec)
        if choices is not None:
            if value in choices:
                return
            if isinstance(value, str) and ("." in value or not choices):
                self.notes.append(f"Node {node['id']} ({node['type']}): the worker has no {name} {value!r}.")
                return
        elif _fits(str(spec[0]), value):
            return
        self._refuse(node, f"has {value!r} for {name}, which it cannot be.")


@dataclass(frozen=True)
class _Value:
    """A value that a primitive node holds for another one's widget."""

    value: Any


def _fits(kind: str, value: object) -> bool:
    if kind == "STRING":
        return isinstance(value, str)
    if kind == "BOOLEAN":
        return isinstance(value, bool)
    return is_value(value, "number") and (kind == "FLOAT" or float(str(value)).is_integer())


def _wire(link: Any) -> tuple[int, _Wire]:
    """A link as a list (`[id, from, slot, to, slot, type]`), or as the newer object."""
    if isinstance(link, Mapping):
        return int(link["id"]), _Wire(str(link["origin_id"]), int(link["origin_slot"]), str(link.get("type", "*")))
    return int(link[0]), _Wire(str(link[1]), int(link[2]), str(link[5]) if len(link) > 5 else "*")


def _unfed(graph: Graph, object_info: Mapping[str, Any]) -> Iterator[str]:
    """Required links that nothing feeds any more, on the way to a saved picture."""
    wiring = Wiring(graph)
    outputs = [node for node, item in graph.items() if object_info[item["class_type"]].get("output_node")]
    needed = dict.fromkeys(node for output in outputs for node in wiring.upstream(output))
    for node in needed:
        item = graph[node]
        required = object_info[item["class_type"]].get("input", {}).get("required", {})
        missing = [name for name in required if name not in item["inputs"]]
        if missing:
            yield f"Node {node} ({item['class_type']}) has nothing at {', '.join(missing)}: what fed it is muted."
