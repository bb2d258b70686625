"""The wall clock of real processes, moved while they run, by Debian's libfaketime."""

from __future__ import annotations

from pathlib import Path

from tests.support import lacking

_LIBRARY = "faketime/libfaketime.so.1"
_FOLDERS = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib")


class WallClock:
    """
    A wall clock for processes that are started with :attr:`environment`.

    :param folder: for the file that the clock is set by.
    :ivar environment: the variables by which a process and its children follow this clock.
    :raises SkipTest: where libfaketime is missing; in CI it is a failure.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "wall-clock"
        self.step(0)
        self.environment = {
            "LD_PRELOAD": str(_find_library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def step(self, seconds: int) -> None:
        """Move the clock, to so many seconds from the true time; running processes see it at once."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.rename(self._file)


def forget_clocks() -> None:
    """Remove what libfaketime has left in shared memory for processes that are gone."""
    for path in Path("/dev/shm").glob("*faketime_*_*"):
        process = path.name.rpartition("_")[2]
        if not Path("/proc", process).exists():
            path.unlink(missing_ok=True)


def _find_library() -> Path:
    for folder in map(Path, _FOLDERS):
        for path in (folder / _LIBRARY, *sorted(folder.glob(f"*/{_LIBRARY}"))):
            if path.exists():
                return path
    raise lacking("libfaketime is not installed")
