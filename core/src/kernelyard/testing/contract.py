"""The whole contract, in one class."""

from __future__ import annotations

from kernelyard.testing.elsewhere import ElsewhereContract
from kernelyard.testing.endings import EndingContract
from kernelyard.testing.launching import LaunchContract
from kernelyard.testing.offers import OfferContract

__all__ = ["ProvisionerContract"]


class ProvisionerContract(LaunchContract, EndingContract, ElsewhereContract, OfferContract):
    """What every provisioner must do. Subclass it, and give it the fixture `provisioner`."""
