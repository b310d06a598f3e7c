"""Measured comparisons: ratios of times taken in turn in one run. No test depends on a time."""
