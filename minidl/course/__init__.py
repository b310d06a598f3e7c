"""The course kit: assignments whose answers are the library itself, released with blanks, collected and graded.

    assignment      one folder of assignments/: its tasks, its blanks, its checks
    checks          one check: inputs, a call of the student's code, what is expected of it
    apart           a Function as its forward leaves it, so that a check of backward needs no forward
    calling         one call of a check, in whichever process
    comparing       what came back beside what is expected, and the words for the difference

The commands are `minidl course ...`, see minidl/cli/course.py; the whole story is in assignments/README.md.
"""
