"""Reads every picture of a data set once, from files, arrays and videos.

In: entries. Out: `ScannedEntry`s with digest, size and summary, or pictures. Threads read and
decode files, a few ahead; arrays and videos are streamed, so memory does not grow with the number
of pictures. A picture that cannot be read is noted, and scanning goes on.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from calibration.dataset.masks.masks import ScannedMask, scan_mask
from calibration.dataset.pictures.summary import PictureSummary, summarize
from calibration.dataset.readers import arrays, videos
from calibration.dataset.records.record import Entry, LockedFile
from calibration.dataset.storage.storage import Storage, suffix
from edge.perception.pictures.decode import decode_image, read_picture
from edge.perception.pictures.header import UnreadablePicture
from edge.perception.values import BgrImage
from edge.progress import Advance
from firmware_bridge.errors import Missing

THREADS = 4
"""Keeps two cores and one disk busy; more would help with a bucket, and not on a Jetson."""


@dataclass(frozen=True)
class ScannedEntry:
    """An entry after its content was read.

    Attributes:
        sha256, size_bytes: see `Record`; "" and 0 where nothing could be read.
        summary: None where there is no picture; `fault` says why.
        mask: the content of its mask, if it has one.
        orientation, bits: see `edge.perception.pictures.decode.Picture`.
    """

    entry: Entry
    sha256: str
    size_bytes: int
    summary: PictureSummary | None
    fault: str = ""
    mask: ScannedMask | None = None
    orientation: int = 1
    bits: int = 8


def scan_entries(
    storage: Storage, entries: Sequence[Entry], *, progress: Advance
) -> list[ScannedEntry]:
    """Reads every entry; results in the given order."""
    found: dict[str, ScannedEntry] = {}
    for scanned in _scan(storage, entries):
        found[scanned.entry.name] = scanned
        progress("reading pictures", len(found), len(entries))
    return [found[entry.name] for entry in entries]


def pictures(storage: Storage, entries: Sequence[Entry]) -> Iterator[tuple[Entry, BgrImage]]:
    """The pictures of some entries; those that cannot be read are left out."""
    for entry in entries:
        if entry.row is None:
            try:
                yield entry, decode_image(storage.read(entry.file))
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
    """(entry, picture, sha256 as in a lock) of every entry, files first, one at a time.

    Raises:
        Missing: naming the first record that cannot be read.
    """
    for entry in entries:
        if entry.row is None:
            data = storage.read(entry.file)
            try:
                image = decode_image(data)
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
        f"{name} in {storage.location} cannot be read",
        expected="a whole picture",
        found=fault,
        remedy="restore or remove it; all findings: brakepoint data check " + storage.location,
    )


def digests(storage: Storage, names: Iterable[str], *, progress: Advance) -> list[LockedFile]:
    """sha256 of whole files, in the given order. Raises Missing where one cannot be read."""
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


def _scan(storage: Storage, entries: Sequence[Entry]) -> Iterator[ScannedEntry]:
    files = (entry for entry in entries if entry.row is None)
    waiting: deque[Future[ScannedEntry]] = deque()
    with ThreadPoolExecutor(THREADS) as threads:
        try:
            for entry in itertools.islice(files, 2 * THREADS):
                waiting.append(threads.submit(_scan_file, storage, entry))
            while waiting:
                yield waiting.popleft().result()
                for entry in itertools.islice(files, 1):
                    waiting.append(threads.submit(_scan_file, storage, entry))
        finally:
            for future in waiting:
                future.cancel()
    for file, rows in _by_container(entries).items():
        yield from _scan_rows(storage, file, rows)


def _scan_file(storage: Storage, entry: Entry) -> ScannedEntry:
    scanned = _scan_picture(storage, entry)
    if entry.mask is None:
        return scanned
    size = (
        (None, None)
        if scanned.summary is None
        else (scanned.summary.width_px, scanned.summary.height_px)
    )
    mask = scan_mask(storage, entry.mask, width_px=size[0], height_px=size[1])
    return replace(scanned, mask=mask)


def _scan_picture(storage: Storage, entry: Entry) -> ScannedEntry:
    try:
        data = storage.read(entry.file)
    except Missing as error:
        return ScannedEntry(entry, "", 0, None, error.found)
    sha = hashlib.sha256(data).hexdigest()
    try:
        picture = read_picture(data)
    except UnreadablePicture as error:
        return ScannedEntry(entry, sha, len(data), None, str(error))
    summary = summarize(picture.image)
    return ScannedEntry(
        entry, sha, len(data), summary, orientation=picture.orientation, bits=picture.bits
    )


def _by_container(entries: Sequence[Entry]) -> dict[str, dict[int, Entry]]:
    found: dict[str, dict[int, Entry]] = {}
    for entry in entries:
        if entry.row is not None:
            found.setdefault(entry.file, {})[entry.row] = entry
    return found


def _scan_rows(storage: Storage, file: str, rows: dict[int, Entry]) -> Iterator[ScannedEntry]:
    left = dict(rows)
    fault = "the file ends before this frame"
    try:
        for entry, image, row in _unpacked(storage, file, rows):
            del left[entry.row if entry.row is not None else -1]
            sha = hashlib.sha256(row).hexdigest()
            size = 0 if suffix(file) in videos.SUFFIXES else len(row)
            yield ScannedEntry(entry, sha, size, summarize(image))
    except (ValueError, Missing) as error:
        fault = error.found if isinstance(error, Missing) else str(error)
    for entry in left.values():
        yield ScannedEntry(entry, "", 0, None, fault)


def _unpacked(
    storage: Storage, file: str, rows: dict[int, Entry]
) -> Iterator[tuple[Entry, BgrImage, bytes]]:
    """(entry, picture, the bytes that its digest covers) for the rows of one array or video."""
    if suffix(file) in videos.SUFFIXES:
        # Pixels of a frame depend on the decoder's build, so the digest covers file and number.
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
