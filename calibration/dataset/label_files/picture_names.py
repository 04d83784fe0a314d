"""Finds the picture that a label or a table means, whatever tool wrote its name.

In: the names of a data set's pictures, then a name in a label. Out: the picture, or why none is
meant. A name that fits two pictures is never guessed, nor a picture of another part.
"""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Collection

from calibration.dataset.label_files.part_names import part_word


class PictureNames:
    """Finds pictures among names relative to the root ("/" on every system)."""

    def __init__(self, pictures: Collection[str]) -> None:
        self._by_bare: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        self._pictures = set(pictures)
        for name in pictures:
            bare = posixpath.basename(name).lower()
            self._by_bare[bare].append(name)
            self._by_stem[posixpath.splitext(bare)[0]].append(name)

    def find(self, given: str, *, beside: str = "") -> tuple[str | None, str]:
        """(the picture, ""), or (None, why there is none).

        `given` is relative to the root or to the folder of the file `beside`; or it is a path of
        another machine or a URL that ends like one picture only. A name without a suffix means the
        picture of that stem.
        """
        wanted = plain(given)
        if name := self.exactly(wanted, beside=beside):
            return name, ""
        bare = posixpath.basename(wanted).lower()
        alike = self._by_bare.get(bare, [])
        if not alike and not posixpath.splitext(bare)[1]:
            alike = self._by_stem.get(bare, [])
        alike = [name for name in alike if _same_part(wanted, name)]
        own_case = posixpath.basename(wanted)
        alike = [name for name in alike if posixpath.basename(name) == own_case] or alike
        most = max((_shared_tail(wanted, name) for name in alike), default=0)
        best = [name for name in alike if _shared_tail(wanted, name) == most]
        if len(best) == 1:
            return best[0], ""
        if len(best) > 1:
            return None, f"{len(best)} pictures have this name"
        others = self._by_stem.get(posixpath.splitext(bare)[0], [])
        hint = f"; there is {others[0]}" if len(others) == 1 else ""
        return None, f"no such picture{hint}"

    def exactly(self, given: str, *, beside: str = "") -> str | None:
        """The picture at this path, from the root or from the folder of the file `beside`."""
        wanted = plain(given)
        below = posixpath.join(posixpath.dirname(beside), wanted)
        for name in (posixpath.normpath(wanted), posixpath.normpath(below)):
            if name in self._pictures:
                return name
        return None

    def has_bare(self, given: str) -> bool:
        """Whether a picture in any folder has this name."""
        return posixpath.basename(plain(given)).lower() in self._by_bare

    def below(self, given: str, folder: str) -> list[str]:
        """Pictures of this bare name anywhere in a folder ("" is the root)."""
        start = f"{folder}/" if folder else ""
        bare = posixpath.basename(plain(given)).lower()
        return [name for name in self._by_bare.get(bare, []) if name.startswith(start)]


def plain(given: str) -> str:
    """A name with "/" between folders, whichever system wrote it."""
    return given.replace("\\", "/").strip()


def _shared_tail(wanted: str, name: str) -> int:
    """How many folders before the file name are the same."""
    pairs = zip(wanted.split("/")[-2::-1], name.split("/")[-2::-1], strict=False)
    count = 0
    for one, other in pairs:
        if one.lower() != other.lower():
            break
        count += 1
    return count


def _same_part(wanted: str, name: str) -> bool:
    """Whether folders do not put the two names into different parts."""
    parts = [
        {word for folder in path.split("/")[:-1] if (word := part_word(folder))}
        for path in (wanted, name)
    ]
    return not all(parts) or bool(parts[0] & parts[1])
