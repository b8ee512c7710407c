"""Colours and forms of the picture, for light and dark surroundings, as one style sheet.

Hues are Paul Tol's "bright" ones without red, which colour-blind people tell apart; red is for faults alone. Nothing is
told by colour alone: groups have letters, loads and absences have hatchings and words. No CSS variables: mail programs
and image viewers that draw SVG do not know them.
"""

from __future__ import annotations

from dataclasses import dataclass

LETTERS = "ABCDEF"  # as many groups as have a colour; what is left shares the last one


@dataclass(frozen=True)
class Theme:
    """The colours of one surrounding. `groups`: a fill for each letter, then for all other groups."""

    paper: str
    ink: str
    soft: str
    grid: str
    track: str
    fault: str
    caution: str
    groups: tuple[str, ...]
    on_groups: tuple[str, ...]


LIGHT = Theme(
    paper="#fbfbfa",
    ink="#1d1c1a",
    soft="#63605a",
    grid="#dddbd6",
    track="#efeeeb",
    fault="#b3261e",
    caution="#8a5300",
    groups=("#4477aa", "#ddaa33", "#228833", "#66ccee", "#aa3377", "#a0643c", "#8d8a84"),
    on_groups=("#fff", "#1d1c1a", "#fff", "#1d1c1a", "#fff", "#fff", "#fff"),
)
DARK = Theme(
    paper="#171716",
    ink="#ecebe7",
    soft="#a3a09a",
    grid="#383734",
    track="#232321",
    fault="#ff9a90",
    caution="#e9b65b",
    groups=("#5b93cc", "#d9ac42", "#43a556", "#66ccee", "#cf6aa2", "#bd845c", "#8f8c86"),
    on_groups=("#10100f", "#10100f", "#10100f", "#10100f", "#10100f", "#10100f", "#10100f"),
)
_FONT = (
    '.timeline{font:12px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","Noto Sans",Arial,sans-serif}'
    ".timeline .h{font-size:15px;font-weight:650}"
    ".timeline .n{font-variant-numeric:tabular-nums}"
    ".timeline .k{font-size:10px;font-weight:700}"
    ".timeline .w{font-size:10px;font-weight:600}"
    ".timeline .e{text-anchor:end}.timeline .m{text-anchor:middle}"
    ".timeline .x{fill:none;stroke-width:1.6;stroke-linecap:round}"
)


def _rules(theme: Theme) -> str:
    rules = {
        "p": f"fill:{theme.paper}",
        "t": f"fill:{theme.track}",
        "i": f"fill:{theme.ink}",
        "s": f"fill:{theme.soft}",
        "g": f"stroke:{theme.grid};stroke-width:1",
        "v": f"stroke:{theme.soft};stroke-width:1;stroke-dasharray:2 2",
        "f": f"fill:{theme.fault}",
        "x": f"stroke:{theme.fault}",
        "f0": f"fill:{theme.fault};fill-opacity:.13",
        "fl": f"stroke:{theme.fault};stroke-width:1.2;stroke-opacity:.75",
        "c": f"fill:{theme.caution}",
        "c0": f"fill:{theme.caution};fill-opacity:.15",
        "cl": f"fill:{theme.caution};fill-opacity:.8",
        "z": f"fill:{theme.soft};fill-opacity:.12",
        "zl": f"stroke:{theme.soft};stroke-width:1.5;stroke-opacity:.55",
        "b": f"fill:{theme.paper};fill-opacity:.85",
    }
    for number, (fill, on) in enumerate(zip(theme.groups, theme.on_groups, strict=True)):
        rules |= {
            f"g{number}": f"fill:{fill}",
            f"o{number}": f"fill:{on}",
            f"l{number}": f"stroke:{fill};stroke-width:2.2",
            f"w{number}": f"fill:{fill};fill-opacity:.22",
        }
    return "".join(f".timeline .{name}{{{rule}}}" for name, rule in rules.items())


STYLE = _FONT + _rules(LIGHT) + "@media (prefers-color-scheme:dark){" + _rules(DARK) + "}"


def _stripes(name: str, wash: str, line: str, turn: int, apart: int) -> str:
    return (
        f'<pattern id="tl-{name}" width="{apart}" height="{apart}" patternUnits="userSpaceOnUse" '
        f'patternTransform="rotate({turn})"><rect class="{wash}" width="{apart}" height="{apart}"/>'
        f'<path class="{line}" d="M0 0V{apart}"/></pattern>'
    )


_LOADS = "".join(_stripes(f"load{number}", f"w{number}", f"l{number}", 45, 5) for number in range(len(LETTERS) + 1))
_DOTS = (
    '<pattern id="tl-quarantined" width="6" height="6" patternUnits="userSpaceOnUse"><rect class="c0" width="6" '
    'height="6"/><circle class="cl" cx="3" cy="3" r="1"/></pattern>'
)
PATTERNS = (
    "<defs>" + _LOADS + _stripes("down", "f0", "fl", -45, 7) + _stripes("paused", "z", "zl", 0, 6) + _DOTS + "</defs>"
)
