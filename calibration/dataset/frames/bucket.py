"""Pictures at a URL (a bucket, an archive, a server) as road frames.

In: an fsspec URL. Out: `BucketFrame`s, with the same names and digests as from a folder, so that
results are the same. Nothing is stored on disk; `simplecache::s3://...` lets fsspec keep copies for
one run.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

from calibration.dataset.frames.images import no_frames, rows_by_picture
from calibration.dataset.masks.pairing import pairs_of
from calibration.dataset.records.condition_aliases import conditions_of, own_words
from calibration.dataset.records.ground_truth import Truth
from calibration.dataset.storage.open_storage import open_storage
from calibration.dataset.storage.storage import Storage
from edge.perception.conditions import Conditions
from edge.perception.pictures.decode import decode_image
from edge.perception.pictures.files import SUFFIXES, natural_order
from edge.perception.pictures.header import UnreadablePicture
from edge.perception.values import BgrImage
from firmware_bridge.errors import Missing, NotTrusted


@dataclass(frozen=True)
class BucketFrame:
    """One picture. See `RoadFrame`."""

    name: str
    group: str
    storage: Storage
    conditions: Conditions
    words: str

    def truth(self) -> Truth | None:
        """None: pictures alone hold no boxes."""
        return None

    def read(self) -> BgrImage:
        """The picture, (H, W, 3) uint8 BGR.

        Raises:
            Missing: naming the picture, which cannot be read.
            NotTrusted: it changed since its digest was computed.
        """
        data = self.storage.read(self.name)
        if hashlib.sha256(data).hexdigest() != self._sha256:
            raise NotTrusted(
                f"{self.name} in {self.storage.location} was changed while it was worked with",
                expected=f"sha256 {self._sha256}, as at the first look",
                found=f"sha256 {hashlib.sha256(data).hexdigest()}",
                remedy="run it again when nobody writes there",
            )
        try:
            return decode_image(data)
        except UnreadablePicture as error:
            raise Missing(
                f"cannot read the road frame {self.name} in {self.storage.location}",
                expected=f"a whole picture ({', '.join(SUFFIXES)})",
                found=str(error),
                remedy="restore or delete it",
            ) from error

    def digest(self) -> str:
        """sha256 of the file, as hex; read once."""
        return self._sha256

    @cached_property
    def _sha256(self) -> str:
        return hashlib.sha256(self.storage.read(self.name)).hexdigest()


def bucket_frames(url: str, *, table: str | None, group: str | None) -> list[BucketFrame]:
    """Pictures below a URL, in natural order of their names relative to it; `table` and `group` as
    `image_frames` has them.

    Raises:
        Missing: nothing is there, or it cannot be read.
        UsageError: no such kind of URL; a table that cannot be used.
    """
    storage = open_storage(url)
    every = storage.pictures
    hidden = pairs_of(every).no_pictures
    names = [name for name in every if name not in hidden]
    if not names:
        raise no_frames(url, f"{len(storage.files)} files, none of them a picture")
    # Frames are sent to workers, and none needs the list of files.
    bare = Storage(storage.location, storage.root, storage.filesystem, {})
    if table is None or group is None:
        return [BucketFrame(name, name, bare, Conditions(), "") for name in names]
    rows = rows_by_picture(
        storage.text(table), f"{url}/{table}", group=group, names=dict.fromkeys(names)
    )
    return [
        BucketFrame(name, row[group], bare, conditions_of(row).conditions, own_words(row))
        for name, row in sorted(rows.items(), key=lambda item: natural_order(item[0]))
    ]
