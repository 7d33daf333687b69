"""The tree against the recursive definition of RFC 6962, and the proofs against every way to lie."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from evertrain.core.identity import Digest
from evertrain.core.merkle import (
    EMPTY,
    Frontier,
    TreeHead,
    consistency_proof,
    hash_leaf,
    inclusion_proof,
    tree_hash,
    verify_consistency,
    verify_inclusion,
)

contents = st.lists(st.binary(max_size=4), max_size=40)


def by_definition(entries: list[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, word for word."""
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    k = 1
    while k * 2 < len(entries):
        k *= 2
    return hashlib.sha256(b"\x01" + by_definition(entries[:k]) + by_definition(entries[k:])).digest()


def head(entries: list[bytes]) -> TreeHead:
    return TreeHead(size=len(entries), root=Digest(by_definition(entries).hex()))


def test_known_roots_of_the_certificate_transparency_test_vectors() -> None:
    entries = [
        bytes.fromhex(text)
        for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
    ]
    leaves = [hash_leaf(entry) for entry in entries]
    assert tree_hash(leaves[:1]).hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert tree_hash(leaves[:3]).hex() == "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"
    assert tree_hash(leaves).hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


@given(contents, st.data())
def test_frontier_equals_the_definition_however_it_grew(entries: list[bytes], data: st.DataObject) -> None:
    leaves = [hash_leaf(entry) for entry in entries]
    cut = data.draw(st.integers(0, len(leaves)))
    frontier = Frontier().grow(leaves[:cut]).grow(leaves[cut:])
    assert frontier.root() == by_definition(entries)
    assert frontier.size == len(entries)
    assert len(frontier.peaks) == frontier.size.bit_count()


def test_empty_tree_hashes_the_empty_string() -> None:
    assert Frontier().root() == EMPTY == tree_hash([])


@given(contents.filter(bool), st.data())
def test_inclusion_is_proved_and_lies_are_not(entries: list[bytes], data: st.DataObject) -> None:
    leaves = [hash_leaf(entry) for entry in entries]
    index = data.draw(st.integers(0, len(leaves) - 1))
    proof, root = inclusion_proof(leaves, index), tree_hash(leaves)
    assert verify_inclusion(leaves[index], index, len(leaves), proof, root)
    assert not verify_inclusion(hash_leaf(b"something else"), index, len(leaves), proof, root)
    assert not verify_inclusion(leaves[index], index, len(leaves), [*proof, root], root)
    assert not verify_inclusion(leaves[index], len(leaves), len(leaves), proof, root)
    if proof:
        assert not verify_inclusion(leaves[index], index, len(leaves), proof[:-1], root)
        at = data.draw(st.integers(0, len(proof) - 1))
        bent = [bytes([node[0] ^ 1]) + node[1:] if step == at else node for step, node in enumerate(proof)]
        assert not verify_inclusion(leaves[index], index, len(leaves), bent, root)


@given(contents, st.data())
def test_consistency_is_proved_and_lies_are_not(entries: list[bytes], data: st.DataObject) -> None:
    leaves = [hash_leaf(entry) for entry in entries]
    size = data.draw(st.integers(0, len(leaves)))
    old, new, proof = head(entries[:size]), head(entries), consistency_proof(leaves, size)
    assert verify_consistency(old, new, proof)
    if size:
        other = TreeHead(size=size, root=Digest(hash_leaf(b"another history").hex()))
        assert not verify_consistency(other, new, proof)
    if proof:
        assert not verify_consistency(old, new, proof[:-1])
        assert not verify_consistency(old, TreeHead(size=new.size, root=old.root), proof)
        at = data.draw(st.integers(0, len(proof) - 1))
        bent = [bytes([node[0] ^ 1]) + node[1:] if step == at else node for step, node in enumerate(proof)]
        assert not verify_consistency(old, new, bent)


@given(st.integers(0, 40), st.integers(0, 40))
def test_a_log_never_shrinks(old_size: int, new_size: int) -> None:
    entries = [bytes([number]) for number in range(max(old_size, new_size))]
    if old_size > new_size:
        assert not verify_consistency(head(entries[:old_size]), head(entries[:new_size]), [])
