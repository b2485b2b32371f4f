"""``python -m stack.dash.screenshot FILE.svg [SECONDS] [light]``: the dashboard of the stack that runs, as a picture.

It is drawn without a terminal, after it has looked for so many seconds.
"""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

from config.settings import Settings
from stack.dash.app import Dash

_SIZE = (132, 42)
_SECONDS = 45.0
_TRIES = 300
_FONT = re.compile(
    r"@font-face \{.*?\n\s*\}\n", re.DOTALL
)  # fetched from elsewhere; whoever looks has a monospaced one


async def picture_of(dash: Dash, seconds: float) -> str:
    """The dashboard as SVG after ``seconds`` of looking, at a moment at which all is well, should there be one."""
    async with dash.run_test(size=_SIZE) as pilot:
        await pilot.pause(seconds)
        for _ in range(_TRIES):
            if dash.health is not None and dash.health.state == "ok":
                break
            await pilot.pause(0.2)
        drawn = dash.export_screenshot(title="readside dash")
    return _FONT.sub("", drawn)


def main() -> int:
    """Draw it into a file."""
    file, *rest = sys.argv[1:]
    light = "light" in rest
    seconds = next((float(word) for word in rest if word != "light"), _SECONDS)
    drawn = asyncio.run(picture_of(Dash(Settings(), light=light), seconds))
    Path(file).write_text(drawn + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
