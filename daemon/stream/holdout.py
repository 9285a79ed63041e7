"""Which records are held out, that is, never trained on: the same ones in every run and every process."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.foundation.hashing import split_mix
from learnd.daemon.stream.decoding.memo import Memo
from learnd.daemon.values import Int64


class HoldoutRule:
    """Holds out about `share` of the records, by a hash of their key, or of their partition and position.

    By key, all records of one key are held out together. A record to which the source gives no key is hashed by its
    position.
    """

    def __init__(self, share: float, by: Literal["key", "position"]) -> None:
        if not 0 <= share < 1:
            raise ValueError(f"the share held out must be at least 0 and less than 1, not {share}")
        self.by_key = by == "key"
        self._limit = np.uint64(int(share * 2**64))
        self._key_hash = Memo(_hash_text)
        self._partition_hash = Memo(_hash_text)

    def held_out(self, partition: str, starts: Int64, keys: Sequence[str | bytes | None] | None) -> NDArray[np.bool_]:
        """Return whether each record is held out.

        `starts` (n,) are the positions of the records, or their places where a source gives records several times over;
        `keys` are n, or None if no record has one.
        """
        hashes = split_mix(starts.astype(np.uint64) ^ np.uint64(self._partition_hash[partition]))
        if self.by_key and keys is not None:
            hashes = self._with_keys(hashes, keys)
        return hashes < self._limit

    def _with_keys(self, hashes: NDArray[np.uint64], keys: Sequence[Any]) -> NDArray[np.uint64]:
        given = np.fromiter((key is not None for key in keys), np.bool_, len(keys))
        present = [key for key in keys if key is not None]
        hashes[given] = np.fromiter(map(self._key_hash.__getitem__, present), np.uint64, len(present))
        return hashes


def _hash_text(text: str | bytes) -> int:
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
