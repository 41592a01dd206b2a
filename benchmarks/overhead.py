"""The extra cost of a call over ``torch.nn.Conv2d``, on an input so small that it dominates.

``python -m benchmarks.overhead`` measures with one thread and prints this part of the report alone.
Figures are of the shortest turns, since other programs only lengthen one; in brackets of medians.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

import torch

from torchconv2d import Conv2d, conv_general_dilated

from .demands import Finding, verdict
from .machine import heading
from .timing import interleave

LIMIT = 5.0  # microseconds, of the layer
IMPORT_LIMIT = 30.0  # milliseconds, over torch's own

_IMPORT = """
import time, numpy, torch
start = time.perf_counter()
import torchconv2d
print(1e3 * (time.perf_counter() - start))
"""


def importing(rounds: int = 15) -> Finding:
    """The time of the import if torch is imported already, from compiled files, as pip's are."""
    command = [sys.executable, "-c", _IMPORT]
    compiling = {n: value for n, value in os.environ.items() if n != "PYTHONDONTWRITEBYTECODE"}
    took = [
        float(subprocess.check_output(command, text=True, env=compiling)) for _ in range(rounds + 1)
    ][1:]  # the first one compiles
    least, median = min(took), statistics.median(took)
    short = least > IMPORT_LIMIT
    text = f"import torchconv2d: + {least:.0f} ms ({median:.0f}) over torch's  {verdict(short)}"
    return Finding(text, short)


def overhead(rounds: int = 201) -> list[Finding]:
    """Microseconds over torch's layer: for the layer in both layouts, and for the function."""
    with torch.no_grad():
        findings = _overhead(rounds, "inference")
    return findings + _overhead(rounds, "training")


def _overhead(rounds: int, mode: str) -> list[Finding]:
    x = torch.randn(1, 8, 8, 16)
    first = x.permute(0, 3, 1, 2)
    theirs = torch.nn.Conv2d(16, 16, 3, padding=1, bias=False)
    ours = Conv2d((8, 8, 16), 16, 3)
    channel_first = Conv2d((16, 8, 8), 16, 3, channel_first=True)
    kernel = ours.kernel.detach().contiguous()
    spec = ("NHWC", "HWIO", "NHWC")
    times = interleave(
        {
            "torch": lambda: theirs(first),
            "layer": lambda: ours(x),
            "channel-first": lambda: channel_first(first),
            "stateless": lambda: conv_general_dilated(
                x, kernel, (1, 1), "SAME", dimension_numbers=spec
            ),
        },
        rounds,
    )
    base = times["torch"]
    text = f"torch.nn.Conv2d on 1x8x8x16, {mode}, forward: {base.least * 1e6:.1f} us a call"
    findings = [Finding(f"{text} ({base.median * 1e6:.1f})")]
    for name in ("layer", "channel-first", "stateless"):
        more = (times[name].least - base.least) * 1e6
        text = f"    {name:14} + {more:.1f} us ({(times[name].median - base.median) * 1e6:.1f})"
        if name == "stateless" or mode == "training":  # no limit is set for them
            findings.append(Finding(text))
        else:
            short = more > LIMIT
            findings.append(Finding(f"{text}  {verdict(short)}", short))
    return findings


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(heading())
    print("\n".join(finding.text for finding in [*overhead(), importing()]))
