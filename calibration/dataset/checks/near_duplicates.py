"""Finds pictures that are nearly the same, without comparing each with every other.

In: summaries of pictures. Out: clusters of their rows. A gradient hash proposes pairs, a thumbnail
confirms them. Two hashes at most FARTHEST bits apart agree in at least one of FARTHEST + 1 bands,
so only hashes that share a band are compared.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from calibration.dataset.pictures.summary import PictureSummary

Rows = NDArray[np.int64]

FARTHEST = 4
"""Bits of 64 that hashes of near duplicates may differ in."""

WINDOW = 256
"""Most neighbours that one hash is compared with in a band: a band that thousands share (flat
pictures) costs no more than this each."""

ALIKE = 0.99
"""Least correlation of thumbnails that confirms; brightness and contrast do not count."""

_BITS = np.array([bin(value).count("1") for value in range(256)], np.uint8)


def similar_clusters(summaries: Sequence[PictureSummary]) -> list[list[int]]:
    """Rows of pictures that are nearly the same, in clusters of two or more, ascending.

    A cluster holds whatever is linked by a chain of near duplicates.
    """
    if len(summaries) < 2:
        return []
    hashes = np.array([summary.gradient_hash for summary in summaries], np.uint64)
    thumbs = np.stack([np.frombuffer(summary.thumb, np.uint8) for summary in summaries])
    parent = list(range(len(summaries)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for left, right in itertools.chain(_same(hashes), _proposed(hashes)):
        kept = _confirmed(thumbs[left], thumbs[right])
        for one, other in zip(left[kept].tolist(), right[kept].tolist(), strict=True):
            first, second = sorted((root(one), root(other)))
            parent[second] = first
    clusters: dict[int, list[int]] = {}
    for row in range(len(summaries)):
        clusters.setdefault(root(row), []).append(row)
    return [rows for rows in clusters.values() if len(rows) > 1]


def _same(hashes: NDArray[np.uint64]) -> Iterator[tuple[Rows, Rows]]:
    """Pairs of rows with one hash: each with the first of its hash and with the one before."""
    order = np.argsort(hashes, kind="stable")
    begins = np.flatnonzero(np.r_[True, hashes[order][1:] != hashes[order][:-1]])
    first = order[np.repeat(begins, np.diff(np.r_[begins, len(order)]))]
    again = hashes[order][1:] == hashes[order][:-1]
    yield first[1:][again], order[1:][again]
    yield order[:-1][again], order[1:][again]


def _proposed(hashes: NDArray[np.uint64]) -> Iterator[tuple[Rows, Rows]]:
    """Pairs of rows whose hashes share a band and are 1 to FARTHEST bits apart.

    Of rows with one hash only the first takes part: the others are linked to it already.
    """
    hashes, rows = np.unique(hashes, return_index=True)
    edges = np.linspace(0, 64, FARTHEST + 2).round().astype(int)
    for low, high in itertools.pairwise(edges.tolist()):
        mask = np.uint64(((1 << (high - low)) - 1) << low)
        keys = hashes & mask
        order = np.lexsort((hashes, keys))
        for step in range(1, min(WINDOW, len(hashes) - 1) + 1):
            left, right = order[:-step], order[step:]
            shared = keys[left] == keys[right]
            if not shared.any():
                break
            left, right = left[shared], right[shared]
            near = _distance(hashes[left], hashes[right]) <= FARTHEST
            if near.any():
                yield rows[left[near]], rows[right[near]]


def _distance(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Bits that differ."""
    octets = np.bitwise_xor(one, other).view(np.uint8).reshape(-1, 8)
    return np.asarray(_BITS[octets].sum(axis=1), np.int64)


def _confirmed(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether thumbnails correlate; two flat ones do when they are as bright."""
    left, right = one.astype(np.float32), other.astype(np.float32)
    close = np.abs(left - right).mean(axis=1) < 2.0
    left -= left.mean(axis=1, keepdims=True)
    right -= right.mean(axis=1, keepdims=True)
    power = np.sqrt((left**2).sum(axis=1) * (right**2).sum(axis=1))
    correlated = (left * right).sum(axis=1) >= ALIKE * np.maximum(power, 1e-6)
    flat = power < one.shape[1]
    return np.asarray(np.where(flat, close, correlated), np.bool_)
