"""Held-out documents: nothing that a benchmark is made of may stay in the pool."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from winnow.documents.heldout import ROLES, heldout, hold_out
from winnow.keys import keys
from winnow.stage import InputError


def shards(folder, doc, digest, cuts):
    paths = []
    for i, (a, b) in enumerate(zip([0, *cuts], [*cuts, len(doc)], strict=True)):
        paths.append(folder / f"{i:04d}.parquet")
        columns = {"doc": pa.array(doc[a:b], pa.int64()), "digest": pa.array(digest[a:b], pa.uint64())}
        pq.write_table(pa.table({**columns, "text": pa.array(["x"] * (b - a))}), paths[-1])
    return paths


def by_hand(doc, digest, seed, n, deduplicate):
    """The definition, document by document."""
    first: dict[int, int] = {}
    for d, g in sorted(zip(doc, digest, strict=True)):
        first.setdefault(g, d)
    from_these = [d for d, g in zip(doc, digest, strict=True) if not deduplicate or first[g] == d]
    key = dict(zip(doc, keys("heldout", seed, np.array(doc, dtype=np.int64)).tolist(), strict=True))
    drawn = set(sorted(from_these, key=lambda d: key[d])[:n])
    held = {g for d, g in zip(doc, digest, strict=True) if d in drawn}
    roles = {}
    for d, g in zip(doc, digest, strict=True):
        if d in drawn:
            roles[d] = "heldout"
        elif g in held:
            roles[d] = "duplicate-of-heldout"
        elif deduplicate and first[g] != d:
            roles[d] = "duplicate"
    return dict(sorted(roles.items()))


@settings(max_examples=40)
@given(
    digest=st.lists(st.integers(0, 2**64 - 1).map(lambda x: x % 9 * (2**60 + 1)), min_size=12, max_size=60),
    n=st.integers(0, 4),
    seed=st.integers(0, 3),
    deduplicate=st.booleans(),
    part=st.sampled_from([1, 7, 1 << 24]),
    data=st.data(),
)
def test_roles_are_those_of_the_definition(tmp_path_factory, digest, n, seed, deduplicate, part, data):
    doc = [3 * i + 5 for i in range(len(digest))]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(doc)), max_size=3)))
    paths = shards(tmp_path_factory.mktemp("shards"), doc, digest, cuts)
    if n and n >= (len(set(digest)) if deduplicate else len(doc)):
        with pytest.raises(InputError, match=r"heldout\.documents"):
            hold_out(paths, seed, n, deduplicate, part)
        return
    got, role = hold_out(paths, seed, n, deduplicate, part)
    assert dict(zip(got.tolist(), [ROLES[r] for r in role], strict=True)) == by_hand(
        doc, digest, seed, n, deduplicate
    )
    assert (np.diff(got) > 0).all()


def test_the_same_bytes_however_the_corpus_is_cut(tmp_path):
    doc = np.arange(5000)
    digest = (doc * 7919 % 3000).astype(np.uint64)
    spec = '{"heldout":{"documents":100,"seed":1},"deduplicate":true}'
    for name, cuts in (("one", []), ("four", [1000, 1000, 4096])):
        (tmp_path / name).mkdir()
        paths = shards(tmp_path / name, doc, digest, cuts)
        heldout(documents=paths, spec=spec, out=tmp_path / f"{name}.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "four.parquet").read_bytes()
    table = pq.read_table(tmp_path / "one.parquet")
    assert table.schema.field("doc").type == pa.int64()
    assert table.schema.field("role").type == pa.string()


def test_nothing_held_out_is_an_empty_table(tmp_path):
    paths = shards(tmp_path, [0, 1], [1, 1], [])
    heldout(documents=paths, spec='{"heldout":{},"deduplicate":false}', out=tmp_path / "h.parquet")
    assert len(pq.read_table(tmp_path / "h.parquet")) == 0


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            '{"heldout":{"documents":2},"deduplicate":false}',
            "heldout.documents: 2, but the corpus has 2 documents",
        ),
        ('{"heldout":{"documents":-1},"deduplicate":false}', "documents"),
        ('{"heldout":{"docs":1},"deduplicate":false}', "unknown key 'docs'"),
        ('{"heldout":{}}', "missing key 'deduplicate'"),
    ],
)
def test_bad_settings_are_one_line_and_write_nothing(tmp_path, spec, message):
    paths = shards(tmp_path, [0, 1], [1, 2], [])
    with pytest.raises(InputError, match=message):
        heldout(documents=paths, spec=spec, out=tmp_path / "h.parquet")
    assert not (tmp_path / "h.parquet").exists()


def test_a_shard_given_twice_and_a_file_that_is_no_shard_are_named(tmp_path):
    paths = shards(tmp_path, [0, 1, 2], [1, 2, 3], [])
    with pytest.raises(InputError, match="give each shard once"):
        hold_out(paths * 2, 0, 1, False)
    bad = tmp_path / "bad.parquet"
    bad.write_bytes(b"no")
    with pytest.raises(InputError, match=r"bad\.parquet: no documents shard"):
        hold_out([bad], 0, 1, False)
