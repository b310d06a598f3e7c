"""Measured comparisons: ratios of times taken in turn in one run. No test depends on a time.

    python -m tests.benchmarks                           everything; tables and pictures go to out/benchmarks
    python -m tests.benchmarks networks --only lenet5    one part, see __main__.py

Each library runs in a process of its own (worker.py), and the processes are asked in turn (turns.py), so one is idle
while the other computes. In one process the threads that a library keeps waiting, awake, after its last product would
compute beside the other one; and the memory of the two could not be told apart.
"""
