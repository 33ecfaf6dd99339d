"""Documents: reading and writing jsonl.gz against what pyarrow and gzip alone take for the same bytes.

    .venv/bin/python tests/benchmarks/documents.py --gigabytes 1

The peer reads with `pyarrow.json.read_json` from an Arrow gzip stream and writes the text as zstd parquet: no
cleaning, numbers, digests or checks. Both run in turn, `--rounds` times; the best of each counts. The index
pass (rows of the file) is measured apart: it is done once for all shards. Real Pile documents (WINNOW_DATA), or made-up ones.
"""

import gzip
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.json
import pyarrow.parquet as pq
from common import figure, options, pile_lines, processor
from winnow.documents.shards import index_files, write_shard


def source(folder: Path, gigabytes: float) -> tuple[Path, int]:
    """The Pile test documents over and over, as one jsonl.gz file of so many (uncompressed) gigabytes."""
    raw = "".join(line + "\n" for line in pile_lines()).encode()
    packed = gzip.compress(raw, 6)
    times = max(1, round(gigabytes * 1e9 / len(raw)))
    path = folder / "pile.jsonl.gz"
    with open(path, "wb") as file:
        for _ in range(times):
            file.write(packed)
    return path, times * len(raw)


def peer(path: Path, out: Path) -> None:
    with pa.CompressedInputStream(pa.OSFile(str(path)), "gzip") as stream:
        table = pa.json.read_json(stream, pa.json.ReadOptions(block_size=16 << 20))
    pq.write_table(table, out, compression="zstd")


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--gigabytes", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    print(processor(), flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path, size = source(folder, asked.gigabytes)
        corpus = {"source": {"files": [str(path)]}, "text": "text", "meta": ["meta.pile_set_name"]}
        seconds: dict[str, list[float]] = {"peer": [], "index": [], "write": []}
        for _ in range(asked.rounds):
            start = time.perf_counter()
            peer(path, folder / "peer.parquet")
            seconds["peer"].append(time.perf_counter() - start)
            start = time.perf_counter()
            indexed = index_files([str(path)], corpus)
            seconds["index"].append(time.perf_counter() - start)
            start = time.perf_counter()
            write_shard(indexed, corpus, 0, 1, folder / "documents.parquet")
            seconds["write"].append(time.perf_counter() - start)
    best = {what: min(times) for what, times in seconds.items()}
    for what, time_ in best.items():
        print(f"{what:6} {time_:7.2f} s {size / 1e6 / time_:7.0f} MB/s")
    print(f"write reaches {best['peer'] / best['write']:.2f} of the peer's speed (wanted: 0.80)")
    rates = {what: size / 1e6 / time_ for what, time_ in best.items()}
    figure("write documents", "MB/s", rates["write"], rates["peer"], "at least 0.80")
    print(f"index and write reach {best['peer'] / (best['index'] + best['write']):.2f}")


if __name__ == "__main__":
    main()
