"""How fast kernelyard is, as ratios: against jupyter_client and against the floor, taken in turn in one run.

Run `uv run python -m benchmarks`. docs/explanation/performance.md says what each figure means.
"""
