"""What one whole look at a picture costs beside its decode alone: CPU time, same process, interleaved.

    python -m benchmarks.images [--json] [--rounds N]

Promise: `images.inspect` (sha256, checks, fingerprint, colour, two thumbnails) of a 1024 px PNG of about 1.7 MB
costs at most 1.2 times the decode. Exit code 1 if it does not hold.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from assetline.images import inspect

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

PROMISE = 1.2
PNG_OF_COMFYUI: dict[str, Any] = {"format": "PNG", "compress_level": 4}
CASES: tuple[tuple[str, int, dict[str, Any]], ...] = (
    ("1024 PNG", 1024, PNG_OF_COMFYUI),  # the promise is on this one
    ("1024 WebP q85", 1024, {"format": "WEBP", "quality": 85}),
    ("1024 JPEG q90", 1024, {"format": "JPEG", "quality": 90}),
    ("2048 PNG", 2048, PNG_OF_COMFYUI),
    ("2048 JPEG q90", 2048, {"format": "JPEG", "quality": 90}),
)


@dataclass(frozen=True)
class Line:
    """One line of the table; ms are CPU, the least of all rounds."""

    picture: str
    kib: int
    decode_ms: float
    inspect_ms: float
    ratio: float


def photo(side: int) -> Image.Image:
    """A picture with a photograph's spectrum (amplitude 1/f^1.5, correlated channels) and light grain."""
    rng = np.random.default_rng(1)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    frequency[0, 0] = np.inf

    def layer() -> npt.NDArray[np.float64]:
        noise: npt.NDArray[np.float64] = np.fft.irfft2(
            np.fft.rfft2(rng.normal(size=(side, side))) / frequency**1.5, s=(side, side)
        )
        return noise / float(noise.std())

    luma = layer()
    pixels = np.stack([128 + 45 * (0.95 * luma + 0.05 * layer()) for _ in range(3)], axis=-1)
    return Image.fromarray(np.clip(pixels + rng.normal(0, 2, pixels.shape), 0, 255).astype(np.uint8))


def decode(data: bytes) -> None:
    Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")).load()


def cpu_ms(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return (time.process_time() - started) * 1e3


def measure(name: str, side: int, options: dict[str, Any], rounds: int) -> Line:
    buffer = io.BytesIO()
    photo(side).save(buffer, **options)
    data = buffer.getvalue()
    inspect(data, (side, side))  # the first one imports scipy
    both = [(cpu_ms(lambda: decode(data)), cpu_ms(lambda: inspect(data, (side, side)))) for _ in range(rounds)]
    alone, whole = (min(times) for times in zip(*both, strict=True))
    return Line(name, len(data) // 1024, round(alone, 1), round(whole, 1), round(whole / alone, 2))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    parser.add_argument("--rounds", type=int, default=20, help="the least time of so many is taken (20)")
    options = parser.parse_args()
    lines = [measure(*case, options.rounds) for case in CASES]
    kept = lines[0].ratio <= PROMISE
    if options.json:
        print(json.dumps({"promise": PROMISE, "kept": kept, "lines": [asdict(line) for line in lines]}))
        return 0 if kept else 1
    print(f"{'picture':<15}{'KiB':>7}{'decode ms':>11}{'inspect ms':>12}{'ratio':>7}")
    for line in lines:
        print(f"{line.picture:<15}{line.kib:>7}{line.decode_ms:>11}{line.inspect_ms:>12}{line.ratio:>7}")
    print(f"promise: 1024 PNG at most {PROMISE} x its decode: {'kept' if kept else 'BROKEN'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
