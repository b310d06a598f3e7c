"""Downloading a file: from the first address that works, going on where it was cut off, and never a wrong one."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tqdm import tqdm

from minidl.data.files import RemoteFile, missing

CHUNK = 1 << 16
ATTEMPTS = 4  # at one address, as long as each brings something new
TIMEOUT = 30  # seconds without a byte


class _Refused(Exception):
    """What an address offers is not the file."""


def download(file: RemoteFile, folder: Path, where: str, why: str = "", also: str | None = None) -> Path:
    """Download `file` into `folder`, with a progress bar; returns its path.

    Until it is complete and its MD5 is right, it is called NAME.part. One that was interrupted is gone on with.
    DataError, in the name of `where`, if no address gives the file: `why` it is wanted, what went wrong, and where to
    put one that you get yourself (or what else there is to do: `also`).
    """
    part, target = folder / f"{file.name}.part", folder / file.name
    reasons = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise missing(where, f"{why}cannot make the folder for {file.name}: {error}", [file], folder, also) from None
    addresses = deque(file.addresses)
    while addresses:
        address = addresses.popleft()
        begun = _size(part) > 0
        try:
            _complete(address, part, file)
            found = md5(part)
            if found != file.md5:
                part.unlink()
                if begun:  # perhaps the piece that was there is to blame
                    addresses.appendleft(address)
                raise _Refused(f"what came has the MD5 {found}")
            os.replace(part, target)
            return target
        except (OSError, HTTPException, _Refused) as error:
            reasons.append(f"\n  {address}: {error or type(error).__name__}")
    raise missing(where, f"{why}{file.name} could not be downloaded{''.join(reasons)}", [file], folder, also)


def md5(path: Path) -> str:
    """The MD5 of a file in hexadecimal: against accidents, which is what it is published for."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _complete(address: str, part: Path, file: RemoteFile) -> None:
    """Bring `part` to the size of the file, in as many attempts as the connection needs."""
    for _ in range(ATTEMPTS):
        if _size(part) > file.size:
            part.unlink()
        had = _size(part)
        if had == file.size:
            return
        reason: Exception | None = None
        try:
            _receive(address, part, had, file)
        except HTTPError as error:
            error.close()
            if error.code != 416:  # 416: there is nothing after that position
                raise
            part.unlink()
            continue
        except (OSError, HTTPException) as error:  # the connection was cut
            reason = error
        if _size(part) <= had:
            break
    if _size(part) != file.size:
        raise reason or _Refused(f"the connection was cut after {_size(part):,} of {file.size:,} bytes")


def _receive(address: str, part: Path, had: int, file: RemoteFile) -> None:
    """One request; what comes is appended to the `had` bytes of `part`, or replaces them if the server starts over."""
    headers = {"User-Agent": "minidl"} | ({"Range": f"bytes={had}-"} if had else {})
    with urlopen(Request(address, headers=headers), timeout=TIMEOUT) as response:
        goes_on = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {had}-")
        start = had if goes_on else 0
        offered = response.headers.get("Content-Length")
        if offered is not None and start + int(offered) != file.size:  # a page that asks to log in, say
            raise _Refused(f"offers {start + int(offered):,} bytes instead of {file.size:,}")
        bar = tqdm(total=file.size, initial=start, desc=file.name, unit="B", unit_scale=True)
        with bar, part.open("ab" if goes_on else "wb") as stream:
            while chunk := response.read(CHUNK):
                stream.write(chunk)
                bar.update(len(chunk))
                if stream.tell() > file.size:
                    raise _Refused(f"gives more than {file.size:,} bytes")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
