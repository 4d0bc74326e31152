"""Kernelspecs: found, read, refused, installed and removed; side by side with jupyter_client on the same directories."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from jupyter_client import kernelspec as jupyter
from kernelyard.errors import InvalidKernelSpecError, NoSuchKernel
from kernelyard.kernelspec import (
    NATIVE_KERNEL_NAME,
    KernelSpecManager,
    find_kernel_specs,
    get_kernel_spec,
    install_kernel_spec,
)
from traitlets.config import Config

GOOD = {"argv": ["true", "{connection_file}"], "display_name": "Good", "language": "none"}


def write_spec(parent: Path, name: str, content: object = GOOD, **more: object) -> Path:
    directory = parent / name
    directory.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        (directory / "kernel.json").write_bytes(content)
    else:
        (directory / "kernel.json").write_text(json.dumps({**content, **more} if more else content))
    return directory


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A user without kernelspecs: neither manager looks into the directories of this machine's user."""
    for name in [name for name in os.environ if name.startswith(("JUPYTER", "IPYTHON", "XDG"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    (tmp_path / "home").mkdir()
    (tmp_path / "ipython").mkdir()
    return tmp_path


@pytest.fixture
def two(tmp_path):
    """Two directories of kernelspecs, and a manager of ours and one of jupyter_client's that search just these."""
    directories = [tmp_path / "first", tmp_path / "second"]
    for directory in directories:
        directory.mkdir()
    paths = [str(directory) for directory in directories]
    return (*directories, KernelSpecManager(kernel_dirs=paths), jupyter.KernelSpecManager(kernel_dirs=paths))


def names_in(directory: Path | str) -> list[str]:
    return sorted(path.name for path in Path(directory).iterdir())


# ---------------------------------------------------------------- the search


def test_both_search_the_same_path(home, monkeypatch):
    assert KernelSpecManager().kernel_dirs == jupyter.KernelSpecManager().kernel_dirs
    monkeypatch.setenv("JUPYTER_PATH", os.pathsep.join([str(home / "a"), str(home / "b")]))
    ours, theirs = KernelSpecManager(), jupyter.KernelSpecManager()
    assert ours.kernel_dirs == theirs.kernel_dirs
    assert ours.kernel_dirs[:2] == [str(home / "a" / "kernels"), str(home / "b" / "kernels")]
    assert (ours.data_dir, ours.user_kernel_dir) == (theirs.data_dir, theirs.user_kernel_dir)


def test_both_find_the_same_kernels(home, monkeypatch):
    monkeypatch.setenv("JUPYTER_PATH", str(home / "a"))
    for parent in ("a", "data"):
        write_spec(home / parent / "kernels", "Both")
        write_spec(home / parent / "kernels", f"only-{parent}")
    write_spec(home / "ipython" / "kernels", "old")
    (home / "a" / "kernels" / "no-kernel-json").mkdir()
    (home / "a" / "kernels" / "a-file").touch()

    found = find_kernel_specs()
    assert found == jupyter.find_kernel_specs()
    assert found["both"] == str(home / "a" / "kernels" / "Both")
    assert {"only-a", "only-data", "old", NATIVE_KERNEL_NAME} <= set(found)
    assert get_kernel_spec("old").to_dict() == jupyter.get_kernel_spec("old").to_dict()


def test_the_directory_that_comes_first_wins(two):
    first, second, ours, theirs = two
    write_spec(second, "same", display_name="second")
    write_spec(first, "SAME", display_name="first")
    assert ours.find_kernel_specs() == theirs.find_kernel_specs()
    assert ours.get_kernel_spec("Same").display_name == theirs.get_kernel_spec("Same").display_name == "first"


def test_of_two_names_that_differ_in_case_the_lower_one_wins(two):
    first, _, ours, _ = two
    for name in ("FOO", "foo", "Foo"):
        write_spec(first, name, display_name=name)
    if len(names_in(first)) == 3:  # not on a file system that ignores case
        assert ours.get_kernel_spec("FOO").display_name == "foo"
        assert ours.find_kernel_specs()["foo"] == str(first / "foo")


def test_what_is_listed_is_what_jupyter_client_lists(two):
    first, second, ours, theirs = two
    write_spec(first, "one", env={"A": "${B}"}, interrupt_mode="message", metadata={"debugger": True})
    write_spec(second, "two", kernel_protocol_version="5.5")
    assert ours.get_all_specs() == theirs.get_all_specs()


def test_a_directory_that_is_no_directory_is_passed_over(two, tmp_path):
    first, _, ours, _ = two
    write_spec(first, "one")
    (tmp_path / "file").touch()
    ours.kernel_dirs = ["", str(tmp_path / "missing"), str(tmp_path / "file"), str(first)]
    assert "one" in ours.find_kernel_specs()


def test_what_cannot_be_read_does_not_hide_the_rest(two, caplog):
    first, second, ours, _ = two
    write_spec(second, "one")
    closed = write_spec(second, "closed")
    (closed / "kernel.json").chmod(0)
    first.chmod(0)
    try:
        if os.access(first, os.R_OK):
            pytest.skip("nothing is closed to this user")
        assert set(ours.get_all_specs()) == {"one", NATIVE_KERNEL_NAME}
        assert "Permission denied" in str(ours.broken_specs()["closed"])
        assert str(first) in caplog.text
    finally:
        first.chmod(0o700)


def test_an_odd_directory_name_is_listed_with_a_warning(two, caplog):
    first, _, ours, theirs = two
    write_spec(first, "with space")
    with pytest.warns(UserWarning, match="Invalid kernelspec directory name"):
        expected = theirs.find_kernel_specs()
    assert ours.find_kernel_specs() == expected
    assert "with space" in caplog.text


def test_allowed_kernelspecs_limit_the_lists_only(two):
    first, _, ours, theirs = two
    write_spec(first, "yes")
    write_spec(first, "no")
    ours.allowed_kernelspecs = theirs.allowed_kernelspecs = {"yes"}
    assert ours.find_kernel_specs() == theirs.find_kernel_specs() == {"yes": str(first / "yes")}
    assert set(ours.get_all_specs()) == {"yes"}
    assert ours.get_kernel_spec("no").to_dict() == theirs.get_kernel_spec("no").to_dict()


def test_traits_come_from_configuration_and_a_subclass_may_set_its_own_defaults(tmp_path):
    class Mine(KernelSpecManager):
        def _kernel_dirs_default(self):
            return [*super()._kernel_dirs_default(), str(tmp_path)]

    write_spec(tmp_path, "mine")
    config = Config({"KernelSpecManager": {"ensure_native_kernel": False, "allowed_kernelspecs": {"mine"}}})
    assert Mine(config=config).find_kernel_specs() == {"mine": str(tmp_path / "mine")}


# ---------------------------------------------------------------- the native kernel


def test_the_native_kernel_is_the_one_that_ipykernel_describes(two):
    _, _, ours, theirs = two
    assert ours.find_kernel_specs() == theirs.find_kernel_specs()
    expected = theirs.get_kernel_spec(NATIVE_KERNEL_NAME)
    found = ours.get_kernel_spec("Python3")
    assert found.to_dict() == expected.to_dict()
    assert found.resource_dir == expected.resource_dir
    assert ours.get_all_specs() == theirs.get_all_specs()


def test_the_native_kernel_gives_way_to_an_installed_one_and_to_the_setting(two):
    first, _, ours, theirs = two
    ours.ensure_native_kernel = theirs.ensure_native_kernel = False
    assert ours.find_kernel_specs() == theirs.find_kernel_specs() == {}
    ours.ensure_native_kernel = theirs.ensure_native_kernel = True
    write_spec(first, NATIVE_KERNEL_NAME, display_name="installed")
    assert ours.find_kernel_specs() == theirs.find_kernel_specs() == {"python3": str(first / "python3")}
    assert ours.get_kernel_spec("python3").display_name == "installed"


def test_no_ipykernel_no_native_kernel(two, monkeypatch):
    _, _, ours, _ = two
    monkeypatch.setitem(sys.modules, "ipykernel", None)  # Python's own way to say that it cannot be imported
    assert ours.find_kernel_specs() == {}
    with pytest.raises(NoSuchKernel, match="pip install ipykernel"):
        ours.get_kernel_spec("python3")


def test_reading_the_native_kernel_imports_neither_ipykernel_nor_jupyter_client():
    code = (
        "import sys, kernelyard.kernelspec as k\n"
        "early = {'jupyter_core', 'importlib.metadata', 'difflib', 'shutil', 'zmq'} & set(sys.modules)\n"
        "m = k.KernelSpecManager(); m.get_all_specs(); m.kernel_dirs = []; m.get_kernel_spec('python3')\n"
        "late = {'ipykernel', 'IPython', 'jupyter_client'} & set(sys.modules)\n"
        "print(sorted(early), sorted(late))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["[]", "[]"]


# ---------------------------------------------------------------- no such kernel and broken ones


def test_an_unknown_name_is_told_what_there_is_and_what_comes_near(two):
    first, _, ours, _ = two
    write_spec(first, "julia-1.11")
    write_spec(first, "ir")
    with pytest.raises(NoSuchKernel) as caught:
        ours.get_kernel_spec("julia-1.10")
    assert isinstance(caught.value, KeyError)
    assert caught.value.name == "julia-1.10"
    assert str(caught.value).splitlines() == [
        "No such kernel named julia-1.10",
        "Did you mean 'julia-1.11'? Installed: ir, julia-1.11, python3.",
    ]


def test_a_name_that_no_kernel_can_have_is_told_the_rule(two):
    with pytest.raises(NoSuchKernel, match="ASCII letters, digits and the separators"):
        two[2].get_kernel_spec("../first")


def test_a_kernelspec_that_goes_while_it_is_read_is_no_such_kernel(two):
    first, _, ours, _ = two
    with pytest.raises(NoSuchKernel):
        ours._get_kernel_spec_by_name("gone", str(first / "gone"))


def test_one_broken_kernelspec_hides_no_other(two, caplog):
    first, _, ours, theirs = two
    write_spec(first, "good")
    write_spec(first, "broken", b"{")
    with caplog.at_level(logging.WARNING):
        listed = ours.get_all_specs()
    assert str(first / "broken" / "kernel.json") in caplog.text
    assert set(listed) == set(theirs.get_all_specs()) == {"good", NATIVE_KERNEL_NAME}
    assert set(ours.find_kernel_specs()) == {"good", "broken", NATIVE_KERNEL_NAME}
    assert list(ours.broken_specs()) == ["broken"]
    assert "is not JSON" in str(ours.broken_specs()["broken"])


def test_a_subclass_that_fails_on_one_kernel_still_lists_the_others(two):
    class Picky(KernelSpecManager):
        def get_kernel_spec(self, kernel_name):
            if kernel_name == "bad":
                raise ZeroDivisionError
            return super().get_kernel_spec(kernel_name)

    first = two[0]
    write_spec(first, "bad")
    write_spec(first, "good")
    manager = Picky(kernel_dirs=[str(first)])
    assert "good" in manager.get_all_specs()
    assert isinstance(manager.broken_specs()["bad"].__cause__, ZeroDivisionError)


# ---------------------------------------------------------------- install and remove


def test_both_install_at_the_same_place(home, tmp_path):
    source = write_spec(tmp_path / "source", "My.Kernel-1_0")
    (source / "logo-64x64.png").write_bytes(b"png")
    for place in (
        {"user": True},
        {"prefix": str(tmp_path / "prefix")},
        {"user": True, "kernel_name": "Other"},
    ):
        expected = jupyter.KernelSpecManager().install_kernel_spec(str(source), **place)
        made = names_in(expected)
        (Path(expected) / "left-over").touch()
        assert install_kernel_spec(str(source) + os.sep, **place) == expected
        assert names_in(expected) == made == ["kernel.json", "logo-64x64.png"]
    assert set(find_kernel_specs()) >= {"my.kernel-1_0", "other"}
    ours, theirs = KernelSpecManager(), jupyter.KernelSpecManager()
    assert ours._get_destination_dir("n") == theirs._get_destination_dir("n")


def test_an_installation_leaves_only_the_kernelspec(home, tmp_path):
    source = write_spec(tmp_path / "source", "n")
    for _ in range(2):
        destination = install_kernel_spec(str(source), user=True)
        assert names_in(Path(destination).parent) == ["n"]


def test_a_place_that_is_not_searched_is_warned_of(two, tmp_path, caplog):
    two[2].install_kernel_spec(str(write_spec(tmp_path, "n")), prefix=str(tmp_path / "elsewhere"))
    assert str(tmp_path / "elsewhere" / "share" / "jupyter" / "kernels") in caplog.text


@pytest.mark.parametrize("name", ["with space", "a/b", "ümlaut", "n\n", ".", ".."])
def test_a_name_that_is_not_allowed_is_refused(two, tmp_path, name):
    with pytest.raises(ValueError, match="cannot be the name"):
        two[2].install_kernel_spec(str(write_spec(tmp_path, "n")), kernel_name=name, prefix=str(tmp_path))
    assert not (tmp_path / "share").exists()


def test_an_empty_name_or_prefix_is_none(home, tmp_path, monkeypatch):
    """Programs pass the defaults of their own options."""
    monkeypatch.chdir(write_spec(tmp_path / "source", "here"))
    assert Path(install_kernel_spec(".", kernel_name="", user=True, prefix="")).name == "here"


def test_two_places_are_one_too_many(two, tmp_path):
    with pytest.raises(ValueError, match="user= and prefix="):
        two[2].install_kernel_spec(str(tmp_path), kernel_name="n", user=True, prefix=str(tmp_path))


def test_a_directory_is_not_copied_into_itself(two, tmp_path):
    source = write_spec(tmp_path, "n")
    with pytest.raises(ValueError, match="into itself"):
        two[2].install_kernel_spec(str(source), prefix=str(source / "env"))
    assert names_in(source) == ["kernel.json"]


def test_replace_is_deprecated_and_not_given_by_default(home, tmp_path):
    source = str(write_spec(tmp_path, "n"))
    with pytest.warns(DeprecationWarning, match="replace= has no effect"):
        KernelSpecManager().install_kernel_spec(source, user=True, replace=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        install_kernel_spec(source, user=True)


def test_what_cannot_be_used_is_not_installed_and_the_old_one_stays(home, tmp_path):
    destination = Path(install_kernel_spec(str(write_spec(tmp_path / "good", "n")), user=True))
    broken = write_spec(tmp_path / "broken", "n", {"argv": []})
    with pytest.raises(InvalidKernelSpecError, match="argv is an empty list") as caught:
        install_kernel_spec(str(broken), user=True)
    assert str(broken / "kernel.json") in str(caught.value)
    (broken / "kernel.json").unlink()
    with pytest.raises(InvalidKernelSpecError, match=r"has no kernel\.json"):
        install_kernel_spec(str(broken), user=True)
    with pytest.raises(FileNotFoundError):
        install_kernel_spec(str(tmp_path / "nowhere"), kernel_name="n", user=True)
    assert get_kernel_spec("n").display_name == "Good"
    assert names_in(destination.parent) == ["n"]


def test_a_kernelspec_can_be_installed_over_itself(home, tmp_path):
    destination = install_kernel_spec(str(write_spec(tmp_path, "n")), user=True)
    assert install_kernel_spec(destination, user=True) == destination
    assert get_kernel_spec("n").display_name == "Good"


def test_a_copy_from_a_read_only_place_can_be_replaced_and_removed(home, tmp_path):
    source = write_spec(tmp_path, "n")
    (source / "sub").mkdir(mode=0o555)
    source.chmod(0o555)
    try:
        install_kernel_spec(str(source), user=True)
        destination = Path(install_kernel_spec(str(source), user=True))
    finally:
        source.chmod(0o755)
    assert destination.stat().st_mode & 0o700 == 0o700
    KernelSpecManager().remove_kernel_spec("n")
    assert names_in(destination.parent) == []


def test_a_link_is_replaced_and_removed_without_harm_to_what_it_points_to(home, tmp_path):
    source = write_spec(tmp_path, "n")
    link = home / "data" / "kernels" / "n"
    link.parent.mkdir(parents=True)
    link.symlink_to(source)
    install_kernel_spec(str(source), user=True)
    assert not link.is_symlink()
    KernelSpecManager().remove_kernel_spec("n")
    link.symlink_to(source)
    assert KernelSpecManager().remove_kernel_spec("N") == str(link)
    assert not link.is_symlink()
    assert (source / "kernel.json").exists()


def test_a_file_in_the_way_is_not_removed(home, tmp_path):
    file = home / "data" / "kernels" / "n"
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    with pytest.raises(NotADirectoryError):
        install_kernel_spec(str(write_spec(tmp_path, "n")), user=True)
    assert file.read_text() == "mine"
    assert names_in(file.parent) == ["n"]


def test_remove_takes_the_one_that_is_found(two):
    first, second, ours, _ = two
    for directory in (first, second):
        write_spec(directory, "n")
    assert ours.remove_kernel_spec("N") == str(first / "n")
    assert ours.remove_kernel_spec("n") == str(second / "n")
    assert names_in(first) == names_in(second) == []
    with pytest.raises(NoSuchKernel, match="Installed: python3"):
        ours.remove_kernel_spec("n")


def test_a_broken_kernelspec_can_be_removed(two):
    first, _, ours, _ = two
    write_spec(first, "broken", b"{")
    ours.remove_kernel_spec("broken")
    assert ours.broken_specs() == {}


def test_the_native_kernel_is_not_removed(two):
    _, _, ours, _ = two
    with pytest.raises(NoSuchKernel, match="because ipykernel is"):
        ours.remove_kernel_spec(NATIVE_KERNEL_NAME)
    assert Path(ours.find_kernel_specs()[NATIVE_KERNEL_NAME]).is_dir()


def test_readers_never_see_half_of_an_installation(two, tmp_path):
    """While two threads install at once, whoever looks finds a whole kernelspec, or for a moment none."""
    _, _, ours, theirs = two
    kernels = tmp_path / "prefix" / "share" / "jupyter" / "kernels"
    ours.kernel_dirs = theirs.kernel_dirs = [str(kernels)]
    sources = [
        write_spec(tmp_path / mark, "n", display_name=mark, metadata={"pad": "x" * 20_000})
        for mark in ("a", "b")
    ]
    for source in sources:
        (source / "mark").write_text(source.parent.name)

    def install(source: Path) -> None:
        for _ in range(30):
            KernelSpecManager(kernel_dirs=[str(kernels)]).install_kernel_spec(
                str(source), prefix=str(tmp_path / "prefix")
            )

    with ThreadPoolExecutor() as pool:
        installations = [pool.submit(install, source) for source in sources]
        while not all(installation.done() for installation in installations):
            assert {*ours.find_kernel_specs(), *theirs.find_kernel_specs()} <= {"n", NATIVE_KERNEL_NAME}
            assert ours.broken_specs() == {}
    for installation in installations:
        installation.result()
    assert names_in(kernels) == ["n"]
    assert (kernels / "n" / "mark").read_text() == ours.get_kernel_spec("n").display_name
