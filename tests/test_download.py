"""Downloads from a server on this machine that cuts connections, ignores ranges, and gives out the wrong thing."""

import hashlib
import http.server
import io
import tarfile
import threading

import numpy
import pytest

from minidl.data import CIFAR10, DataError
from minidl.data.download import download
from minidl.data.files import RemoteFile

CONTENT = numpy.random.default_rng(0).bytes(300_000)


class Server(http.server.ThreadingHTTPServer):
    """Gives out `files`, and remembers what was asked for; `cuts`: after how many bytes it hangs up, each time."""

    daemon_threads = True

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.cuts, self.ranges, self.requests = files, [], True, []

    def address(self, name):
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name, asked = self.path[1:], self.headers.get("Range")
        self.server.requests.append((name, asked))
        if name not in self.server.files:
            self.send_error(404)
            return
        content, start = self.server.files[name], 0
        if asked and self.server.ranges:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        piece = content[start:]
        self.wfile.write(piece[: self.server.cuts.pop(0)] if self.server.cuts else piece)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with Server({"data.bin": CONTENT}) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def remote(server, *names, content=CONTENT):
    addresses = tuple(server.address(name) for name in names or ["data.bin"])
    return RemoteFile("data.bin", len(content), hashlib.md5(content).hexdigest(), addresses)


def check(folder):
    """The file is there, whole, and nothing else is."""
    assert [path.name for path in folder.iterdir()] == ["data.bin"]
    assert (folder / "data.bin").read_bytes() == CONTENT


def test_a_download(server, tmp_path, capsys):
    folder = tmp_path / "new" / "folder"
    assert download(remote(server), folder, "MNIST") == folder / "data.bin"
    check(folder)
    assert "data.bin: 100%" in capsys.readouterr().err
    assert server.requests == [("data.bin", None)]


def test_a_connection_that_is_cut_goes_on_where_it_was(server, tmp_path):
    server.cuts = [100_000, 50_000]
    download(remote(server), tmp_path, "MNIST")
    check(tmp_path)
    assert [asked for _, asked in server.requests] == [None, "bytes=100000-", "bytes=150000-"]


def test_a_server_that_knows_no_ranges_starts_over(server, tmp_path):
    server.cuts, server.ranges = [100_000], False
    download(remote(server), tmp_path, "MNIST")
    check(tmp_path)
    assert [asked for _, asked in server.requests] == [None, "bytes=100000-"]


def test_a_later_run_goes_on(server, tmp_path):
    server.cuts = [70_000, 0]  # the second attempt brings nothing: the run gives up
    with pytest.raises(DataError, match="cut after 70,000 of 300,000 bytes"):
        download(remote(server), tmp_path, "MNIST")
    assert (tmp_path / "data.bin.part").read_bytes() == CONTENT[:70_000]
    assert not (tmp_path / "data.bin").exists()
    server.requests.clear()
    download(remote(server), tmp_path, "MNIST")
    check(tmp_path)
    assert server.requests == [("data.bin", "bytes=70000-")]


def test_what_is_complete_already_is_not_asked_for(server, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(CONTENT)
    download(remote(server), tmp_path, "MNIST")
    check(tmp_path)
    assert server.requests == []


@pytest.mark.parametrize("piece", [b"<html>" * 100, CONTENT + b"more", bytes(300_000)], ids=["other", "longer", "full"])
def test_a_wrong_piece_is_replaced(server, tmp_path, piece):
    (tmp_path / "data.bin.part").write_bytes(piece)
    download(remote(server), tmp_path, "MNIST")
    check(tmp_path)


def test_a_wrong_file_is_never_kept(server, tmp_path):
    server.files["wrong.bin"] = bytes(300_000)
    with pytest.raises(DataError) as caught:
        download(remote(server, "wrong.bin"), tmp_path / "folder", "MNIST")
    text = str(caught.value)
    assert f"what came has the MD5 {hashlib.md5(bytes(300_000)).hexdigest()}" in text
    assert f"300,000 bytes, MD5 {hashlib.md5(CONTENT).hexdigest()}" in text
    assert list(tmp_path.iterdir()) == []


def test_the_next_address_is_tried(server, tmp_path):
    server.files["wrong.bin"], server.files["page.bin"] = bytes(300_000), b"<html>log in</html>"
    download(remote(server, "nothing.bin", "page.bin", "wrong.bin", "data.bin"), tmp_path, "MNIST")
    check(tmp_path)
    assert [name for name, _ in server.requests] == ["nothing.bin", "page.bin", "wrong.bin", "data.bin"]


def test_every_reason_is_given(server, tmp_path):
    server.files["page.bin"] = b"<html>log in</html>"
    file = remote(server, "nothing.bin", "page.bin")
    closed = "http://127.0.0.1:9/data.bin"  # the port "discard": nobody listens
    file = RemoteFile(file.name, file.size, file.md5, (*file.addresses, closed))
    with pytest.raises(DataError) as caught:
        download(file, tmp_path / "folder", "MNIST", also="or do without")
    lines = str(caught.value).splitlines()
    assert lines[0] == "MNIST(): data.bin could not be downloaded"
    assert lines[1].endswith("nothing.bin: HTTP Error 404: Not Found")
    assert lines[2].endswith("page.bin: offers 19 bytes instead of 300,000")
    assert "127.0.0.1:9/data.bin: <urlopen error" in lines[3]
    assert lines[4] == f"  help: put into the folder {tmp_path / 'folder'}"
    assert lines[5] == f"    data.bin: 300,000 bytes, MD5 {file.md5}, from"
    assert lines[6:9] == [f"      {address}" for address in file.addresses]
    assert lines[9] == "  or do without"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"cannot make the folder for data\.bin"):
        download(remote(server), tmp_path / "file" / "folder", "MNIST")


def test_cifar_is_downloaded_and_unpacked(server, tmp_path, monkeypatch):
    monkeypatch.setattr(CIFAR10, "records", 2)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name in CIFAR10.train_files + CIFAR10.test_files:
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = 2 * 3073
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    content = stream.getvalue()
    server.files["cifar.tar.gz"] = content
    archive = RemoteFile(
        "cifar.tar.gz", len(content), hashlib.md5(content).hexdigest(), (server.address("cifar.tar.gz"),)
    )
    monkeypatch.setattr(CIFAR10, "archive", archive)
    assert len(CIFAR10(tmp_path)) == 10
    assert len(CIFAR10(tmp_path, train=False)) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["cifar-10-batches-bin"]
    assert len(server.requests) == 1

    (tmp_path / "cifar-10-batches-bin" / "data_batch_2.bin").unlink()
    server.files.clear()
    with pytest.raises(DataError) as caught:
        CIFAR10(tmp_path)
    assert "not there: data_batch_2.bin; and cifar.tar.gz could not be downloaded" in str(caught.value)
    assert "partial=True" in str(caught.value)
