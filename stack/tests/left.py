"""Which processes belong to a stack's folder: the judge of "it leaves nothing behind"."""

from pathlib import Path

import psutil

ASKED = ["pid", "status", "cmdline", "cwd", "environ"]


def left_behind(folder: Path) -> list[str]:
    """The processes that know `folder`, living: by their arguments, their place or what they
    were told (services have it nowhere but in their environment)."""
    return [
        f"{process.pid}: {' '.join(process.info['cmdline'] or ())}"
        for process in psutil.process_iter(ASKED)
        if process.info["status"] != psutil.STATUS_ZOMBIE and str(folder) in _told(process.info)
    ]


def _told(info: dict[str, object]) -> str:
    return f"{info['cmdline']} {info['cwd']} {info['environ']}"
