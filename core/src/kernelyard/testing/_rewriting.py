"""Has pytest show the values in the contract's assertions, as it does for those in test files."""

import pytest

pytest.register_assert_rewrite(
    *(f"kernelyard.testing.{name}" for name in ("launching", "endings", "elsewhere", "offers"))
)
