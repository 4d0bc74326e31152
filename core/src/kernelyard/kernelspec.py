"""Kernelspecs: find them where Jupyter's programs find them, read them, say what is wrong with them, install them.

A kernelspec is a directory with a `kernel.json`. The directory's name, in any case, is the kernel's name; the first
directory of that name on the search path counts.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from traitlets import Bool, CaselessStrEnum, Dict, HasTraits, List, Set, TraitError, Type, Unicode
from traitlets.config import LoggingConfigurable

from kernelyard._kernel_command import format_argv, substitute_env
from kernelyard._kernel_json import provisioner_problems, raise_if_wrong, read_kernel_json
from kernelyard._native_kernel import NATIVE_KERNEL_NAME, native_kernel_json, native_resources
from kernelyard.errors import InvalidKernelSpecError, NoSuchKernel

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "NATIVE_KERNEL_NAME",
    "KernelSpec",
    "KernelSpecManager",
    "NoSuchKernel",
    "find_kernel_specs",
    "format_argv",
    "get_kernel_spec",
    "install_kernel_spec",
    "substitute_env",
]

_NAME = re.compile(r"[a-z0-9._-]+", re.IGNORECASE | re.ASCII)
_NAME_RULE = "Names of kernels are made of ASCII letters, digits and the separators - . _"


class KernelSpec(HasTraits):
    """What a kernel.json says.

    Attributes:
        argv: the kernel's command. `{connection_file}`, `{resource_dir}` and `{prefix}` in it are filled in at launch.
        name: as in the file; usually empty, since a kernel is named by its directory.
        mimetype: of the language's source code; mostly empty.
        display_name: the name that people see.
        language: the programming language.
        kernel_protocol_version: the version of the messaging protocol that the kernel speaks; empty if not said.
        env: environment variables to add, see `substitute_env`.
        resource_dir: the directory that the file is in.
        interrupt_mode: "signal" (SIGINT) or "message" (an interrupt_request on the control channel).
        metadata: anything else; `kernel_provisioner` in it says where the kernel runs.
    """

    argv: List[str] = List()
    name = Unicode()
    mimetype = Unicode()
    display_name = Unicode()
    language = Unicode()
    kernel_protocol_version = Unicode()
    env = Dict()
    resource_dir = Unicode()
    interrupt_mode = CaselessStrEnum(["message", "signal"], default_value="signal")
    metadata = Dict()

    @classmethod
    def from_resource_dir(cls, resource_dir: str) -> Self:
        """Read the kernel.json in a directory. Keys that are not known are passed over.

        Args:
            resource_dir: the path of the directory.

        Raises:
            FileNotFoundError: there is no kernel.json in it.
            InvalidKernelSpecError: the file cannot be used; the message has all that is wrong with it.
        """
        path = Path(resource_dir, "kernel.json")
        content = read_kernel_json(path)
        known = {k: v for k, v in content.items() if k in cls.class_trait_names() and k != "resource_dir"}
        try:
            return cls(resource_dir=str(resource_dir), **known)
        except TraitError as error:  # a trait that a subclass adds
            raise InvalidKernelSpecError(f"{path} cannot be used: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """Return the content of a kernel.json, every key with its value."""
        return {
            "argv": self.argv,
            "env": self.env,
            "display_name": self.display_name,
            "language": self.language,
            "interrupt_mode": self.interrupt_mode,
            "metadata": self.metadata,
            "kernel_protocol_version": self.kernel_protocol_version,
        }

    def to_json(self) -> str:
        """Return `to_dict()` as JSON text."""
        return json.dumps(self.to_dict())

    @property
    def provisioner_name(self) -> str:
        """The provisioner that runs the kernel; "local" if the kernelspec names none.

        Raises:
            InvalidKernelSpecError: the metadata, set by a program, has a stanza that cannot be used.
        """
        name = str(self._stanza.get("provisioner_name", "local"))
        return "local" if name == "local-provisioner" else name  # jupyter_client's name of the same thing

    @property
    def provisioner_config(self) -> dict[str, Any]:
        """The provisioner's settings, a new dict; raises what `provisioner_name` raises."""
        return dict(self._stanza.get("config", {}))

    @property
    def resources(self) -> dict[str, Any]:
        """The limits asked for (cpus, memory, ...), a new dict; raises what `provisioner_name` raises."""
        return dict(self._stanza.get("resources", {}))

    @property
    def _stanza(self) -> Mapping[str, Any]:
        source = str(Path(self.resource_dir, "kernel.json")) if self.resource_dir else "The kernelspec"
        raise_if_wrong(source, provisioner_problems(self.metadata))
        stanza: Mapping[str, Any] = self.metadata.get("kernel_provisioner", {})
        return stanza


class _Found(NamedTuple):
    """The kernelspecs that were found: those that can be used, and what is wrong with the others."""

    good: dict[str, tuple[str, KernelSpec]]
    broken: dict[str, InvalidKernelSpecError]


class KernelSpecManager(LoggingConfigurable):
    """Finds, reads, installs and removes kernelspecs.

    `allowed_kernelspecs` and `ensure_native_kernel` say what is listed. As in jupyter_client, they do not keep
    anybody from reading a kernelspec by its name; a policy plugin (`kernelyard_prepare`) can refuse to launch it.

    A kernelspec whose provisioner is not installed is found and read like any other: the launch says what to install.
    """

    kernel_spec_class = Type(
        KernelSpec, config=True, help="The class of the kernelspecs that are read, KernelSpec or a subclass."
    )
    ensure_native_kernel = Bool(
        default_value=True,
        config=True,
        help=f"Whether to list this Python's own kernel as {NATIVE_KERNEL_NAME} where ipykernel can be imported "
        "and no kernelspec of that name is installed.",
    )
    allowed_kernelspecs = Set(config=True, help="Names of the kernels to list; empty (the default): all.")
    data_dir = Unicode(help="The user's directory for Jupyter's data.")
    user_kernel_dir = Unicode(help="Where kernelspecs of this user are installed.")
    kernel_dirs: List[str] = List(help="Directories to search, most important first.")

    def _data_dir_default(self) -> str:
        from jupyter_core.paths import jupyter_data_dir

        return jupyter_data_dir()

    def _user_kernel_dir_default(self) -> str:
        return str(Path(self.data_dir, "kernels"))

    def _kernel_dirs_default(self) -> list[str]:
        from jupyter_core.paths import jupyter_path

        directories = jupyter_path("kernels")
        if importlib.util.find_spec("IPython") is not None:
            # Where IPython kept kernelspecs before Jupyter. Asking IPython for it would import half of IPython.
            ipython = os.environ.get("IPYTHONDIR") or "~/.ipython"
            home = os.path.expanduser(ipython)  # noqa: PTH111 - Path's raises where there is no home directory
            directories.append(str(Path(home, "kernels")))
        return directories

    def find_kernel_specs(self) -> dict[str, str]:
        """Return the directory of each kernel, by the kernel's name in lower case. No kernel.json is read."""
        found: dict[str, str] = {}
        for directory in self.kernel_dirs:
            for name, path in self._kernels_in(directory).items():
                found.setdefault(name, path)
        native = native_resources()
        if self.ensure_native_kernel and native is not None:
            found.setdefault(NATIVE_KERNEL_NAME, native)
        if self.allowed_kernelspecs:
            allowed = {name.lower() for name in self.allowed_kernelspecs}
            found = {name: path for name, path in found.items() if name in allowed}
        return found

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Return the kernelspec of a name, in any case.

        Raises:
            NoSuchKernel: there is none; the hint has the names that exist and the nearest one.
            InvalidKernelSpecError: its kernel.json cannot be used.
        """
        resource_dir = self._find_spec_directory(kernel_name.lower())
        if resource_dir is None:
            raise self._no_such_kernel(kernel_name)
        return self._get_kernel_spec_by_name(kernel_name, resource_dir)

    def get_all_specs(self) -> dict[str, Any]:
        """Return `{name: {"resource_dir": path, "spec": content of the kernel.json}}`.

        Those that cannot be used are left out, with a warning in the log; `broken_specs` has them.
        """
        found = self._read_all()
        for name, error in found.broken.items():
            self.log.warning("Kernelspec %r is left out. %s", name, error)
        return {
            name: {"resource_dir": path, "spec": spec.to_dict()} for name, (path, spec) in found.good.items()
        }

    def broken_specs(self) -> dict[str, InvalidKernelSpecError]:
        """Return the kernelspecs that cannot be used, by name, with the errors that say why."""
        return self._read_all().broken

    def install_kernel_spec(
        self,
        source_dir: str,
        kernel_name: str | None = None,
        user: bool = False,
        replace: bool | None = None,
        prefix: str | None = None,
    ) -> str:
        """Install a copy of a directory as a kernelspec, in place of an installed one of that name.

        A program that reads it meanwhile finds the old one or the new one, not a mixture.

        Args:
            source_dir: the directory with the kernel.json.
            kernel_name: the kernel's name; by default the name of `source_dir`. It is put in lower case.
            user: whether to install for this user only. By default it is installed for the whole system.
            replace: has no effect, as in jupyter_client; giving it is deprecated.
            prefix: install into PREFIX/share/jupyter/kernels; `sys.prefix` is the environment of this Python.

        Returns:
            The path of the installed directory.

        Raises:
            ValueError: the name is not allowed, both `user` and `prefix` were given, or the place is in `source_dir`.
            InvalidKernelSpecError: the kernel.json in it cannot be used.
            OSError: it cannot be read, or the destination cannot be written (PermissionError). An installed
                kernelspec of that name is as it was.
        """
        from kernelyard._kernelspec_install import put_directory

        if replace is not None:
            import warnings

            warnings.warn(
                "replace= has no effect: an installed kernelspec of the same name is always replaced.",
                DeprecationWarning,
                stacklevel=2,
            )
        if user and prefix:
            raise ValueError("user= and prefix= are two different places: give one of them.")
        source = Path(source_dir).absolute()
        name = (kernel_name or Path(os.path.normpath(source)).name).lower()  # programs pass "" for no name
        if not _is_valid_name(name):
            raise ValueError(f"{name!r} cannot be the name of a kernel. {_NAME_RULE}.")

        destination = Path(self._get_destination_dir(name, user=user, prefix=prefix))
        if source.resolve() in destination.resolve().parents:
            raise ValueError(f"{source} cannot be copied into itself, to {destination}.")
        if destination.parent not in map(Path, self.kernel_dirs):
            self.log.warning(
                "%s is not on the search path of kernelspecs: %s may not be found there. Searched: %s",
                destination.parent,
                name,
                self.kernel_dirs,
            )
        put_directory(source, destination, lambda copy: self._check_before_install(source, copy))
        self.log.info("Installed kernelspec %s in %s", name, destination)
        return str(destination)

    def remove_kernel_spec(self, name: str) -> str:
        """Remove the kernelspec that `find_kernel_specs` finds under a name, and return its path.

        Raises:
            NoSuchKernel: there is none, or it comes with ipykernel and was never installed as a kernelspec.
            OSError: it cannot be removed.
        """
        from kernelyard._kernelspec_install import remove_directory

        path = self.find_kernel_specs().get(name.lower())
        if path is None:
            raise self._no_such_kernel(name)
        if path == native_resources():
            raise NoSuchKernel(
                name,
                f"{name} is not installed as a kernelspec: it is there because ipykernel is.",
                hint="`pip uninstall ipykernel` removes it; `ensure_native_kernel = False` hides it.",
            )
        remove_directory(Path(path))
        return path

    def _kernels_in(self, directory: str) -> dict[str, str]:
        try:
            # Of names that differ in case only, the last one counts: in ASCII that is the one in lower case.
            names = sorted(os.listdir(directory))  # noqa: PTH208 - to Path, "" is the current directory
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            self.log.warning("The directory of kernelspecs %s cannot be read: %s", directory, error.strerror)
            return {}
        kernels = {}
        for name in names:
            path = Path(directory, name)
            if os.path.isfile(path / "kernel.json"):  # noqa: PTH113 - Path's raises where it may not look
                if not _is_valid_name(name):
                    self.log.warning("%s: not every program takes such a name. %s.", path, _NAME_RULE)
                kernels[name.lower()] = str(path)
        return kernels

    def _find_spec_directory(self, kernel_name: str) -> str | None:
        for directory in self.kernel_dirs:
            path = self._kernels_in(directory).get(kernel_name)
            if path is not None:
                return path
        return native_resources() if kernel_name == NATIVE_KERNEL_NAME else None

    def _get_kernel_spec_by_name(self, kernel_name: str, resource_dir: str) -> KernelSpec:
        spec_class: type[KernelSpec] = self.kernel_spec_class
        if kernel_name.lower() == NATIVE_KERNEL_NAME and resource_dir == native_resources():
            return spec_class(resource_dir=resource_dir, **native_kernel_json())
        try:
            return spec_class.from_resource_dir(resource_dir)
        except FileNotFoundError as error:  # removed since it was found
            raise self._no_such_kernel(kernel_name) from error

    def _read_all(self) -> _Found:
        found = _Found({}, {})
        # A subclass that has kernels of its own must be asked for them.
        overridden = type(self).get_kernel_spec is not KernelSpecManager.get_kernel_spec
        for name, path in self.find_kernel_specs().items():
            try:
                spec = self.get_kernel_spec(name) if overridden else self._get_kernel_spec_by_name(name, path)
                found.good[name] = (path, spec)
            except NoSuchKernel:
                continue  # it was removed since it was found
            except InvalidKernelSpecError as error:
                found.broken[name] = error
            except Exception as error:  # noqa: BLE001 - a subclass's code; it must not hide the other kernels
                found.broken[name] = InvalidKernelSpecError(f"{path} cannot be read: {error!r}")
                found.broken[name].__cause__ = error
        return found

    def _check_before_install(self, source: Path, copy: Path) -> None:
        try:
            self.kernel_spec_class.from_resource_dir(str(copy))
        except InvalidKernelSpecError as error:  # name the file that the caller knows
            raise InvalidKernelSpecError(
                error.message.replace(str(copy), str(source)), hint=error.hint
            ) from None
        except FileNotFoundError:
            raise InvalidKernelSpecError(f"{source} is not a kernelspec: it has no kernel.json.") from None

    def _get_destination_dir(self, kernel_name: str, user: bool = False, prefix: str | None = None) -> str:
        if user:
            return str(Path(self.user_kernel_dir, kernel_name))
        if prefix:  # programs pass "" for no prefix
            return str(Path(prefix).absolute() / "share" / "jupyter" / "kernels" / kernel_name)
        from jupyter_core.paths import SYSTEM_JUPYTER_PATH

        return str(Path(SYSTEM_JUPYTER_PATH[0], "kernels", kernel_name))

    def _no_such_kernel(self, name: str) -> NoSuchKernel:
        return NoSuchKernel(name, hint=_hint(name, sorted(self.find_kernel_specs())))


def find_kernel_specs() -> dict[str, str]:
    """Return the directory of each kernel, by the kernel's name in lower case."""
    return KernelSpecManager().find_kernel_specs()


def get_kernel_spec(kernel_name: str) -> KernelSpec:
    """Return the kernelspec of a name; see `KernelSpecManager.get_kernel_spec`.

    Raises:
        NoSuchKernel: there is none; the hint has the names that exist and the nearest one.
        InvalidKernelSpecError: its kernel.json cannot be used.
    """
    return KernelSpecManager().get_kernel_spec(kernel_name)


def install_kernel_spec(
    source_dir: str,
    kernel_name: str | None = None,
    user: bool = False,
    replace: bool | None = None,
    prefix: str | None = None,
) -> str:
    """Install a copy of a directory as a kernelspec; see `KernelSpecManager.install_kernel_spec`."""
    return KernelSpecManager().install_kernel_spec(source_dir, kernel_name, user, replace, prefix)


def _is_valid_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and name not in (".", "..")


def _hint(name: str, known: Sequence[str]) -> str:
    """Say which kernels there are, and which one was probably meant."""
    if not known:
        return "No kernelspec is installed. The kernel for Python: pip install ipykernel"
    import difflib

    nearest = difflib.get_close_matches(name.lower(), known, n=1)
    meant = f"Did you mean {nearest[0]!r}? " if nearest else ""
    rule = "" if _is_valid_name(name) else f"{_NAME_RULE}. "
    return f"{rule}{meant}Installed: {', '.join(known)}."
