"""What a worker leaves is read without trust: forged files are no answer, and nothing waits for them."""

import json
import math
import os
import zipfile
from dataclasses import asdict

import numpy
import pytest

from minidl.course.calling import Outcome, save_arrays
from minidl.course.extract import calls_only
from minidl.course.files import read_plain
from minidl.course.workers import read_outcome, why_it_ended
from tests.course_files import FOLDER

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="submissions are graded on Linux and macOS")


def leave(path, outputs=None, **words):
    if outputs is not None:
        save_arrays(path.with_suffix(".npz"), outputs)
    path.with_suffix(".json").write_text(json.dumps(asdict(Outcome()) | words))
    return path


def test_a_plain_answer_is_read(tmp_path):
    found = read_outcome(leave(tmp_path / "1", {"file": numpy.arange(3.0), "n": numpy.array(2)}))
    assert found.outputs["file"].tolist() == [0, 1, 2] and found.outputs["n"].item() == 2


@pytest.mark.parametrize(
    "words",
    ["", "[]", "{}", "null", "\0", "[" * 100_000, '{"error": 3}', json.dumps(asdict(Outcome()) | {"changed": 5})]
    + [json.dumps(asdict(Outcome()) | {"seconds": seconds}) for seconds in (math.nan, math.inf, -1, "0", None)],
)
def test_words_that_make_no_sense_are_no_answer(tmp_path, words):
    path = leave(tmp_path / "1", {"y": numpy.ones(2)})
    path.with_suffix(".json").write_text(words)
    assert read_outcome(path) is None


def test_links_pipes_and_devices_are_no_answer(tmp_path):
    secret = tmp_path / "secret.npz"
    save_arrays(secret, {"y": numpy.ones(2)})
    path = leave(tmp_path / "1")
    for make in (
        lambda file: file.symlink_to(secret),
        lambda file: os.mkfifo(file),
        lambda file: file.symlink_to("/dev/zero"),
        lambda file: file.mkdir(),
    ):
        make(path.with_suffix(".npz"))
        assert read_outcome(path) is None
        path.with_suffix(".npz").rmdir() if path.with_suffix(".npz").is_dir() else path.with_suffix(".npz").unlink()
    assert read_outcome(path) is None


def test_whatever_is_no_plain_file_is_closed_again(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    before = os.dup(0)  # the lowest free descriptor, as the next one will be again
    os.close(before)
    for name in ("folder", "pipe"):
        with pytest.raises(OSError) as raised:
            read_plain(tmp_path / name, 10)
        assert raised.value.strerror == "it is no plain file"
    after = os.dup(0)
    os.close(after)
    assert after == before


def test_pickles_and_bombs_are_no_answer(tmp_path):
    path = leave(tmp_path / "1")
    file = path.with_suffix(".npz")
    numpy.savez(file, y=numpy.array([{}, None], dtype=object))
    assert read_outcome(path) is None
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999,), }"
    header += b" " * (117 - len(header)) + b"\n"
    with zipfile.ZipFile(file, "w") as archive:  # says that 800 GB follow
        archive.writestr("y.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"12345678")
    assert read_outcome(path) is None
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:  # a quarter of a megabyte that becomes 210
        archive.writestr("y.npy", bytes(210 * 2**20), compresslevel=1)
    assert read_outcome(path) is None
    file.write_bytes(b"PK\x03\x04 and nothing more")
    assert read_outcome(path) is None
    save_arrays(file, {"y": numpy.ones(2)})
    data = file.read_bytes()
    broken = [data[:place] + bytes([value]) + data[place + 1 :] for place in range(len(data)) for value in (0, 7, 255)]
    for number, text in enumerate(broken):  # whatever byte is wrong, the grader does not stop
        file.write_bytes(text)
        outcome = read_outcome(path)
        assert outcome is None or set(map(type, outcome.outputs.values())) <= {numpy.ndarray}, number


@pytest.mark.parametrize(
    "status, words", [("x", "no sensible"), (11, "SIGSEGV"), (24, "does not end"), (3 << 8, "code 3")]
)
def test_an_end_without_an_answer_is_put_into_words(status, words):
    assert words in why_it_ended(status, 0.1)


def test_a_worker_sees_only_the_calls_of_a_check():
    text = calls_only(FOLDER / "checks.py") + "\n" + calls_only(FOLDER / "hidden_checks.py")
    assert "def call(x, grad_output, slope)" in text and "def leaky(positive, slope)" in text
    for word in ("standard_normal", "expected", "verify", "allclose", "0.9 ** 3", "SECRET", "check("):
        assert word not in text
    names = {}
    exec(text, names)
    assert callable(names["LeakyGradient"].call)
