"""`minidl course`: assignments on minidl, from the release of the blanks to the points."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from minidl.cli.arguments import CommandError, output_folder, positive_float, positive_int, seed, writable_folder
from minidl.cli.course_grading import FORMATS, format_names, grade, make_bundle
from minidl.course.assignment import AssignmentError, all_assignments, find_assignment
from minidl.course.files import write_text
from minidl.course.grading import FOR_ONE
from minidl.course.inbox import InboxError
from minidl.course.prove import prove
from minidl.course.release import release
from minidl.course.student import Tree, TreeError, open_tree
from minidl.course.submission import SubmissionError, carry, changed_elsewhere, collect, read_submission

DESCRIPTION = """assignments on minidl: release, test, collect, carry, grade, bundle, check

Without a name, lists the assignments. A student works in a released tree with `test`, `collect`, `carry` and `picture`;
staff release, grade and check. assignments/README.md has the whole story."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="what")

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str) -> Callable[..., argparse.Action]:
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(do=run)
        return made.add_argument

    add = command("test", _test, "for students: run the checks of a task, or all of them")
    add("task", nargs="?", default="all", metavar="TASK", help="such as 2.3, or all (all)")
    add("pytest", nargs=argparse.REMAINDER, metavar="...", help="after a task, passed on to pytest: 2.3 -x")

    add = command("collect", _collect, "for students: put the bodies that you wrote into one file, to hand in")
    add("--out", type=Path, metavar="FILE", help="where it goes (a2_submission.json in the tree)")

    add = command("carry", _carry, "for students: put the work on an earlier assignment into this tree")
    add("source", type=Path, nargs="+", metavar="FROM", help="its submission file, or its tree; then, if you like, TO")

    add("--force", action="store_true", help="also in place of what you have written in this tree since")

    add = command("picture", _picture, "for students: draw the picture at the end with your own code")
    add("--out", type=Path, default=Path("out"), metavar="DIR", help="where it goes (out)")

    add = command("release", _release, "for staff: write the tree that students get")
    add("name", metavar="NAME", help="of the assignment: a2")
    add("-o", "--out", type=Path, metavar="DIR", help="where it goes: a folder that is new or empty (out/course/a2)")

    add = command("grade", grade, "for staff: grade submissions, each in a clean tree and a process of its own")
    add("submissions", type=Path, nargs="+", metavar="SUBMISSION", help="files, released trees, or folders of them")
    add("--assignment", metavar="NAME", help="such as a2 (what the submissions say)")
    add("--format", type=format_names, default=["csv"], metavar="LIST", help=f"of {', '.join(FORMATS)} (csv)")
    add("--out", type=Path, default=Path("out/grades"), metavar="DIR", help="where everything goes (out/grades)")
    add(
        "--rest", action="store_true", help="only what has no grade in the folder yet, with the seed of those that have"
    )
    add("--jobs", type=positive_int, metavar="N", help="submissions at a time (one on each core)")
    add("--seed", type=seed, metavar="N", help="of the inputs (a fresh one)")
    add("--memory", type=positive_int, default=2000, metavar="MB", help="for the code of one submission (2000)")
    add("--seconds", type=positive_float, default=FOR_ONE, metavar="S", help="for one submission (%(default).0f)")

    add = command("bundle", make_bundle, "for staff: write the autograder that another system runs")
    add("name", metavar="NAME", help="of the assignment: a2")
    add("--gradescope", action="store_true", help="the zip that Gradescope takes")
    add("-o", "--out", type=Path, metavar="FILE", help="where it goes (out/course/a2_gradescope.zip)")

    add = command("check", _check, "for staff: prove that the checks of an assignment grade right")
    add("names", nargs="*", metavar="NAME", help="of assignments (all)")
    add("--quick", action="store_true", help="try checks that take more than half a second with one seed only")
    return


def run(arguments: argparse.Namespace) -> int:
    try:
        if arguments.what is None:
            return _list()
        return arguments.do(arguments)
    except (AssignmentError, InboxError, TreeError, SubmissionError) as error:
        raise CommandError(str(error)) from None


def _list() -> int:
    found = all_assignments()
    for one in found:
        time = f", about {one.minutes} minutes" if one.minutes else ""
        written = sum(question.points for question in one.written)
        points = f"{one.points} points" + (f" and {written} for written answers" if written else "")
        print(f"{one.name}  {one.title}: {len(one.tasks)} tasks, {points}{time}; {one.path}")
    if not found:
        print("there are no assignments here")
    return 0


# ---------------------------------------------------------------------------------------------------- for students


def _test(arguments: argparse.Namespace) -> int:
    tree = open_tree(Path.cwd())
    selected = [] if arguments.task == "all" else ["-m", tree.assignment.task(arguments.task).marker]
    if (foreign := tree.foreign()) is not None:
        raise CommandError(foreign)
    code = pytest(tree, [*selected, *arguments.pytest])
    if code == 5:
        raise CommandError("no check was run at all: that counts as a failure. Is tests/ as it was released?")
    return code


def pytest(tree: Tree, options: Sequence[str]) -> int:
    """Run pytest in the tree; its exit code."""
    return subprocess.run([sys.executable, "-m", "pytest", *options], cwd=tree.root).returncode


def _collect(arguments: argparse.Namespace) -> int:
    tree = open_tree(Path.cwd())
    submission, notes = collect(tree), changed_elsewhere(tree)
    path = arguments.out or tree.root / f"{submission.assignment}_submission.json"
    writable_folder(path.resolve().parent)
    keep = bool(submission.problems) and path.exists()
    if not keep:
        write_text(path, submission.as_json())
    written = {(answer.file, answer.symbol) for answer in submission.answers}
    for blank in tree.manifest["blanks"]:
        state = "written" if (blank["file"], blank["symbol"]) in written else "NOT WRITTEN"
        print(f"  {blank['task']:5} {blank['symbol']:40} {state}")
    for problem in submission.problems:
        print(f"\nnot collected: {problem}")
    if notes:
        print("\nNot handed in, because only the bodies of the blanks are:")
        for note in notes:
            print(f"  {note}")
    count = len(tree.manifest["blanks"])
    if keep:
        print(f"\n{path} stays as it was: mend what is not collected, or name another file with --out")
    else:
        print(f"\n{len(submission.answers)} of {count} functions are in {path}: hand in this file")
    return 1 if submission.problems else 0


def _carry(arguments: argparse.Namespace) -> int:
    if len(arguments.source) > 2:
        raise CommandError("carry takes a submission and, if it is not the one you are in, the tree that it goes into")
    tree = open_tree(arguments.source[1] if len(arguments.source) == 2 else Path.cwd())
    submission = read_submission(arguments.source[0])
    done, failed = carry(submission, tree, arguments.force)
    for name in done:
        print(f"  carried: {name}")
    for text in [*submission.problems, *failed]:
        print(f"  not carried: {text}")
    print(f"{len(done)} functions of {submission.assignment} are now in {tree.root}")
    return 0 if done else 1


def _picture(arguments: argparse.Namespace) -> int:
    tree = open_tree(Path.cwd())
    if (foreign := tree.foreign()) is not None:
        raise CommandError(foreign)
    path = tree.assignment.folder / "picture.py"
    if not path.is_file():
        raise CommandError(f"{tree.assignment.name} has no picture")
    names: dict[str, object] = {"__name__": "picture", "__file__": str(path)}
    with output_folder(arguments.out) as folder:
        try:
            tree.assignment.visible_checks  # noqa: B018 (puts the tree on the path)
            exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), names)
            drawn = names["picture"](folder)  # type: ignore[operator]
        except NotImplementedError as error:
            raise CommandError(f"the picture is drawn by your own code, and some is still missing: {error}") from None
    print(f"Picture: {drawn}")
    return 0


# ------------------------------------------------------------------------------------------------------- for staff


def _release(arguments: argparse.Namespace) -> int:
    assignment = find_assignment(arguments.name)
    folder = arguments.out or Path("out", "course", assignment.name)
    with output_folder(folder):
        manifest = release(assignment, folder)
    print(f"{assignment.name} {assignment.title}: {len(manifest['files'])} files in {folder}")
    print(
        f"{len(manifest['blanks'])} blanks in {len(assignment.tasks)} tasks, {assignment.points} points; "
        f"seal {manifest['seal'][:16]}"
    )
    return 0


def _check(arguments: argparse.Namespace) -> int:
    chosen = [find_assignment(name) for name in arguments.names] or all_assignments()
    if not chosen:
        raise CommandError("there are no assignments here")
    failed = 0
    for assignment in chosen:
        print(f"{assignment.name} {assignment.title}")
        for proof in prove(assignment, thorough=not arguments.quick):
            print(f"  {'FAILS' if proof.problems else 'holds'}  {proof.claim} ({proof.count})", flush=True)
            for problem in proof.problems:
                print("\n".join(f"           {line}" for line in problem.splitlines()))
            failed += bool(proof.problems)
    return 1 if failed else 0
