"""Probes of clusters: the documents with the smallest keys of each, in one pass."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from winnow.keys import keys
from winnow.score.probes import probe
from winnow.stage import canonical


@pytest.mark.parametrize("size", [1, 7, 400])
def test_a_probe_has_the_smallest_keys_of_each_cluster(
    tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many batches and shards there are, and though it is cut again and again on the way."""
    monkeypatch.setattr("winnow.parquet.BATCH", 50)
    monkeypatch.setattr("winnow.score.probes.BATCH", 50)
    generator = np.random.default_rng(0)
    doc = generator.permutation(5000)[:3000].astype(np.int64)
    cluster = np.minimum(generator.geometric(0.3, 3000) - 1, 9).astype(np.int32)
    removed = np.sort(doc[::11])
    pq.write_table(
        pa.table({"doc": removed, "role": ["heldout"] * len(removed)}), tmp_path / "heldout.parquet"
    )
    paths = []
    for start, end in ((0, 0), (0, 900), (900, 3000)):
        paths.append(tmp_path / f"{end}-{len(paths)}.parquet")
        pq.write_table(pa.table({"doc": doc[start:end], "cluster": cluster[start:end]}), paths[-1])
    spec = canonical({"scorer": {"kind": "proxy-loss", "probe": size, "seed": 3}})
    monkeypatch.setattr("winnow.score.probes.read_spec", lambda text, *_: json.loads(text))
    probe(assignments=paths, heldout=tmp_path / "heldout.parquet", spec=spec, out=tmp_path / "probe.parquet")
    key = keys("probe", 3, doc)
    expected = {
        int(doc[i])
        for c in range(10)
        for i in sorted(np.flatnonzero((cluster == c) & ~np.isin(doc, removed)), key=lambda i: key[i])[:size]
    }
    found = pq.read_table(tmp_path / "probe.parquet")
    assert found["doc"].to_pylist() == sorted(expected)
    assert found["cluster"].to_pylist() == [int(cluster[doc == one][0]) for one in found["doc"].to_pylist()]
    assert found.schema.types == [pa.int64(), pa.int32()]
