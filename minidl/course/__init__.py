"""The course kit: assignments whose answers are the library itself, released with blanks, collected and graded.

    assignment, checks     one folder of assignments/; one check: inputs, a call of a student's code, what is expected
    apart                  a Function as its forward leaves it, so that a check of backward needs no forward
    calling, comparing     one call, in whichever process; what came back beside what is expected, in words
    blanks, notebook       bodies out of a file and into it; a notebook from a script
    release                the tree that students get
    student, submission    such a tree from inside; what is handed in from it, and carried into the next
    worker, workers        the process that a student's code runs in (a script), and the grader's side of it
    extract, grading       all of a check that a worker sees; submissions in, points and words out
    formats, overview      grades for other systems; a batch for staff
    bundle, gradescope     the zip that Gradescope takes, and what it starts there
    variants, prove        the library with one function changed; the grader, graded

The commands are `minidl course ...`, see minidl/cli/course.py; the whole story is in assignments/README.md.
"""
