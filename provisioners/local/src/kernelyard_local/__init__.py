"""kernelyard's provisioner for kernels that are processes of this machine."""

from kernelyard_local.provisioner import LocalProvisioner

__all__ = ["LocalProvisioner"]
