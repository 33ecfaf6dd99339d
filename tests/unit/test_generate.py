"""The embedded corpora: what a demo user would lose if they were not what the README says."""

import re
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from winnow.documents.generate import generate, table
from winnow.documents.generators import python_packages, sentiment_grammar, story_grammar
from winnow.stage import InputError


@pytest.fixture(scope="module")
def packages():
    return table({"generator": "python-packages"})


def test_pile_mini_has_the_promised_size_and_spread(packages):
    assert 2000 <= len(packages) <= 3000
    domains = Counter(packages["domain"].to_pylist())
    assert len(domains) >= 6
    assert max(domains.values()) <= 0.35 * len(packages)
    assert min(domains.values()) >= 40
    lengths = [len(text) for text in packages["text"].to_pylist()]
    assert 900 <= sum(lengths) / len(lengths) <= 1200
    assert min(lengths) >= python_packages.SHORTEST
    assert max(lengths) <= python_packages.LONGEST


def test_pile_mini_has_no_document_twice_and_names_where_each_comes_from(packages):
    assert len(set(packages["text"].to_pylist())) == len(packages)
    assert len(set(packages["origin"].to_pylist())) == len(packages)
    assert all(
        re.fullmatch(r"[a-z0-9.-]+/[^#]+#(changelog\.)?\d+", origin)
        for origin in packages["origin"].to_pylist()
    )


def test_pile_mini_is_made_only_of_packages_that_requirements_install(packages):
    root = python_packages.LOCK.parent
    dev = re.findall(r"(?m)^([\w-]+)==", (root / "requirements-dev.txt").read_text())
    used = {name for take in python_packages.TAKES for name in take.packages.split()}
    assert not used & set(dev)


def test_an_edited_package_file_is_named(tmp_path):
    file = tmp_path / "x.py"
    file.write_text("print(1)\n")
    entry = SimpleNamespace(locate=lambda: file, hash=SimpleNamespace(mode="sha256", value="AAAA"))
    with pytest.raises(InputError, match=rf"{file}: sha256 is not the one in RECORD"):
        python_packages.checked(SimpleNamespace(name="x"), entry)


@pytest.mark.parametrize(
    ("lock", "message"),
    [
        ("attrs==1.0 \\\n", "version .* is installed; .* pins 1.0"),
        ("click==1.0 \\\n", "does not pin attrs"),
        ("no-such-package==1 \\\n", "not installed; `make install` installs no-such-package==1"),
        ("attrs==1.0 ; python_version < '3.12' \\\nattrs==2.0 \\\n", "pins attrs to 1.0 or 2.0"),
    ],
)
def test_packages_that_are_not_those_of_the_lock_are_one_line(tmp_path, lock, message):
    path = tmp_path / "lock.txt"
    path.write_text(lock)
    name = "no-such-package" if "no-such" in lock else "attrs"
    with pytest.raises(InputError, match=message):
        python_packages._package(name, python_packages._pins(path), path)


def test_sst2_mini_is_distinct_balanced_and_noisy_as_documented():
    made = sentiment_grammar.table(4000, 0)
    sentences, labels = made["sentence"].to_pylist(), made["label"].to_pylist()
    assert len(set(sentences)) == 4000
    assert 0.45 < sum(labels) / 4000 < 0.55
    forms = Counter(
        " ".join(
            w for w in s.split() if w in ["the", "a", "is", "never", ",", "but", "although", "and", "nothing"]
        )
        for s in sentences
    )
    assert len(forms) >= 20


def test_sst2_mini_flips_one_label_in_twenty(monkeypatch):
    noisy = sentiment_grammar.table(4000, 3)["label"].to_pylist()
    truth = []
    sentence = sentiment_grammar._sentence
    seen = set()

    def spy(dice, label):
        made = sentence(dice, label)
        if made not in seen:
            seen.add(made)
            truth.append(label)
        return made

    monkeypatch.setattr(sentiment_grammar, "_sentence", spy)
    sentiment_grammar.table(4000, 3)
    assert 0.035 < sum(a != b for a, b in zip(noisy, truth, strict=True)) / 4000 < 0.065


@pytest.mark.parametrize("module", [sentiment_grammar, story_grammar])
def test_more_documents_start_with_the_same_ones_and_seeds_differ(module):
    assert module.table(300, 1).equals(module.table(500, 1).slice(0, 300))
    assert not module.table(300, 1).equals(module.table(300, 2))


def test_tinystories_mini_keeps_what_its_prompt_promises():
    made = story_grammar.table(2000, 0)
    assert made.column_names == ["story", "summary", "source", "prompt", "words", "features"]
    rows = made.to_pylist()
    assert len({row["story"] for row in rows}) == 2000
    for row in rows:
        assert 80 <= len(row["story"].split()) <= 180
        assert "\n" in row["story"]
        assert not re.search(r"\b[Aa] [aeiou]|\b[Aa]n [^aeiou]|  |\{|\}", row["story"])
        assert row["source"] == "grammar"
        assert len(row["words"]) == 3
        for word in row["words"]:
            assert re.search(rf"\b{word}\b", row["story"])
            assert f"'{word}'" in row["prompt"]
        assert all(feature in row["prompt"] for feature in row["features"])
        assert ('"' in row["story"]) == ("Dialogue" in row["features"])
        assert bool(re.search(r"And \w+ learned that", row["story"])) == ("MoralValue" in row["features"])
    counts = Counter(feature for row in rows for feature in row["features"])
    assert set(counts) == set(story_grammar.FEATURES)
    assert min(counts.values()) > 200


def test_minimal_pairs_differ_in_one_place_and_cover_their_phenomena():
    pairs = story_grammar.minimal_pairs(400, 0)
    assert len({pair[:2] for pair in pairs}) == 400
    assert set(Counter(p for _, _, p in pairs).values()) == {50}
    for good, bad, phenomenon in pairs:
        a, b = good.split(), bad.split()
        assert len(a) == len(b)
        assert sum(x != y for x, y in zip(a, b, strict=True)) == (2 if phenomenon == "word-order" else 1)
    # The good form must not be guessable from the form alone.
    agreement = Counter(
        re.search(r" (is|are) ", good).group(1) for good, _, p in pairs if p.startswith("agreement-across")
    )
    assert min(agreement.values()) >= 15


def test_the_command_writes_the_same_bytes_again(tmp_path):
    spec = '{"source":{"generator":"story-grammar","documents":50,"seed":4}}'
    for name in ("a", "b"):
        generate(corpus_name="t", spec=spec, out=tmp_path / f"{name}.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert pq.read_metadata(tmp_path / "a.parquet").num_rows == 50


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ('{"generator":"poems"}', "poems"),
        ('{"generator":"python-packages","seed":1}', "source.seed: python-packages is a fixed corpus"),
        ('{"generator":"story-grammar","documents":0}', "documents"),
        ('{"generator":"sentiment-grammar","documents":99999999}', "more than the 20000"),
        ('{"files":["x"]}', "generator"),
    ],
)
def test_settings_that_cannot_be_met_are_one_line(tmp_path, source, message):
    with pytest.raises(InputError, match=message) as error:
        generate(corpus_name="t", spec=f'{{"source":{source}}}', out=tmp_path / "x.parquet")
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_the_light_stages_load_no_heavy_library():
    code = (
        "import sys, winnow.documents.shards, winnow.documents.heldout, winnow.documents.generate, winnow.download; "
        "print([m for m in ('torch', 'transformers', 'datasets', 'pandas', 'huggingface_hub') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
