"""Put the directory of a kernelspec in its place, replace it, take it away: so that no reader sees half of it.

The work is done in a staging directory inside the same directory of kernelspecs, hence on the same file system, and
a rename makes the result visible. What is staged lies one level deeper than kernelspecs do, so no program that
lists them meanwhile (jupyter_client too) takes it for one.
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["put_directory", "remove_directory"]


def put_directory(source: Path, destination: Path, check: Callable[[Path], object]) -> None:
    """Copy `source` to `destination`, in place of the directory that is there.

    A reader finds the old directory, then, for the moment between two renames, none, then the new one whole. If
    anything fails, the old one stays. `source` may be `destination` itself.

    Args:
        source: the directory to copy. What symbolic links in it point to is copied.
        destination: the directory to make; its parents are made where they are missing.
        check: called with the path of the copy before it becomes visible; what it raises ends the installation.

    Raises:
        OSError: something cannot be read, written or replaced, or `destination` is a file.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    with _staging_beside(destination) as stage:
        copy = stage / "new"
        shutil.copytree(source, copy)
        _make_writable(copy)
        check(copy)
        for attempt in itertools.count():
            if _swap_in(copy, destination, aside=stage / f"old-{attempt}"):
                return


def remove_directory(path: Path) -> None:
    """Remove the directory `path`; of a symbolic link, only the link.

    Raises:
        OSError: it is not there, or must not be removed.
    """
    with _staging_beside(path) as stage:
        path.rename(stage / "old")


@contextmanager
def _staging_beside(path: Path) -> Iterator[Path]:
    stage = Path(tempfile.mkdtemp(prefix=".kernelyard-", dir=path.parent))
    try:
        yield stage
    finally:
        shutil.rmtree(stage)


def _swap_in(copy: Path, destination: Path, aside: Path) -> bool:
    """Return False if another installation put its directory there between our two renames."""
    try:
        # A file is not moved out of the way, since no installation made it: the second rename is refused.
        if destination.is_dir() or destination.is_symlink():
            with suppress(FileNotFoundError):  # another installation moved it first
                destination.rename(aside)
        copy.rename(destination)
    except BaseException as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        if os.path.lexists(aside) and not os.path.lexists(destination):
            aside.rename(destination)
        raise
    return True


def _make_writable(tree: Path) -> None:
    """Directories copied from a read-only store could be neither renamed nor, later, replaced."""
    for directory in (tree, *(path for path in tree.rglob("*") if path.is_dir())):
        directory.chmod(stat.S_IMODE(directory.stat().st_mode) | stat.S_IRWXU)
