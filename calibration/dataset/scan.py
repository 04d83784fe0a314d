"""Reads every picture of a data set once: digest, size and a look, whatever kind of file it is in.

Files are read and decoded by threads, a few ahead; arrays and videos are streamed. Memory does not
grow with the number or size of pictures. What cannot be read is a finding, not an end.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from calibration.dataset.masks.masks import SeenMask, look_at_mask
from calibration.dataset.pictures.summary import PictureSummary, summarize
from calibration.dataset.readers import arrays, videos
from calibration.dataset.records.record import Entry, LockedFile
from calibration.dataset.storage import Storage, suffix
from edge.perception.pictures.decode import decoded, read_picture
from edge.perception.pictures.header import UnreadablePicture
from edge.perception.values import BgrImage
from edge.progress import Advance
from firmware_bridge.errors import Missing

THREADS = 4
"""Enough to keep two cores and one disk busy; a bucket gains from more, a Jetson does not."""


@dataclass(frozen=True)
class Seen:
    """One record after its content was read.

    Attributes:
        sha256, size_bytes: see `Record`; "" and 0 where nothing could be read.
        look: None where there is no picture; `fault` says why.
        mask: of a picture that has one.
        orientation, bits: see `edge.perception.pictures.decode.Picture`.
    """

    entry: Entry
    sha256: str
    size_bytes: int
    look: PictureSummary | None
    fault: str = ""
    mask: SeenMask | None = None
    orientation: int = 1
    bits: int = 8


def survey(storage: Storage, entries: Sequence[Entry], *, progress: Advance) -> list[Seen]:
    """Every entry, seen, in the given order."""
    found: dict[str, Seen] = {}
    for seen in _every(storage, entries):
        found[seen.entry.name] = seen
        progress("reading pictures", len(found), len(entries))
    return [found[entry.name] for entry in entries]


def pictures(storage: Storage, entries: Sequence[Entry]) -> Iterator[tuple[Entry, BgrImage]]:
    """The pictures of some entries; those that cannot be read are left out."""
    for entry in entries:
        if entry.row is None:
            try:
                yield entry, decoded(storage.read(entry.file))
            except (UnreadablePicture, Missing):
                continue
    for file, rows in _by_container(entries).items():
        try:
            for entry, image, _ in _unpacked(storage, file, rows):
                yield entry, image
        except (ValueError, Missing):
            continue


def whole_pictures(
    storage: Storage, entries: Sequence[Entry]
) -> Iterator[tuple[Entry, BgrImage, str]]:
    """(entry, picture, sha256 as a lock has it) of every entry, files first, one at a time.

    Raises:
        Missing: naming the first record that cannot be read.
    """
    for entry in entries:
        if entry.row is None:
            data = storage.read(entry.file)
            try:
                image = decoded(data)
            except UnreadablePicture as error:
                raise _no_picture(storage, entry.name, str(error)) from error
            yield entry, image, hashlib.sha256(data).hexdigest()
    for file, rows in _by_container(entries).items():
        left = dict(rows)
        fault = "the file ends before this frame"
        try:
            for entry, image, row in _unpacked(storage, file, rows):
                del left[entry.row if entry.row is not None else -1]
                yield entry, image, hashlib.sha256(row).hexdigest()
        except ValueError as error:
            fault = str(error)
        for entry in left.values():
            raise _no_picture(storage, entry.name, fault)


def _no_picture(storage: Storage, name: str, fault: str) -> Missing:
    return Missing(
        f"{name} in {storage.given} cannot be read",
        expected="a whole picture",
        found=fault,
        remedy="restore or remove it; all findings: brakepoint data check " + storage.given,
    )


def digests(storage: Storage, names: Iterable[str], *, progress: Advance) -> list[LockedFile]:
    """The files, whole, in the given order. Raises Missing where one cannot be read."""
    wanted = list(names)
    found = []
    with ThreadPoolExecutor(THREADS) as threads:
        for done, locked in enumerate(threads.map(lambda name: _digest(storage, name), wanted)):
            found.append(locked)
            progress("hashing files", done + 1, len(wanted))
    return found


def _digest(storage: Storage, name: str) -> LockedFile:
    sha, size = hashlib.sha256(), 0
    for block in storage.blocks(name):
        sha.update(block)
        size += len(block)
    return LockedFile(name, sha.hexdigest(), size)


def _every(storage: Storage, entries: Sequence[Entry]) -> Iterator[Seen]:
    files = (entry for entry in entries if entry.row is None)
    waiting: deque[Future[Seen]] = deque()
    with ThreadPoolExecutor(THREADS) as threads:
        try:
            for entry in itertools.islice(files, 2 * THREADS):
                waiting.append(threads.submit(_seen_file, storage, entry))
            while waiting:
                yield waiting.popleft().result()
                for entry in itertools.islice(files, 1):
                    waiting.append(threads.submit(_seen_file, storage, entry))
        finally:
            for future in waiting:
                future.cancel()
    for file, rows in _by_container(entries).items():
        yield from _seen_rows(storage, file, rows)


def _seen_file(storage: Storage, entry: Entry) -> Seen:
    seen = _seen_picture(storage, entry)
    if entry.mask is None:
        return seen
    size = (None, None) if seen.look is None else (seen.look.width_px, seen.look.height_px)
    mask = look_at_mask(storage, entry.mask, width_px=size[0], height_px=size[1])
    return replace(seen, mask=mask)


def _seen_picture(storage: Storage, entry: Entry) -> Seen:
    try:
        data = storage.read(entry.file)
    except Missing as error:
        return Seen(entry, "", 0, None, error.found)
    sha = hashlib.sha256(data).hexdigest()
    try:
        picture = read_picture(data)
    except UnreadablePicture as error:
        return Seen(entry, sha, len(data), None, str(error))
    look = summarize(picture.image)
    return Seen(entry, sha, len(data), look, orientation=picture.orientation, bits=picture.bits)


def _by_container(entries: Sequence[Entry]) -> dict[str, dict[int, Entry]]:
    found: dict[str, dict[int, Entry]] = {}
    for entry in entries:
        if entry.row is not None:
            found.setdefault(entry.file, {})[entry.row] = entry
    return found


def _seen_rows(storage: Storage, file: str, rows: dict[int, Entry]) -> Iterator[Seen]:
    left = dict(rows)
    fault = "the file ends before this frame"
    try:
        for entry, image, row in _unpacked(storage, file, rows):
            del left[entry.row if entry.row is not None else -1]
            sha = hashlib.sha256(row).hexdigest()
            size = 0 if suffix(file) in videos.SUFFIXES else len(row)
            yield Seen(entry, sha, size, summarize(image))
    except (ValueError, Missing) as error:
        fault = error.found if isinstance(error, Missing) else str(error)
    for entry in left.values():
        yield Seen(entry, "", 0, None, fault)


def _unpacked(
    storage: Storage, file: str, rows: dict[int, Entry]
) -> Iterator[tuple[Entry, BgrImage, bytes]]:
    """(entry, picture, the bytes that its digest is of) for the rows of one array or video."""
    if suffix(file) in videos.SUFFIXES:
        # A frame's pixels depend on the decoder's build; the file and the number do not.
        whole = _digest(storage, file).sha256
        with storage.local(file) as path:
            for number, image in videos.frames(path, set(rows)):
                yield rows[number], image, f"{whole} {number}".encode()
        return
    last = max(rows)
    with storage.open(file) as stream:
        for number, row in enumerate(arrays.rows(stream)):
            if number in rows:
                yield rows[number], arrays.as_bgr(row), row.tobytes()
            if number >= last:
                return
