"""The numbers that a correct toolkit must give, and the tests that hold each of them.

They come from theory, from papers, and from computations that knew nothing of this code. 21 and 22 take minutes:
`make science` measures them and writes docs/science.md.
"""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CURVATURE, TRAINING = "science/test_curvature", "science/test_training_numbers"
SIGNALS, GAMES = "parts/test_models_signals", "science/test_dirac_gan"

# number -> (what it is, file::test, ...)
NUMBERS: dict[int, tuple[str, ...]] = {
    1: ("MNIST-1D is the published set, to 1e-12, with its counts of classes",
        "parts/test_data::test_mnist_1d_equals_the_published_package",
        "parts/test_data::test_mnist_1d_keeps_its_parts_counts_and_scale"),
    2: ("softmax regression on it: least cross-entropy 1.5832478, 37.225 % and 32.4 % right",
        f"{CURVATURE}::test_the_numbers_of_a_convex_problem"),
    3: ("its Hessian: largest eigenvalue and trace, at zero and at the optimum",
        f"{CURVATURE}::test_the_numbers_of_a_convex_problem"),
    4: ("second moment per relu layer: He 1, Glorot and LeCun 1/2",
        "parts/test_initializers::test_second_moment_per_relu_layer",
        f"{SIGNALS}::test_second_moment_of_a_relu_layer"),
    5: ("the critical line of tanh networks, and chi1 off it",
        "science/test_catalogue_numbers::test_tanh_critical_line",
        "science/test_catalogue_numbers::test_susceptibility_off_and_on_the_line"),
    6: ("gradient correlation of orthogonal inputs: 0.0337, 0.140, 0.394",
        f"{SIGNALS}::test_gradient_correlation_between_orthogonal_inputs"),
    7: ("residual second moment 2^L or L + 1; ReZero starts as the identity",
        f"{SIGNALS}::test_residual_second_moment_doubles_with_a_he_branch",
        f"{SIGNALS}::test_residual_second_moment_grows_by_one_with_a_normalized_branch",
        f"{SIGNALS}::test_rezero_is_the_identity_at_the_start"),
    8: ("products of orthogonal layers keep lengths; a deep linear network learns modes as Saxe says",
        f"{TRAINING}::test_a_product_of_orthogonal_layers_keeps_lengths",
        f"{TRAINING}::test_a_deep_linear_network_learns_its_modes_in_turn"),
    9: ("gradient along the cell path of an LSTM over 50 steps: 8.9e-16, 1.576e-7, 0.3642",
        "parts/test_models_recurrent::test_forget_bias_opens_the_path_through_time"),
    10: ("clipping keeps bound and direction; x^4 / 4 from 10 diverges without it",
         "parts/test_transforms::test_global_norm_clip_keeps_direction_and_bound",
         "parts/test_transforms::test_quartic_diverges_unclipped_and_converges_clipped"),
    11: ("centralized gradients: the fan-in of every unit sums to 0",
         "parts/test_transforms::test_centralized_fan_in_sums_to_zero"),
    12: ("where quadratics diverge: plain, heavy ball, averaged momentum",
         f"{TRAINING}::test_parabolas_part_exactly_at_the_edge_that_is_told",
         "parts/test_optimizers::test_quadratics_diverge_exactly_beyond_the_bound"),
    13: ("the edge of stability on 20 points of a Chebyshev polynomial",
         f"{TRAINING}::test_sharpness_settles_at_the_edge_of_stability"),
    14: ("stationary variance on a parabola: 0.3333, and 2.8788 with momentum; the two-cycle of SAM 0.00555556",
         f"{TRAINING}::test_noise_leaves_the_variance_of_theory",
         "science/test_rules_numbers::test_sam_on_a_quadratic_ends_in_a_two_cycle"),
    15: ("AdamW decouples, Adam with L2 does not; AMSGrad mends Adam's counter-example",
         "parts/test_optimizers::test_adamw_decouples_and_adam_with_l2_does_not",
         "parts/test_second_order::test_adam_l2_moves_by_the_rate_whatever_the_share",
         "parts/test_optimizers::test_amsgrad_mends_adams_counter_example"),
    16: ("ridgeless least squares: risk 1.010, 3.061, 3.005 at 100, 150, 400 weights, and its peak at p = n",
         f"{TRAINING}::test_ridgeless_least_squares_descends_twice"),
    17: ("lasso is a soft threshold, dropout on least squares its ridge, early stopping a filter",
         "science/test_catalogue_numbers::test_lasso_on_an_orthonormal_design_is_a_soft_threshold",
         "science/test_catalogue_numbers::test_dropout_on_linear_regression_is_its_ridge",
         "science/test_catalogue_numbers::test_early_stopping_filters_directions"),
    18: ("the Dirac-GAN: 1.6446318, below 1.05, below 1e-3; losses at equilibrium 2 ln 2 and 2",
         f"{GAMES}::test_simultaneous_steps_spiral_outward",
         f"{GAMES}::test_alternating_steps_stay_on_an_ellipse",
         f"{GAMES}::test_r1_converges_at_the_rate_of_its_eigenvalues",
         "parts/test_gan_losses::test_a_discriminator_that_knows_nothing"),
    19: ("the noise scale has no bias; Muon's singular values lie in [0.68, 1.14]",
         f"{CURVATURE}::test_the_noise_scale_has_no_bias",
         f"{TRAINING}::test_muon_brings_every_singular_value_near_one"),
    20: ("statistics: Noether, Holm, BH, expected validation performance, Wilson, BCa, sign flips, coverage, A/A",
         "stats/test_planning::test_noether_sample_size",
         "stats/test_planning::test_expected_validation_performance_is_unbiased",
         "stats/test_paired_tests::test_adjusted_p_values",
         "stats/test_many_tasks::test_screening_p_values",
         "stats/test_paired_tests::test_wilson_matches_statsmodels",
         "stats/test_paired_tests::test_large_samples_get_bca",
         "stats/test_paired_tests::test_sign_flip_is_exact_and_ties_count",
         "stats/test_paired_tests::test_t_interval_covers_at_five_seeds",
         "stats/test_verdicts::test_identical_arms_are_told_apart_at_most_six_times_in_a_hundred",
         "science/test_search_luck::test_identical_arms_that_search_on_their_own_are_told_apart_at_most_six_times_in_a_hundred",
         "science/blocks_proof::simulated", "science/blocks_proof::on_wine", "science/blocks_proof::repeats"),
    21: ("MNIST-1D at real size: the networks of its paper", "science/proof::mnist_1d"),
    22: ("the adding problem and the plateau of the copy task at real size",
         "science/proof::adding", "science/proof::copying"),
    23: ("vmapped equals looped over 100 steps; off is absent; a diverged lane changes no bit of the others",
         "science/test_population::test_a_lane_is_the_run_it_stands_for",
         "learners/test_gan_studies::test_a_lane_is_the_game_it_stands_for",
         "contract/test_models::test_neutral_equals_absent",
         "contract/test_small_parts::test_neutral_transform_hands_every_bit_on",
         "contract/test_small_parts::test_neutral_regularizer_changes_nothing",
         "contract/test_small_parts::test_neutral_loss_and_schedule",
         "contract/test_small_parts::test_neutral_optimizer_keyword_is_absent",
         "engine/test_run::test_a_diverged_lane_is_marked_and_harms_no_other",
         "learners/test_gan_studies::test_a_lost_game_changes_no_bit_of_the_others"),
}  # fmt: skip


@functools.cache
def functions(file: str) -> set[str]:
    """Read the names of a file's functions off its syntax tree."""
    tree = ast.parse((ROOT / f"{file}.py").read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_there_is_a_row_for_every_number() -> None:
    """Lost: a number that nobody holds any longer."""
    assert list(NUMBERS) == list(range(1, 24)) and all(len(row) >= 2 for row in NUMBERS.values())


@pytest.mark.parametrize("number", NUMBERS)
def test_the_tests_of_a_number_are_there(number: int) -> None:
    """Lost: a test is renamed or dropped, and the list still claims it."""
    for place in NUMBERS[number][1:]:
        file, name = place.split("::")
        assert name in functions(file), place
