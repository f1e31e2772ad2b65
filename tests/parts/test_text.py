"""Language data: text that comes back exactly, windows by hand, and parts that share nothing."""

from __future__ import annotations

import sys
import tracemalloc

import numpy as np
import pytest

from deepprinciples.errors import DataError, ResourceError
from deepprinciples.parts.data import prepare
from deepprinciples.parts.fetched.published import SETS
from deepprinciples.parts.files import array_files
from deepprinciples.parts.splitting import held_out
from deepprinciples.parts.text import TABLE, plays, streamed, tokenizer_of
from deepprinciples.parts.text.text_files import ends_of_documents, whole_documents
from deepprinciples.parts.tokens.byte_pairs import byte_pair_names
from deepprinciples.parts.tokens.tokenization import (
    BEGIN,
    BYTE_NAMES,
    END,
    PADDING,
    bytes_named,
    character_names,
    pieces,
    word_names,
)
from deepprinciples.parts.tokens.windows import windows

SAMPLE = "The naïve café — “quoted”,\r\n\ttabs  and   spaces, snake_case, 12345 &c. 漢字 🙂 e\u0301\n\n"
ENGLISH = "it is the east, and juliet is the sun. arise, fair sun, and kill the envious moon. " * 30


def refusal(call, *args, **kwargs) -> str:
    """Give the message of the error, which has to be one line."""
    with pytest.raises(DataError) as caught:
        call(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 600, message
    return message


# --- tokens ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [
    character_names([SAMPLE]), BYTE_NAMES, byte_pair_names([ENGLISH, SAMPLE], 300),
], ids=["characters", "bytes", "bpe"])  # fmt: skip
@pytest.mark.parametrize("special", [(), (PADDING, BEGIN, END)])
def test_text_comes_back_exactly(names, special):
    """Lost: a generated text or a prompt that is not what was typed; bits per byte of another text."""
    tokenizer = tokenizer_of((*special, *names))
    ids = tokenizer.encode(SAMPLE)
    assert ids.dtype == np.int32 and ids.min() >= len(special) and ids.max() < len(tokenizer.names)
    assert tokenizer.decode(ids) == SAMPLE and tokenizer.decode(ids.tolist()) == SAMPLE
    assert tokenizer.byte_lengths[ids].sum() == len(SAMPLE.encode())
    if special:
        assert tokenizer.decode([1, *ids, 2, ids[0], 0, 0]) == SAMPLE, "what follows the end is no text"
        assert (tokenizer.byte_lengths[:3] == 0).all()


def test_bytes_are_their_own_ids_and_broken_ones_are_shown():
    """Lost: a run with bytes cannot be compared with another program's; or generating a half character crashes."""
    tokenizer = tokenizer_of(BYTE_NAMES)
    assert tokenizer.encode("aé").tolist() == [97, 195, 169]
    assert tokenizer.decode([97, 195]) == "a\ufffd"
    assert len(set(BYTE_NAMES)) == 256 and all(len(name) == 1 and name.isprintable() for name in BYTE_NAMES)


def test_byte_pairs_are_read_as_the_library_reads_them():
    """Lost: the pairs that were learned are not those that text is cut into, so sequences are longer than reported."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    names = byte_pair_names([ENGLISH], 320)
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(vocab_size=320, min_frequency=2, initial_alphabet=list(BYTE_NAMES))
    spelled = " ".join(map(bytes_named, pieces(ENGLISH)))
    learner.train_from_iterator([spelled], trainer)
    tokenizer = tokenizer_of(names)
    assert [names[i] for i in tokenizer.encode(ENGLISH)] == learner.encode(spelled).tokens
    assert len(tokenizer.encode(ENGLISH)) < len(ENGLISH) / 2
    assert names == byte_pair_names([ENGLISH], 320) and 256 < len(names) <= 320
    assert "data.symbols: found 256" in refusal(byte_pair_names, [ENGLISH], 256)


def test_without_the_library_byte_pairs_are_one_line(monkeypatch):
    """Lost: a traceback where an optional package is missing; or a run that cannot generate text without it."""
    names = byte_pair_names([ENGLISH], 300)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ResourceError, match=r'pip install "deepprinciples\[text\]"') as caught:
        byte_pair_names([ENGLISH], 300)
    assert "\n" not in str(caught.value)
    assert tokenizer_of(names).decode(tokenizer_of(names).encode("fair sun")) == "fair sun"


def test_words_are_ranked_and_others_are_unknown():
    """Lost: an id that means another word from run to run."""
    names = word_names(["b a b c", "c b <unknown> <end>"], 2)
    assert names == ("<unknown>", "b", "c")
    tokenizer = tokenizer_of((PADDING, *names))
    assert tokenizer.encode("c  a b").tolist() == [3, 1, 2]
    assert tokenizer.decode([2, 1, 3, 0, 0]) == "b <unknown> c"
    for bad in ((), ("cat", "dog")):
        assert "expected those of characters, bytes or words" in refusal(tokenizer_of, bad)
    for bad, kind in ((("\ufffd", "a", "bc"), "characters"), ((*BYTE_NAMES, "ab", "\u20ac"), "bytes")):
        assert f"tokens: found '{bad[-1]}' among the names of {kind}" in refusal(tokenizer_of, bad)


# --- windows ---------------------------------------------------------------------------------------------------------


def test_windows_by_hand():
    """Lost: targets that are not the next token, or a token that is predicted twice in the test."""
    made = windows([np.arange(1, 8), np.array([9]), np.array([8, 9])], 3, 3)
    assert made.inputs.tolist() == [[1, 2, 3], [4, 5, 6], [8, 0, 0]]
    assert made.targets.tolist() == [[2, 3, 4], [5, 6, 7], [9, -1, -1]]
    made = windows([np.arange(1, 8)], 4, 2)
    assert made.inputs.tolist() == [[1, 2, 3, 4], [3, 4, 5, 6]]
    assert made.targets.tolist() == [[2, 3, 4, 5], [4, 5, 6, 7]]
    assert windows([np.arange(1, 9)], 4, 2).targets.tolist()[-1] == [6, 7, 8, -1]


@pytest.mark.parametrize("length", [1, 3, 4, 7])
@pytest.mark.parametrize("count", [1, 2, 4, 5, 8, 9])
def test_every_token_but_the_first_is_a_target_once(length, count):
    """Lost: bits per byte of less text than there is."""
    ids = np.arange(count)
    made = windows([ids], length, length)
    assert made.targets[made.targets >= 0].tolist() == list(range(1, count))
    assert made.inputs[made.targets >= 0].tolist() == list(range(count - 1))
    for stride in range(1, length + 1):
        assert set(windows([ids], length, stride).targets.ravel()) - {-1} == set(range(1, count))


# --- text of one's own -----------------------------------------------------------------------------------------------


def test_one_file_is_cut_into_beginning_and_ends(tmp_path):
    """Lost: windows of the test among those of training, or a vocabulary that knows the test."""
    path = tmp_path / "one.txt"
    path.write_text("ab" * 90 + "ac" * 5 + "ad" * 5, encoding="utf-8")
    data = prepare(TABLE["text"](path=str(path), length=8), batch_size=4)
    assert data.class_names == data.token_names == ("\ufffd", "a", "b") and data.vocabulary == data.outputs == 3
    count = lambda part: int((part.targets >= 0).sum()) + 1
    assert [count(part) for part in (data.train, data.validation, data.test)] == [180, 10, 10]
    assert 0 not in data.train.targets and (data.test.targets == 0).any()
    assert data.notes[0] == "5 characters of the validation part, unseen in training, are the token unknown"
    assert ends_of_documents(["abcdefghij", "k" * 10], 0.4) == {
        "train": ["abcdef", "k" * 6], "validation": ["gh", "kk"], "test": ["ij", "kk"]
    }  # fmt: skip
    more = TABLE["text"](path=str(path), length=8, stride=4, held_out=0.5)
    assert len(more.inputs) > 1.5 * (more.targets >= 0).any(axis=0).sum() and len(more.test.inputs) < 10
    bytes_ = prepare(TABLE["text"](path=str(path), tokens="bytes", length=8), batch_size=4)
    assert bytes_.outputs == 256 and bytes_.class_names == BYTE_NAMES


def test_a_further_test_set_has_the_tokens_of_the_data(tmp_path):
    """Lost: a score of ids that stand for other tokens; or padding of a window that counts as a token."""
    first, other = tmp_path / "first.txt", tmp_path / "other.txt"
    first.write_text("ab" * 200, encoding="utf-8")
    other.write_text("ac" * 203, encoding="utf-8")
    made = lambda path, **given: TABLE["text"](path=str(path), length=8, **given)
    whole = held_out.TestSet(made(other, tokens="bytes"), part="all")
    found = prepare(made(first, tokens="bytes"), test_sets={"other": whole}, batch_size=4).test_sets["other"]
    targets = np.concatenate([whole.source.targets, whole.source.validation.targets, whole.source.test.targets])
    np.testing.assert_array_equal(found.targets, targets)
    assert (found.targets == -1).any()
    sets = {"other": held_out.TestSet(made(other))}
    message = refusal(prepare, made(first), test_sets=sets)
    assert message.startswith("test_sets.other: its token ids stand for other tokens than those of [data]; expected")


def test_of_many_files_whole_ones_are_held_out(tmp_path):
    """Lost: pieces of one document on both sides of the split."""
    for number in range(20):
        (tmp_path / f"{number:02}.txt").write_text(chr(97 + number) * (100 + 10 * number) + "xyz", encoding="utf-8")
    (tmp_path / "readme.md").write_bytes(b"\xff")
    made = TABLE["text"](path=str(tmp_path), length=8, tokens="bytes")
    again = TABLE["text"](path=str(tmp_path), length=8, tokens="bytes")
    parts = [made.inputs, made.validation.inputs, made.test.inputs]
    found = [set(map(chr, np.unique(part))) - set("xyz\0") for part in parts]
    assert sum(map(len, found)) == len(set().union(*found)) == 20
    assert (made.test.inputs == again.test.inputs).all()
    sizes = np.array([part.size for part in parts])
    assert abs(sizes[1:] / sizes.sum() - 0.05).max() < 0.03
    few = whole_documents(["a" * 100, "b" * 10, "c" * 50], 0.1)
    assert few == {"train": ["a" * 100], "validation": ["c" * 50], "test": ["b" * 10]}
    assert all(whole_documents(["a" * 10] * 4, 0.9).values()), "each part has a document, whatever the share"


@pytest.mark.parametrize(("content", "options", "message"), [
    (b"abc\xffdef", {}, "offset 3: the byte ff is not UTF-8"),
    (b"ab\xe2\x82", {}, "offset 2: the byte e2 is not UTF-8"),
    (b"", {}, "is empty"), (b"\xef\xbb\xbf \n", {}, "is empty"),
    (b"a" * 500, {}, "one token only"),
    (b"ab" * 35, {}, "has 63 tokens, expected more than data.length = 64"),
    (b"ab" * 10, {"length": 4}, "the validation part has no two tokens"),
    (b"ab" * 500, {"stride": 65}, "data.stride: found 65"), (b"ab" * 500, {"length": 0}, "data.length = 0"),
])  # fmt: skip
def test_bad_text_is_one_line(tmp_path, content, options, message):
    """Lost: a traceback, or a model of nothing."""
    path = tmp_path / "one.txt"
    path.write_bytes(content)
    assert message in refusal(TABLE["text"], path=str(path), **options)


def test_a_folder_without_text_is_one_line(tmp_path):
    """Lost: an error about an empty array; or a file that is empty passes for a document."""
    (tmp_path / "one.md").write_text("text")
    assert "found no file .txt" in refusal(TABLE["text"], path=str(tmp_path))
    assert "no such file" in refusal(TABLE["text"], path=str(tmp_path / "none"))
    for name in "abc":
        (tmp_path / f"{name}.txt").write_text("" if name == "b" else ENGLISH)
    assert "b.txt: is empty" in refusal(TABLE["text"], path=str(tmp_path))


# --- a folder larger than memory --------------------------------------------------------------------------------------


def test_a_stream_gives_every_window_of_the_training_files_once(tmp_path, monkeypatch):
    """Lost: bytes at the seams of blocks, windows across files, or passes that differ."""
    monkeypatch.setattr(streamed, "BLOCK", 50)
    draw = np.random.default_rng(0)
    for number in range(6):
        (tmp_path / f"{number}.txt").write_bytes(bytes(draw.integers(97, 123, 150 + 37 * number).tolist()))
    source = TABLE["text_stream"](path=str(tmp_path), length=16, rows=4)
    first, again = ([np.concatenate(sides) for sides in zip(*source.stream, strict=True)] for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])
    rows = lambda split: {(*x, *y) for x, y in zip(split.inputs.tolist(), split.targets.tolist(), strict=True)}
    whole = {file: np.frombuffer(file.read_bytes(), np.uint8) for file in tmp_path.glob("*.txt")}
    every = {file: rows(windows([ids], 16, 16)) for file, ids in whole.items()}
    held = rows(source.validation) | rows(source.test)
    training = set().union(*(found for found in every.values() if not found & held))
    found = [(*x, *y) for x, y in zip(*(side.tolist() for side in first), strict=True)]
    assert len(set(found)) == len(found) and set(found) <= training and len(training) - len(found) < 4
    assert len(held) == sum(len(one) for one in every.values() if one & held)
    data = prepare(source)
    assert data.batch_size == 4 and data.stream is not None and data.vocabulary == 256


def test_a_stream_holds_little_of_its_files_and_one_of_them_open(tmp_path, monkeypatch):
    """Lost: memory, or file handles, that grow with the text."""
    opened, most = [], []

    def counted(path):
        file = array_files.open_file(path)
        opened.append(file)
        most.append(sum(not one.closed for one in opened))
        return file

    monkeypatch.setattr(streamed, "open_file", counted)
    for number in range(5):
        (tmp_path / f"{number}.txt").write_bytes(b"some text " * 100_000)
    source = TABLE["text_stream"](path=str(tmp_path), length=32, rows=8)
    tracemalloc.start()
    count = sum(len(batch[1]) for batch in source.stream)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count > 90_000 and peak < 6e6 and max(most) == 1, (count, peak, max(most))


@pytest.mark.parametrize(("sizes", "given", "message"), [
    ((100, 100), {}, "data.path: found 2 files .txt"),
    ((100, 100, 100), {}, "data.rows: found 64 windows a batch; the training"),
    ((1, 1, 1), {"rows": 1}, "the files of the test part hold no two bytes"),
])  # fmt: skip
def test_a_folder_that_cannot_be_streamed_is_one_line(tmp_path, sizes, given, message):
    """Lost: a traceback from the middle of a run."""
    for number, size in enumerate(sizes):
        (tmp_path / f"{number}.txt").write_bytes(b"x" * size)
    assert message in refusal(TABLE["text_stream"], path=str(tmp_path), **given)


# --- Shakespeare -----------------------------------------------------------------------------------------------------


def test_plays_are_held_out_whole(publish):
    """Lost: lines of the test plays are trained on, or other plays are held out from version to version."""
    names = [file.name for file in SETS["shakespeare"].files]
    contents = {name: (f"{name} " + chr(97 + number % 26) * 300).encode() for number, name in enumerate(names)}
    path = publish("shakespeare", **contents)
    tokenizer = tokenizer_of(BYTE_NAMES)
    source = plays.shakespeare(path=path, tokens="bytes", held_out_size=0)
    read = [tokenizer.decode(part.ravel()) for part in (source.inputs, source.validation.inputs, source.test.inputs)]
    found = [{name for name in names if f"{name} " in text} for text in read]
    assert found[1:] == [{"macbeth.txt", "twelfth_night.txt"}, {"julius_caesar.txt", "tempest.txt"}]
    assert len(found[0]) == 38 and not found[0] & (found[1] | found[2])
    small = prepare(plays.shakespeare(path=path, works=2, held_out_size=100, length=20), batch_size=4)
    assert (small.test.targets >= 0).sum() == 98 and (small.train.targets >= 0).sum() == sum(
        len(contents[name]) - 1 for name in names[:2]
    )
    assert "data.works: found 39" in refusal(plays.shakespeare, path=path, works=39)
