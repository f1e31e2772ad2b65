"""Speech recognition: log-mel features of recordings, the CTC loss, decoding, SpecAugment, and sets of recordings."""

from __future__ import annotations

from deepprinciples.domains.speech.ctc_loss import ctc
from deepprinciples.domains.speech.digit_strings import spoken_digits
from deepprinciples.domains.speech.mel_features import log_mel
from deepprinciples.domains.speech.prompt_sounds import prompts
from deepprinciples.domains.speech.spectrogram_masks import spec_augment
from deepprinciples.domains.speech.tone_sequences import tones
from deepprinciples.domains.speech.wav_files import read_wav, wav
from deepprinciples.kernels.sequences.ctc_decoding import beam_search, greedy

__all__ = ["TABLES", "beam_search", "greedy", "log_mel", "read_wav"]

TABLES = {
    "data": {"wav": wav, "tones": tones, "prompts": prompts, "spoken_digits": spoken_digits},
    "loss": {"ctc": ctc},
    "augment": {"spec_augment": spec_augment},
}
