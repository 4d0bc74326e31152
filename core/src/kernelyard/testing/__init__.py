"""The contract suite: the tests that every provisioner must pass, shipped for those who write one.

A whole test file of a provisioner::

    import pytest
    from kernelyard.testing import ProvisionerContract
    from my_place import MyProvisioner

    class TestMine(ProvisionerContract):
        @pytest.fixture
        def provisioner(self):
            return MyProvisioner()

What a place cannot do, or does differently, is said by overriding fixtures of `kernelyard.testing.place.Place`.
Each test names the sentence of a hook's docstring that it is about. It needs the extra `kernelyard-core[testing]`.
"""

import kernelyard.testing._rewriting  # noqa: F401 - it must come before the modules with tests
from kernelyard.testing.contract import ProvisionerContract
from kernelyard.testing.leaks import LeakGuard, no_leaks
from kernelyard.testing.sentences import covers, uncovered

__all__ = ["LeakGuard", "ProvisionerContract", "covers", "no_leaks", "uncovered"]
