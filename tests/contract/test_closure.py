"""The contract suite keeps pace with the contract."""

import inspect

import pytest
from kernelyard import hookspecs
from kernelyard.testing import ProvisionerContract, covers, uncovered
from kernelyard.testing.sentences import sentences


def test_every_sentence_about_a_provisioners_hook_has_a_test():
    assert list(uncovered(ProvisionerContract)) == []


def test_every_hook_specification_is_a_provisioners_a_policys_or_an_observers():
    """A hook that is new in the contract cannot be forgotten here."""
    specified = {n.removeprefix("kernelyard_") for n in vars(hookspecs) if n.startswith("kernelyard_")}
    others = {name for name in specified if name.startswith("on_") or name == "prepare"}
    assert specified - others == {*hookspecs.REQUIRED_HOOKS, *hookspecs.OPTIONAL_HOOKS}


def test_sentences_are_the_prose_and_the_errors_of_a_docstring():
    assert sentences("kill") == [
        "End the kernel and its children irresistibly.",
        "On return the kernel no longer runs and `poll` says how it ended.",
        "A kernel that has ended already is no error.",
        "UnknownHandleError: the handle is not one of this provisioner's.",
    ]


def test_test_of_a_sentence_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="no sentence that begins with 'The moon'"):
        covers("kill", "The moon")


def test_every_contract_test_says_what_it_is_about():
    for name, test in inspect.getmembers(ProvisionerContract):
        if name.startswith("test_"):
            assert inspect.getdoc(test), name
