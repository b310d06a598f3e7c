"""One verb for each operation, a module for each file of ops/: the argument checks, and the words when they fail."""
