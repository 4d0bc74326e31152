"""The site's configuration, as the command reads it."""

from __future__ import annotations

from pathlib import Path

from traitlets.config import Config
from traitlets.config.loader import ConfigFileNotFound, JSONFileConfigLoader, PyFileConfigLoader

from kernelyard.errors import InvalidConfigError

__all__ = ["NAME", "site_config"]

#: How the files are called, without the ending.
NAME = "kernelyard_config"


def site_config() -> Config:
    """Return what the files kernelyard_config.py and .json say, in the directories of `jupyter --paths`.

    The directory that comes first there wins, as for Jupyter's own files; in one directory the .json file does.

    Raises:
        InvalidConfigError: a file cannot be read. The message names it.
    """
    from jupyter_core.paths import jupyter_config_path

    merged = Config()
    for directory in reversed(jupyter_config_path()):
        for loader, ending in ((PyFileConfigLoader, "py"), (JSONFileConfigLoader, "json")):
            name = f"{NAME}.{ending}"
            try:
                merged.merge(loader(name, path=directory).load_config())
            except ConfigFileNotFound:
                continue
            except Exception as error:
                raise InvalidConfigError(
                    f"{Path(directory, name)} cannot be read: {type(error).__name__}: {error}",
                    hint="Repair that file, or move it away.",
                ) from error
    return merged
