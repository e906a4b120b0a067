"""After a failure nothing is tried for some seconds, in any process: who asks again pays the timeout."""

from __future__ import annotations

import os
import time

MARK = "unavailable"


class Circuit:
    """Open while the mark in the spool directory is fresh. The own clock stands in where the mark cannot be written."""

    def __init__(self, folder: str, seconds: float):
        self.mark = os.path.join(folder, MARK)
        self.seconds = seconds
        self.until = 0.0
        self.tripped = False

    def is_open(self) -> bool:
        if time.monotonic() < self.until:
            return True
        try:
            age = time.time() - os.stat(self.mark).st_mtime
        except OSError:
            return False
        # A mark from the future is one of a clock that was put back: do not wait for it.
        return 0 <= age < self.seconds

    def trip(self) -> None:
        self.tripped = True
        try:
            os.makedirs(os.path.dirname(self.mark), mode=0o700, exist_ok=True)
            with open(self.mark, "wb"):
                os.utime(self.mark)
        except OSError:
            # The spool logs that its directory cannot be written.
            self.until = time.monotonic() + self.seconds

    def reset(self) -> bool:
        """Returns whether it was tripped, by this process or another."""
        was, self.tripped, self.until = self.tripped, False, 0.0
        try:
            os.unlink(self.mark)
            return True
        except OSError:
            return was
