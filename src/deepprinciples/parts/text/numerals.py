"""Numbers in English words and in Spanish words: a translation whose right answer is known."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from deepprinciples.errors import DataError
from deepprinciples.parts.splitting.sources import Source
from deepprinciples.parts.tokens.pairs import SPECIAL, source_of_pairs
from deepprinciples.parts.tokens.tokenization import UNKNOWN_WORD
from deepprinciples.types import Count, Range, Seed, Size

LENGTHS = (10, 10)  # words of the longest numeral of either language, and its end
ENGLISH = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"
]  # fmt: skip
ENGLISH_TENS = [
    "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"
]  # fmt: skip
SPANISH = [
    "cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve", "diez", "once", "doce",
    "trece", "catorce", "quince", "dieciséis", "diecisiete", "dieciocho", "diecinueve", "veinte", "veintiuno",
    "veintidós", "veintitrés", "veinticuatro", "veinticinco", "veintiséis", "veintisiete", "veintiocho",
    "veintinueve"
]  # fmt: skip
SPANISH_TENS = [
    "treinta", "cuarenta", "cincuenta", "sesenta", "setenta", "ochenta", "noventa"
]  # fmt: skip
SPANISH_HUNDREDS = [
    "ciento", "doscientos", "trescientos", "cuatrocientos", "quinientos", "seiscientos", "setecientos",
    "ochocientos", "novecientos"
]  # fmt: skip
WORDS = sorted({*ENGLISH, *ENGLISH_TENS, "hundred", "thousand", *SPANISH, *SPANISH_TENS, *SPANISH_HUNDREDS, "cien",
                "mil", "y", "un", "veintiún"})  # fmt: skip


def number_words(
    *, smallest: Size = 0, largest: Annotated[int, Range("[1, 999999]")] = 9999, size: Count = 4000, data_seed: Seed = 0
) -> Source:
    """Make numbers in English words, to be translated into Spanish words.

    "three hundred twenty one" becomes "trescientos veintiuno". Each number occurs once, so those of the test are new.
    The words of all numbers up to 999,999 have the same ids, and rows the same length, whatever the bounds are:
    `test_sets.long = {name = "number_words", smallest = 10000, largest = 999999, part = "all"}` asks for longer numbers
    than were trained on. The grammar is small: what learns it may fail at a language. Source: generated. License: none
    needed.

    Args:
      smallest: number that occurs.
      largest: number that occurs, at most 999999.
      size: different numbers, drawn without regard to their length.
      data_seed: seed of the draw, in [0, 2**32).

    Returns:
      Source with inputs {"source": [size, 10], "target": [size, 10]} of token ids (0 padding, 1 begin, 2 end) and
      targets [size, 10], the tokens that follow those of "target"; -1 at padding.

    Raises:
      DataError: for bounds in the wrong order, or fewer numbers than `size` between them.

    References: Real Academia Española, "Diccionario panhispánico de dudas", article "cardinales".
    """
    if smallest >= largest:
        raise DataError(f"data.largest: found {smallest} to {largest}, expected bounds in order")
    if size > (most := largest - smallest + 1):
        raise DataError(f"data.size: found {size}, expected 1 to {most}, the numbers from {smallest} to {largest}")
    numbers = smallest + np.random.RandomState(data_seed).permutation(most)[:size]
    pairs = [(in_english(int(number)), in_spanish(int(number))) for number in numbers]
    return source_of_pairs({"train": pairs}, (*SPECIAL, UNKNOWN_WORD, *WORDS), LENGTHS)


def in_english(number: int) -> str:
    """Write 0 to 999,999 in English words, without "and" and hyphens."""
    if number >= 1000:
        rest = f" {in_english(number % 1000)}" if number % 1000 else ""
        return f"{in_english(number // 1000)} thousand{rest}"
    if number >= 100:
        rest = f" {in_english(number % 100)}" if number % 100 else ""
        return f"{ENGLISH[number // 100]} hundred{rest}"
    if number >= 20:
        return ENGLISH_TENS[number // 10 - 2] + (f" {ENGLISH[number % 10]}" if number % 10 else "")
    return ENGLISH[number]


def in_spanish(number: int, *, before_mil: bool = False) -> str:
    """Write 0 to 999,999 in Spanish words; a 1 at the end of what stands before "mil" loses its o."""
    if number >= 1000:
        thousands = "" if number < 2000 else f"{in_spanish(number // 1000, before_mil=True)} "
        return f"{thousands}mil" + (f" {in_spanish(number % 1000)}" if number % 1000 else "")
    if number == 100:
        return "cien"
    if number > 100:
        rest = f" {in_spanish(number % 100, before_mil=before_mil)}" if number % 100 else ""
        return SPANISH_HUNDREDS[number // 100 - 1] + rest
    if number >= 30:
        rest = f" y {in_spanish(number % 10, before_mil=before_mil)}" if number % 10 else ""
        return SPANISH_TENS[number // 10 - 3] + rest
    return {1: "un", 21: "veintiún"}.get(number, SPANISH[number]) if before_mil else SPANISH[number]
