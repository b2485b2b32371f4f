"""What was typed at the prompt, kept for its owner alone, bounded, and never with the token in it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from prompt_toolkit.history import FileHistory

from stack.errors import StackError
from stack.sql.files import replacing

_SURROGATE = re.compile("[\ud800-\udfff]")
MOST_ENTRIES = 2000
MOST_BYTES = 1 << 20  # of the file; a pasted statement may be long


class PrivateHistory(FileHistory):
    """The history in a file of mode 0600. Raises StackError when the file cannot be made."""

    def __init__(self, path: Path, secret: str | None) -> None:
        self._secret = secret
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
            path.chmod(0o600)
        except OSError as exc:
            raise StackError(f"{path} cannot be written: {exc.strerror}") from exc
        super().__init__(path)
        self._bound(path)

    def store_string(self, string: str) -> None:
        """Keep one entry, if it is text: what is typed may hold bytes that are no UTF-8."""
        if string.strip() and not (self._secret and self._secret in string) and not _SURROGATE.search(string):
            super().store_string(string.strip())

    def _bound(self, path: Path) -> None:
        """Write the newest entries anew when there are too many; other prompts append to the new file from then on."""
        entries = list(self.load_history_strings())  # newest first
        kept = list(_newest(entries))
        if len(kept) < len(entries):
            with replacing(path, force=True) as file:
                os.fchmod(file.fileno(), 0o600)
            for entry in reversed(kept):
                self.store_string(entry)


def _newest(entries: Iterable[str]) -> Iterable[str]:
    size = 0
    for count, entry in enumerate(entries):
        size += len(entry.encode(errors="replace"))
        if count == MOST_ENTRIES or size > MOST_BYTES:
            return
        yield entry
