"""Bad inputs and faults by number, and the tests that hold each: one line, the right exit code, nothing lost."""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from account import NOT
from small_runs import STUDY, stopped_at, told

import deepprinciples as dp
from deepprinciples.errors import DataError, IntegrityError

ROOT = Path(__file__).parents[1]
BAD = "test_bad_input"
RESUME, DISK = "faults/test_resume", "faults/test_disk_signals_time"

# number -> (what it is, file::test, ...). The cases of test_bad_input are found by their own numbers too.
ROWS: dict[int, tuple[str, ...]] = {
    1: ("unknown key", f"{BAD}::test_bad_config_is_refused_in_one_line"),
    2: ("unknown name", f"{BAD}::test_bad_config_is_refused_in_one_line"),
    3: ("wrong type", f"{BAD}::test_bad_config_is_refused_in_one_line"),
    4: ("learning rate out of range", f"{BAD}::test_bad_config_is_refused_in_one_line"),
    5: ("batch size out of range", f"{BAD}::test_bad_config_is_refused_in_one_line"),
    6: ("batch larger than the data", f"{BAD}::test_bad_data_is_refused_in_one_line"),
    7: ("no steps", f"{BAD}::test_bad_config_is_refused_in_one_line"),
    8: ("seed 0", f"{BAD}::test_seed_zero_is_a_seed"),
    9: ("seeds that JAX takes for others", f"{BAD}::test_bad_config_is_refused_in_one_line"),
    10: ("identical arms", f"{BAD}::test_identical_arms_are_told"),
    11: ("a key twice", f"{BAD}::test_bad_config_files"),
    12: ("NaN in JSON", f"{BAD}::test_bad_config_files"),
    13: ("empty or huge search", f"{BAD}::test_bad_config_is_refused_in_one_line"),
    14: ("parts that do not fit", f"{BAD}::test_bad_config_is_refused_in_one_line",
         "learners/test_gan_studies::test_what_does_not_fit_is_told_in_one_line"),
    15: ("static options in one study", f"{BAD}::test_arms_of_different_shape_are_grouped"),
    16: ("clip norm of 0", f"{BAD}::test_bad_config_is_refused_in_one_line"),
    17: ("betas, eps, dropout out of range", f"{BAD}::test_bad_config_is_refused_in_one_line"),
    18: ("half precision", f"{BAD}::test_bad_config_is_refused_in_one_line"),
    19: ("warm-up as long as the run", f"{BAD}::test_bad_config_is_refused_in_one_line"),
    20: ("config files of every bad kind", f"{BAD}::test_bad_config_files",
         f"{BAD}::test_config_files_that_are_missing_huge_or_have_a_mark"),
    21: ("values that look like code", f"{BAD}::test_bad_config_is_refused_in_one_line"),
    22: ("a later schema", f"{BAD}::test_bad_config_is_refused_in_one_line",
         "faults/test_damage::test_a_manifest_of_the_first_version_still_opens"),
    23: ("a file that is not there", f"{BAD}::test_bad_data_is_refused_in_one_line"),
    24: ("empty data, one example, one class", f"{BAD}::test_bad_data_is_refused_in_one_line",
         f"{BAD}::test_odd_data_is_used_and_told"),
    25: ("labels out of range", f"{BAD}::test_bad_data_is_refused_in_one_line"),
    26: ("labels of another kind", f"{BAD}::test_bad_data_is_refused_in_one_line"),
    27: ("counts that differ", f"{BAD}::test_bad_data_is_refused_in_one_line"),
    28: ("data and model of different shape", f"{BAD}::test_data_and_model_of_different_shape"),
    29: ("numbers that are not finite", f"{BAD}::test_bad_data_is_refused_in_one_line"),
    30: ("narrowed types", f"{BAD}::test_odd_data_is_used_and_told", f"{BAD}::test_bad_data_is_refused_in_one_line"),
    31: ("a constant feature", f"{BAD}::test_odd_data_is_used_and_told"),
    32: ("damaged IDX",
         f"{BAD}::test_bad_image_files",
         "parts/test_data_files::test_damaged_idx_is_refused_with_its_offset"),
    33: ("bad gzip",
         f"{BAD}::test_bad_image_files",
         "parts/test_data_files::test_damaged_gzip_is_refused_and_bombs_stay_small"),
    34: ("bad npz", f"{BAD}::test_bad_npz_files", "parts/test_data_files::test_hostile_npz_is_refused"),
    35: ("the ragged rest of an epoch", "engine/test_streams::test_an_epoch_shows_no_example_twice",
         "engine/test_batching::test_a_padded_split_holds_every_example_once"),
    36: ("data that changed since the checkpoint", "faults/test_rows::test_a_data_file_that_changes"),
    37: ("a data file that shrinks during the run", "faults/test_rows::test_a_data_file_that_changes"),
    38: ("a loader that fails", f"{BAD}::test_a_loader_that_fails_later_is_named"),
    39: ("sequences of length 0", f"{BAD}::test_sequences_of_length_zero"),
    40: ("one lane diverges", "faults/test_promises::test_a_bad_lane_changes_no_bit_of_the_others",
         "faults/test_replay::test_a_run_says_why_its_lanes_failed"),
    41: ("all lanes diverge", "engine/test_run::test_when_all_lanes_have_diverged_the_run_ends"),
    42: ("NaN at step 0", "faults/test_replay::test_a_run_says_why_its_lanes_failed",
         "faults/test_replay::test_bad_data_are_found_in_the_minibatch"),
    43: ("infinite gradient, finite loss", "engine/test_fit::test_stayed_finite_sees_one_bad_value_in_any_leaf",
         "engine/test_fit::test_a_state_lost_while_the_loss_is_finite_is_seen_when_the_segment_ends"),
    44: ("a game that collapses", "learners/test_gan_studies::test_a_study_of_games_from_config_to_report"),
    45: ("a population beyond one call", "engine/test_run::test_lanes_beyond_counting_are_one_compilation"),
    46: ("one block that does not fit", "faults/test_memory::test_one_block_that_does_not_fit_is_described_with_bytes"),
    47: ("memory that runs out later", "faults/test_memory::test_a_run_out_of_memory_ends_with_a_width_to_try",
         "faults/test_memory::test_a_run_out_of_memory_resumes_to_the_same_bits"),
    48: ("a long compilation", f"{RESUME}::test_signals_from_outside"),
    49: ("another machine or version", f"{RESUME}::test_what_cannot_be_resumed_exactly_is_told"),
    50: ("other settings of JAX", f"{DISK}::test_another_setting_of_jax_is_another_machine"),
    51: ("an accelerator that is not there", f"{DISK}::test_a_platform_that_is_not_there_is_told"),
    52: ("a full disk", f"{DISK}::test_a_disk_that_fails_stops_the_run_and_spares_what_was_saved",
         "faults/test_checkpoints::test_every_crash_point_leaves_the_old_or_the_new"),
    53: ("EIO", f"{DISK}::test_a_disk_that_fails_stops_the_run_and_spares_what_was_saved"),
    54: ("a place that cannot be written",
         f"{DISK}::test_a_place_that_cannot_be_written_is_told_before_anything_is_compiled"),
    55: ("a disk full in the log", f"{DISK}::test_a_disk_that_is_full_when_the_result_is_written"),
    56: ("SIGINT once and twice", f"{DISK}::test_the_second_signal_leaves_at_once"),
    57: ("SIGTERM in every phase",
         f"{DISK}::test_a_signal_in_any_phase_saves_and_resumes",
         f"{RESUME}::test_signals_from_outside"),
    58: ("SIGKILL at every write", "faults/test_checkpoints::test_every_crash_point_leaves_the_old_or_the_new",
         "faults/test_promises::test_kills_at_any_time_change_nothing"),
    59: ("a closed terminal or pipe", f"{DISK}::test_a_reader_that_goes_away_and_a_closed_terminal_stop_nothing"),
    60: ("a clock that jumps", f"{DISK}::test_a_clock_that_jumps_changes_nothing"),
    61: ("two runs in one directory", f"{RESUME}::test_two_processes_cannot_hold_one_run",
         f"{DISK}::test_a_lock_of_a_dead_process_holds_nobody"),
    62: ("a run that was moved", f"{RESUME}::test_a_run_stopped_anywhere_goes_on_to_the_same_bits"),
    63: ("a run that was deleted", f"{DISK}::test_a_run_whose_directory_is_taken_away_ends"),
    64: ("file systems without locks", "faults/test_rows::test_what_is_not_promised_is_written_down"),
    65: ("names of every kind", "runs/test_directory::test_any_title_gives_a_safe_name"),
    66: ("hostile words in the report", "faults/test_injection::test_every_field_of_the_report_is_inert"),
    67: ("another locale", f"{DISK}::test_a_reader_that_goes_away_and_a_closed_terminal_stop_nothing"),
    68: ("a checkpoint cut short", "faults/test_damage::test_a_damaged_checkpoint_never_loads_as_something_else"),
    69: ("a flipped bit", "faults/test_damage::test_a_damaged_checkpoint_never_loads_as_something_else"),
    70: ("zeros after a power cut", "faults/test_damage::test_a_damaged_checkpoint_never_loads_as_something_else"),
    71: ("a checkpoint of another config", f"{DISK}::test_an_edited_config_is_not_taken_for_the_run"),
    72: ("arrays too many, missing, of another type", "engine/test_saved::test_arrays_of_another_program_are_refused"),
    73: ("the newest is bad", f"{RESUME}::test_a_damaged_checkpoint_is_passed_over_or_ends_the_attempt"),
    74: ("none is good", f"{RESUME}::test_a_damaged_checkpoint_is_passed_over_or_ends_the_attempt"),
    75: ("a save that failed", f"{DISK}::test_a_disk_that_fails_stops_the_run_and_spares_what_was_saved"),
    76: ("a finished run", f"{RESUME}::test_a_run_stopped_anywhere_goes_on_to_the_same_bits",
         "faults/test_add_seeds::test_more_seeds_are_those_of_a_run_that_had_them_from_the_start"),
}  # fmt: skip


def test_there_is_a_row_for_every_number() -> None:
    """A fault that somebody thought of would be forgotten."""
    assert list(ROWS) == list(range(1, 77)) and all(len(row) >= 2 for row in ROWS.values())


@pytest.mark.parametrize("number", ROWS)
def test_the_tests_of_a_row_are_there(number: int) -> None:
    """A test would be renamed or dropped, and the list still claim it."""
    for place in ROWS[number][1:]:
        file, name = place.split("::")
        tree = ast.parse((ROOT / f"{file}.py").read_text(encoding="utf-8"))
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, place
        if name in ("test_bad_config_is_refused_in_one_line", "test_bad_data_is_refused_in_one_line"):
            cases = re.findall(r'f?"(\d+) [^"]*": \(', (ROOT / f"{BAD}.py").read_text(encoding="utf-8"))
            assert str(number) in cases, f"no case of number {number} in {BAD}"


def test_what_is_not_promised_is_written_down() -> None:
    """Somebody would count on a lock that a network disk does not keep. Row 64."""
    assert "file systems without `flock`" in NOT and "two processes in one directory" in NOT


def test_a_data_file_that_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run would go on with other data, or die of a file that shrinks while it is read. Rows 36 and 37."""
    file, drawn = tmp_path / "data.npz", np.random.RandomState(0)
    inputs, targets = drawn.randn(80, 3).astype(np.float32), np.arange(80) % 2
    np.savez(file, inputs=inputs, targets=targets)
    config = {**STUDY, "data": {"name": "npz", "path": str(file), "batch_size": 16}}
    whole = dp.train(config, tmp_path / "whole")
    assert stopped_at(5, ("train", config), tmp_path / "run", monkeypatch)
    content = file.read_bytes()
    file.write_bytes(content[:-100])
    with pytest.raises(DataError, match="data.npz") as caught:
        dp.resume(tmp_path / "run")
    assert caught.value.exit_code == 3
    np.savez(file, inputs=inputs + 1, targets=targets)
    with pytest.raises(
        IntegrityError, match=r"data\.run: .* the data changed since the run began; .*--allow-data-change"
    ):
        dp.resume(tmp_path / "run")
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "run", copy)
    other = dp.resume(copy, allow_data_change=True)
    assert "not exact: the data changed while the run was stopped" in other.summary["warnings"]
    file.write_bytes(content)
    assert told(dp.resume(tmp_path / "run").path) == told(whole.path)
