"""The Merkle tree of an append-only log, as RFC 6962 section 2.1 defines it.

A leaf's hash is SHA-256(0x00 || leaf), an inner node's SHA-256(0x01 || left || right); a tree of n leaves splits at
the largest power of two below n. A `Frontier` keeps only the roots of the perfect subtrees, so a log grows by one
leaf, and tells its root, at O(log n). The verification algorithms are those of RFC 9162, sections 2.1.3 and 2.1.4.
"""

import hashlib
from collections.abc import Iterable, Sequence

import msgspec

from evertrain.core.identity import Digest
from evertrain.core.time import Instant

__all__ = [
    "EMPTY",
    "Frontier",
    "SignedHead",
    "TreeHead",
    "consistency_proof",
    "hash_leaf",
    "hash_node",
    "inclusion_proof",
    "tree_hash",
    "verify_consistency",
    "verify_inclusion",
]


class TreeHead(msgspec.Struct, frozen=True, kw_only=True):
    """What a log was when it had `size` leaves. root: 64 hexadecimal digits."""

    size: int
    root: Digest


class SignedHead(msgspec.Struct, frozen=True, kw_only=True, tag="tree.head", tag_field="kind"):
    """A tree head that somebody vouches for: Ed25519 over its canonical JSON with an empty signature."""

    size: int
    root: Digest
    at: Instant
    key: str = ""
    signature: str = ""


def hash_leaf(leaf: bytes) -> bytes:
    """The hash of one leaf, 32 bytes.

    >>> hash_leaf(b"").hex()[:16]
    '6e340b9cffb37a98'
    """
    return hashlib.sha256(b"\x00" + leaf).digest()


def hash_node(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node, 32 bytes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


EMPTY = hashlib.sha256(b"").digest()
"""The root of a tree without leaves."""


class Frontier(msgspec.Struct, frozen=True):
    """The roots of a log's perfect subtrees, from the left: one for each bit that is set in `size`.

    >>> Frontier().grow([hash_leaf(b"a")]).head().size
    1
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def grow(self, leaves: Iterable[bytes]) -> "Frontier":
        """The frontier after these leaf hashes, in order."""
        size, peaks = self.size, list(self.peaks)
        for leaf in leaves:
            node, full = leaf, size
            while full & 1:
                node = hash_node(peaks.pop(), node)
                full >>= 1
            peaks.append(node)
            size += 1
        return Frontier(size, tuple(peaks))

    def root(self) -> bytes:
        """The tree's root: the peaks hashed together from the right."""
        if not self.peaks:
            return EMPTY
        node = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            node = hash_node(peak, node)
        return node

    def head(self) -> TreeHead:
        return TreeHead(size=self.size, root=Digest(self.root().hex()))


def tree_hash(leaves: Sequence[bytes]) -> bytes:
    """The root over these leaf hashes.

    >>> tree_hash([]) == EMPTY
    True
    """
    return Frontier().grow(leaves).root()


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The hashes that lead from leaf `index` to the root over all `leaves` (leaf hashes), lowest first."""
    if not 0 <= index < len(leaves):
        raise IndexError(f"leaf {index} of {len(leaves)}")
    low, high, path = 0, len(leaves), list[bytes]()
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(tree_hash(leaves[middle:high]))
            high = middle
        else:
            path.append(tree_hash(leaves[low:middle]))
            low = middle
    return path[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `proof` shows that the leaf hash stands at `index` in the tree of `size` leaves with this root.

    >>> a, b = hash_leaf(b"a"), hash_leaf(b"b")
    >>> verify_inclusion(a, 0, 2, [b], hash_node(a, b)), verify_inclusion(a, 1, 2, [b], hash_node(a, b))
    (True, False)
    """
    if not 0 <= index < size:
        return False
    node, last = leaf, size - 1
    for sibling in proof:
        if last == 0:
            return False
        if index & 1 or index == last:
            node = hash_node(sibling, node)
            while index and not index & 1:
                index >>= 1
                last >>= 1
        else:
            node = hash_node(node, sibling)
        index >>= 1
        last >>= 1
    return last == 0 and node == root


def consistency_proof(leaves: Sequence[bytes], old: int) -> list[bytes]:
    """The hashes that show that the tree of the first `old` leaves is a prefix of the tree of all `leaves`."""
    if not 0 <= old <= len(leaves):
        raise IndexError(f"size {old} of {len(leaves)}")
    if old in (0, len(leaves)):
        return []
    low, high, path, whole = 0, len(leaves), list[bytes](), True
    while old != high:
        middle = low + _split(high - low)
        if old <= middle:
            path.append(tree_hash(leaves[middle:high]))
            high = middle
        else:
            path.append(tree_hash(leaves[low:middle]))
            low, whole = middle, False
    if not whole:
        path.append(tree_hash(leaves[low:high]))
    return path[::-1]


def verify_consistency(old: TreeHead, new: TreeHead, proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows that the log of `old` is a prefix of the log of `new`. An empty log is one of every log.

    >>> empty = TreeHead(size=0, root=EMPTY.hex())
    >>> verify_consistency(empty, TreeHead(size=1, root=hash_leaf(b"a").hex()), [])
    True
    """
    if old.size in (0, new.size):
        return not proof and (old.root == new.root if old.size else old.root == EMPTY.hex())
    if old.size > new.size or not proof:
        return False
    path = list(proof)
    if old.size & (old.size - 1) == 0:
        path.insert(0, bytes.fromhex(old.root))
    return _climb(old, new, path)


def _climb(old: TreeHead, new: TreeHead, path: list[bytes]) -> bool:
    """RFC 9162, section 2.1.4.2, steps 3 to 7."""
    first, second = old.size - 1, new.size - 1
    while first & 1:
        first >>= 1
        second >>= 1
    old_node = new_node = path[0]
    for sibling in path[1:]:
        if second == 0:
            return False
        if first & 1 or first == second:
            old_node = hash_node(sibling, old_node)
            new_node = hash_node(sibling, new_node)
            while first and not first & 1:
                first >>= 1
                second >>= 1
        else:
            new_node = hash_node(new_node, sibling)
        first >>= 1
        second >>= 1
    return second == 0 and old_node.hex() == old.root and new_node.hex() == new.root


def _split(size: int) -> int:
    """The largest power of two below `size`, for size >= 2.

    >>> [_split(size) for size in (2, 3, 4, 5, 8, 9)]
    [1, 2, 2, 4, 4, 8]
    """
    return 1 << ((size - 1).bit_length() - 1)
