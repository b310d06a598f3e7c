"""The checks. `op_samples` is the list that drives those of the operations."""
