"""Which files and folders are submissions: as Gradescope and Moodle export them, as students name and pack them."""

import json
import shutil
import unicodedata
import zipfile
from pathlib import Path

import pytest

from minidl.cli import main
from minidl.course.inbox import InboxError, assignment_of, distinct_names, submissions
from minidl.course.release import release
from minidl.course.submission import SubmissionError, read_submission
from tests.course_files import SAMPLE, hand_in, solve, solved


def found(*paths):
    return submissions(paths)[0]


def test_a_folder_is_one_submission_or_many(tmp_path):
    one, two = hand_in(tmp_path, solved("ada")), tmp_path / "bob"
    two.mkdir()
    inside = hand_in(two, solved("bob"))
    assert found(tmp_path) == sorted([one, two])
    assert found(two) == [two] and found(inside, one) == [inside, one]
    (two / "__MACOSX").mkdir()  # what a zip from a Mac holds besides
    assert found(two) == [two]


def test_one_file_beside_folders_is_not_the_only_submission(tmp_path):
    one, two = hand_in(tmp_path, solved("ada")), tmp_path / "bob"
    two.mkdir()
    hand_in(two, solved("bob"))
    assert found(tmp_path) == [one, two]


def test_the_assignment_of_a_batch_is_what_most_of_it_says(tmp_path):
    def of(name, assignment):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"assignment": assignment}))
        return path

    first, unknown = of("ada", "a2"), of("bob", "a99")
    others = [of("carl", "a1"), of("dora", "a1")]
    assert assignment_of([first, unknown, *others]) == "a1"
    assert assignment_of([first, others[0]]) is None and assignment_of([unknown]) is None


def test_names_of_files_are_safe_and_distinct():
    paths = [
        Path("x/ada_submission.json"),
        Path("y/ada_submission.json"),
        Path("z/Ada.json"),
        Path("../../etc/pa ss/.."),
    ]
    assert list(distinct_names(paths).values()) == ["x_ada", "y_ada", "z_Ada", "submission"]
    assert list(distinct_names([Path("a2_submission.json"), Path("../a2.json")]).values()) == ["a2", "a2-2"]
    assert list(distinct_names([Path("Ada L/a2_submission.json")]).values()) == ["Ada_L_a2"]  # everybody's name of it


def test_the_same_umlaut_is_one_letter_on_every_system():
    names = [unicodedata.normalize(form, "Änne Müller_12_a2_submission.json") for form in ("NFC", "NFD")]
    assert [distinct_names([Path(name)])[Path(name)] for name in names] == ["Änne_Müller_12_a2"] * 2


def test_what_is_nobodys_is_passed_over_and_the_rest_is_somebodys(tmp_path):
    for name in (
        "README.md",
        "submission_metadata.yml",
        "Grades-IT.csv",
        "desktop.ini",
        ".DS_Store",
        "code.py",
        "b.zip",
    ):
        (tmp_path / name).write_text("?")
    own = [hand_in(tmp_path, solved(name)) for name in ("ada", "bob")]
    kept, passed_over = submissions([tmp_path])
    assert kept == sorted([*own, tmp_path / "code.py", tmp_path / "b.zip"])
    assert [path.name for path in passed_over] == ["Grades-IT.csv", "README.md", "submission_metadata.yml"]


def test_an_export_that_has_a_folder_around_it(tmp_path):
    for name in ("submission_11", "submission_12"):
        (tmp_path / "export" / name).mkdir(parents=True)
        hand_in(tmp_path / "export" / name, solved("a9"))
    (tmp_path / "__MACOSX").mkdir()
    assert [path.name for path in found(tmp_path)] == ["submission_11", "submission_12"]


def test_an_archive_is_to_be_unpacked_first(tmp_path, capsys):
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a9_submission.json", solved("ada").as_json())
    with pytest.raises(InboxError, match="unpack it"):
        submissions([path])
    assert main(["course", "grade", str(path)]) == 1
    assert "unpack it" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    with pytest.raises(InboxError, match="no submission there"):
        submissions([tmp_path / "empty"])


def test_a_tree_one_folder_deeper_counts(tmp_path):
    tree = tmp_path / "ada" / "a9"
    release(SAMPLE, tree)
    solve(tree)
    submission = read_submission(tmp_path / "ada")
    assert submission.name == "ada" and len(submission.answers) == len(SAMPLE.blanks)
    other = tmp_path / "bob"
    other.mkdir()
    (other / "link").symlink_to(tree, target_is_directory=True)
    with pytest.raises(SubmissionError):
        read_submission(other)  # a link to what is somebody else's is not followed
    (tmp_path / "ada" / "notes.txt").write_text("not alone any more")
    with pytest.raises(SubmissionError, match="no submission is among"):
        read_submission(tmp_path / "ada")


@pytest.mark.parametrize(
    "name, content, told",
    [
        ("a9_submission.json", b"", "is empty: write it once more"),
        ("work.zip", b"PK\3\4...", "is a zip: hand in"),
        ("energy.py", b"def f(): pass", "is code: `minidl course collect` puts"),
        ("a9_submission.json", bytes(range(256)), "is no JSON text"),
    ],
)
def test_what_is_no_submission_says_what_to_do(tmp_path, name, content, told):
    folder = tmp_path / "ada"
    folder.mkdir()
    (folder / name).write_bytes(content)
    for path in (folder, folder / name):
        with pytest.raises(SubmissionError, match=told):
            read_submission(path)


def test_of_two_files_neither_is_chosen(tmp_path):
    path = hand_in(tmp_path, solved("a9"))
    shutil.copy(path, tmp_path / "a9_submission (2).json")  # as a browser names the second
    with pytest.raises(SubmissionError, match=r"2 .json files were handed in \(a9_submission \(2\)"):
        read_submission(tmp_path)
    path.rename(tmp_path / "settings.json")
    assert read_submission(tmp_path).assignment == SAMPLE.name
