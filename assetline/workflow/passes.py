"""The samplers of a graph, first to last, and where each one's settings really stand (guider, noise, sigmas)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from assetline.workflow.texts import Role
from assetline.workflow.wiring import Link, Place, Wiring

_SEEDS = ("seed", "noise_seed")
_PROMPTS: dict[Role, tuple[str, ...]] = {
    "positive": ("positive", "conditioning", "cond1", "conditioning_positive"),
    "negative": ("negative", "neg_conditioning", "conditioning_negative"),
}
_CFG = ("cfg", "cfg_conds", "true_gs")
_STEP_BOUNDS = ("start_at_step", "end_at_step")
_SOURCES = ("latent_image", "latent", "samples", "image", "upscaled_image", "pixels", "optional_latent")
_PIPES = ("basic_pipe", "pipe", "context")
_SIGMAS = ("sigmas", "sigma")


@dataclass(frozen=True)
class Pass:
    """One sampler with its settings. `seed_input` is its own input for the seed (a noise node's where it has one).

    `bounds` are the steps at which it starts, ends or hands over. `source` is what it works on.
    """

    node: str
    positive: tuple[Link, str] | None
    negative: tuple[Link, str] | None
    model: Link | None
    source: Link | None
    seed_input: tuple[str, str] | None
    steps: Place | None
    bounds: tuple[Place, ...]
    cfg: Place | None
    sampler: Place | None
    scheduler: Place | None
    denoise: Place | None


def find_passes(wiring: Wiring, nodes: list[str]) -> tuple[Pass, ...]:
    """The samplers among `nodes`, which come each after what feeds it."""
    return tuple(_pass(wiring, node) for node in nodes if _is_sampler(wiring, node))


def _is_sampler(wiring: Wiring, node: str) -> bool:
    """By its inputs, so that unknown classes count too: a prompt, a seed or noise, and steps or sigmas."""
    inputs = wiring.inputs(node)
    links = wiring.links(node)
    prompted = "guider" in links or any(name in links for names in _PROMPTS.values() for name in names)
    prompted = prompted or any(name in links for name in _PIPES)
    seeded = any(name in inputs for name in _SEEDS) or "noise" in links
    return prompted and seeded and ("steps" in inputs or any(name in links for name in _SIGMAS))


def _pass(wiring: Wiring, node: str) -> Pass:
    guider = wiring.link(node, "guider")
    asker = guider.node if guider else node
    sigmas = _sigmas(wiring, node)
    schedule = sigmas[-1] if sigmas else node
    picker = wiring.link(node, "sampler")
    return Pass(
        node=node,
        positive=_prompt(wiring, asker, "positive"),
        negative=_prompt(wiring, asker, "negative"),
        model=_from_pipe(wiring, asker, "model"),
        source=_from_pipe(wiring, node, *_SOURCES),
        seed_input=_seed_input(wiring, node),
        steps=wiring.place(schedule, "steps", "number"),
        bounds=tuple(_bounds(wiring, node, sigmas)),
        cfg=_first(wiring, asker, _CFG),
        sampler=wiring.place(picker.node if picker else node, "sampler_name", "text"),
        scheduler=wiring.place(schedule, "scheduler", "text"),
        denoise=_denoise(wiring, schedule, sigmas),
    )


def _prompt(wiring: Wiring, node: str, role: Role) -> tuple[Link, str] | None:
    """The conditioning for `role`, with the input that it enters by."""
    for name in _PROMPTS[role]:
        link = wiring.link(node, name)
        if link:
            return link, f"{node}.{name}"
    link = _from_pipe(wiring, node, role)
    return (link, f"{node}.{role}") if link else None


def _from_pipe(wiring: Wiring, node: str, *names: str) -> Link | None:
    """What feeds one of these inputs: a link of its own, or one in the pipe that feeds the node."""
    link = wiring.link(node, *names)
    pipe = wiring.link(node, *_PIPES)
    if link or not pipe:
        return link
    held = (wiring.member(pipe.node, name) for name in names)
    return next((wiring.resolve(each) for each in held if each), None)


def _seed_input(wiring: Wiring, node: str) -> tuple[str, str] | None:
    noise = wiring.link(node, "noise")
    holder = noise.node if noise else node
    return next(((holder, name) for name in _SEEDS if name in wiring.inputs(holder)), None)


def _sigmas(wiring: Wiring, node: str) -> list[str]:
    """The nodes that make a sampler's sigmas, from the sampler up to the one that says how many steps."""
    way: list[str] = []
    link = wiring.link(node, *_SIGMAS)
    while link and link.node not in way:
        way.append(link.node)
        link = None if "steps" in wiring.inputs(link.node) and way else wiring.link(link.node, *_SIGMAS)
    return way


def _bounds(wiring: Wiring, node: str, sigmas: list[str]) -> Iterator[Place]:
    """Steps that must follow the number of steps: 20 of 25, then 20 to 25."""
    places = [wiring.place(node, name, "number") for name in _STEP_BOUNDS]
    places += [wiring.place(each, "step", "number") for each in sigmas]
    yield from (place for place in places if place)


def _denoise(wiring: Wiring, schedule: str, sigmas: list[str]) -> Place | None:
    """How much is made anew: where the steps are, or where the sigmas are split by it."""
    split = (wiring.place(node, "denoise", "number") for node in sigmas[:-1])
    return next((place for place in split if place), None) or _first(wiring, schedule, ("denoise", "denoise_strength"))


def _first(wiring: Wiring, node: str, names: tuple[str, ...]) -> Place | None:
    return next((place for name in names if (place := wiring.place(node, name, "number"))), None)
