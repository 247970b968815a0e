"""Wrong changes that tests must notice: `python -m tests.mutants` makes each and runs its test.

A change is made in a copy of the tree, so that the working tree stays as it is. It dies if the test
named next to it fails; the exit status is 1 if one survives or no longer fits the code.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import gc
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest
import torch  # noqa: F401  processes inherit what is imported here
import transformers.models.llava.modeling_llava  # noqa: F401

ROOT = Path(__file__).resolve().parents[1]
JOBS, LIMIT = 2, 240  # processes, and seconds for each
_ELSEWHERE = 99  # the status where tests did not import the copy
_QUICKLY = (
    "-x", "-q", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:unraisableexception",
    "-p", "no:threadexception",
)  # fmt: skip

os.environ |= {
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "HALLUC_SHARED": os.environ.get("HALLUC_SHARED", str(ROOT.parent / "shared")),
}


class Mutant(NamedTuple):
    """A wrong change.

    Attributes:
        file: Of the repository.
        old: What stands there, once.
        new: What is put in its place.
        test: Below tests/, which must fail then.
    """

    file: str
    old: str
    new: str
    test: str

    def __str__(self) -> str:
        return f"{self.file}: {self.old.strip()!r} -> {self.new.strip()!r}"


class Outcome(NamedTuple):
    """What came of a change, or without one of all tests named here.

    Attributes:
        code: pytest's exit status; negative where the time was up.
        log: What pytest printed.
    """

    mutant: Mutant | None
    code: int
    seconds: float
    log: str


DEFAULTS = "methods/test_settings.py::test_defaults_and_layers_are_those_of_the_table"
VHR = "methods/test_vhr_by_hand.py::test"
PUBLISHED = "methods/test_published.py::test"
SINKS = "methods/test_var_sinks.py::test"
PAINT = "methods/test_paint_end_to_end.py::test"
PLACES = "interventions/test_places.py::test"
COMPOSITES = "interventions/test_composites_sum.py::test"
NEXT = "decoding/test_next_token.py::test"
SELECTIVE = "scoring/test_selective_risk.py::test"
STREAMS = "methods/test_two_streams.py::test"
GAINS = "leaderboard/test_surviving_gains.py::test"
LAB = "lab/test_estimates.py::test"
OVERVIEW = "leaderboard/test_overview.py::test"
IMPORTING = "importing/test_importing.py::test"
RECORDED = "recorded/test_recorded_runs.py::test"
VERDICTS = "claims/test_verdicts.py::test"
CHOICE = "scoring/test_choice.py::test"
PLAIN = "world/test_planted_sinks.py::test_plain_patches"
CALIBRATION = "calibration/test_calibration.py::test"
TRAINING = "world/test_training.py::test_training_computes_what_the_saved_model_computes"
GENERATION = "decoding/test_generation.py::test"
ENCODING = "models/test_encoding.py::test"

MUTANTS = [
    Mutant(*row)
    for row in (
        # Published answers, claims, thoughts, multiple choice, marks
        ("halluc/recorded/paired.py", "DETECTABLE = 2.80", "DETECTABLE = 1.96",
         f"{RECORDED}_pairs_are_of_the_record_that_is_named"),
        ("halluc/recorded/paired.py", "alike = None not in stated and", "alike =",
         f"{RECORDED}_pairs_are_of_the_record_that_is_named"),
        ("halluc/store/recorded_run.py", "sorted(answers, key=lambda answer: answer.id)", "answers",
         f"{RECORDED}_published_questions_may_be_in_any_order"),
        ("halluc/store/asker.py", "if self.record is not None:", "if False:",
         f"{RECORDED}_a_run_of_recorded_answers_can_be_scored_compared_and_ranked"),
        ("halluc/store/record.py", "named = name or _bare(file.name)",
         "named = name or file.name.partition(\".\")[0]",
         f"{RECORDED}_a_record_is_named_after_its_file_without_what_that_ends_in"),
        ("halluc/recorded/paired.py", "if theirs != model:", "if False:",
         f"{RECORDED}_a_name_that_is_compared_with_is_one_record_of_the_same_model"),
        ("halluc/leaderboard/board.py", "row.record is not None and row.record.decoding is None",
         "False", f"{RECORDED}_a_decoding_that_is_not_stated_is_none_on_boards"),
        ("halluc/claims/verdicts.py", '"reproduced" if high >= d', '"reproduced" if True',
         f"{VERDICTS}_verdicts"),
        ("halluc/claims/verdicts.py", "high < d and chance >= ENOUGH", "high < d",
         f"{VERDICTS}_verdicts"),
        ("halluc/claims/verdicts.py", "images < FEWEST or", "",
         f"{VERDICTS}_few_images_show_nothing"),
        ("halluc/scoring/thinking.py", "maxsplit=1, flags=re.IGNORECASE)[0]",
         "maxsplit=1, flags=re.IGNORECASE)[-1]",
         "scoring/test_thinking.py::test_thoughts_are_taken_out"),
        ("halluc/scoring/choice.py", "letters.index(answer) - by", "letters.index(answer) + by",
         f"{CHOICE}_the_right_text_keeps_being_the_answer_when_options_turn"),
        ("halluc/scoring/choice.py", "key=lambda item: -len(item[1])", "key=lambda item: item[0]",
         f"{CHOICE}_an_option_is_read_by_letter_or_by_words"),
        ("halluc/scoring/choice.py", "or not _is_article(match, options)", "or True",
         f"{CHOICE}_an_option_is_read_by_letter_or_by_words"),
        ("benchmarks/mmvp.py", "return first_letter(answer.text)", "pass",
         "benchmarks/test_judged.py::test_mmvp_is_read_as_lmms_eval_reads_it"),
        ("halluc/scoring/marks.py", "place = max(place, found[1])", "place = 0",
         "scoring/test_marks.py::test_words_are_found_in_turn"),
        ("halluc/importing/imported.py", "if not text.startswith(log.failures):", "if True:",
         f"{IMPORTING}_a_prediction_that_failed_is_no_answer"),
        ("halluc/importing/vlmevalkit.py",
         'unique([(line.where, str(line["index"])) for line in lines])', "pass",
         f"{IMPORTING}_rows_of_vlmevalkit_are_told_by_their_index"),
        ("halluc/importing/imported_run.py",
         "imported.decoding if is_stated(imported.decoding or {}) else None", "imported.decoding",
         f"{IMPORTING}_a_decoding_is_stated_only_where_the_log_says_how_tokens_were_chosen"),
        ("benchmarks/_amber.py", 'if stated != target["truth"]:', "if False:",
         f"{IMPORTING}_descriptions_of_amber_are_counted_as_its_data_set_is"),
        ("halluc/scoring/mme/llava_answers.py", "if asked[0] == asked[1]:", "if False:",
         "scoring/test_mme_files.py::test_a_question_answered_twice_is_no_pair"),
        ("benchmarks/_reefknot.py", "if again > self.asked_again:", "if False:",
         "benchmarks/test_reefknot.py::test_answers_files_that_are_doubled_or_mislabelled"),
        ("halluc/data/records.py", "(*columns, *filter(None, names))", "columns",
         "benchmarks/test_own_data.py::TestTable::test_errors_name_file_line_and_column"),
        # The embedded models, and sinks measured in any model
        ("methods/_sinks.py", "float(below.max())) / 2", "float(above.min())) / 2",
         f"{CALIBRATION}_sinks_are_told_from_other_tokens_by_the_middle_of_the_gap"),
        ("methods/_sinks.py", "if size >= _ALSO * most or not massive.any()", "if True",
         f"{CALIBRATION}_a_second_dimension_counts_only_where_sinks_are_large_in_it"),
        ("methods/_sinks.py", "below) else split", "below) else 0.0",
         f"{CALIBRATION}_where_nothing_is_massive_nothing_passes_tau"),
        ("halluc/models/processors.py", "or parameter.default is parameter.empty", "",
         "models/test_processors.py::test_a_processor_that_needs_its_reader_of_videos_keeps_it"),
        ("halluc/world/training/planted_sinks.py", "wanted += math.log", "wanted -= math.log",
         "world/test_planted_sinks.py::test_heads_give_sinks_the_share_that_is_said"),
        ("halluc/world/training/planted_sinks.py", "(groups // 2 if bos else 0)", "0",
         "world/test_planted_sinks.py::test_half_of_the_heads_look_at_bos_and_half_at_patches"),
        ("halluc/world/training/plainness.py", "np.flatnonzero(~busy)", "np.flatnonzero(busy < 2)",
         f"{PLAIN}_are_the_least_detailed_ones_without_a_thing_in_each_scene"),
        ("halluc/world/training/natural_glyph.py", "side[list(SINK_DIMS)] = 0", "pass",
         "world/test_natural_glyph.py::test_it_starts_without_glyphs_planted_patches"),
        ("halluc/world/training/architectures/qwen2_vl.py", "end = start + COLUMNS",
         "end = start + IMAGE_TOKENS", f"{TRAINING}[glyph-qwen]"),
        # Boards
        ("halluc/leaderboard/models_by_methods.py", "(first.benchmark, decoded(first))",
         '(first.benchmark, "")', f"{OVERVIEW}_other_decodings_are_other_tables"),
        ("halluc/leaderboard/models_by_methods.py", "len(verdicts) == 1 and None not in verdicts",
         "True", f"{OVERVIEW}_the_baseline_shows_values_and_methods_show_differences"),
        ("halluc/leaderboard/board.py", "if not names or row.model in names", "",
         f"{OVERVIEW}_rows_of_some_models_keep_the_whole_boards_corrections"),
        ("halluc/statistics/paired.py", "RARE, FINER = 10, (9, 90)",
         "RARE, FINER = 10, (9,)",
         "statistics/test_paired.py::test_a_clear_difference_stays_significant_among_ten_thousand_tests"),
        # The laboratory
        ("halluc/lab/estimates.py", "if low > 0:", "if high > 0:",
         f"{LAB}_a_claim_is_judged_by_the_side_its_interval_lies_on"),
        ("halluc/lab/dose_response.py", "n * xy - x * y", "n * xy",
         f"{LAB}_the_rise_is_the_fitted_line_s_over_the_range_of_doses"),
        ("halluc/lab/doses.py", "x - mean(chances[category, sample.target])", "x",
         "lab/test_doses.py::test_the_company_s_dose_compares_a_category_with_itself"),
        ("halluc/lab/counterfactual_pairs.py", "if len(scene.categories) > 1 and ranked:",
         "if ranked:",
         "lab/test_counterfactual.py::test_pairs_differ_in_one_clear_category_and_leave_something"),
        ("halluc/world/rendering.py", 'generator("more clutter", scene.split, scene.index)', "rng",
         "lab/test_controlled.py::test_more_clutter_lies_behind_the_things"),
        # Traces
        ("halluc/attend/traced_runs.py", 'content.get("of") == wanted.of',
         "True",
         "attend/test_traced_runs.py::test_runs_are_traced_once_and_their_files_stay_as_they_were"),
        ("halluc/attend/traced_runs.py", "and not answer.history", "",
         "attend/test_traced_runs.py::test_later_turns_and_empty_answers_are_left_out"),
        ("halluc/report/trace_records.py", "> budget",
         "> 10 * budget",
         "report/test_attention_page.py::test_traces_keep_to_their_budget"),
        ("halluc/attend/watcher.py", "real[len(real) - later :] = False",
         "pass",
         "attend/test_tracing.py::test_one_pass_sees_what_token_by_token_is_seen[llava_next]"),
        ("halluc/attend/watcher.py", "row[:, self._padding :]",
         "row[:, :]",
         "attend/test_tracing.py::test_the_main_stream_is_seen_without_padding"),
        ("halluc/attend/tracing.py", "joined([method, watcher], without",
         "joined([watcher, method], without",
         "attend/test_tracing.py::test_weights_are_seen_behind_all_edits"),
        ("halluc/attend/key_shares.py", 'prompt[:, first] = KINDS.index("first")',
         'prompt[:, first] = KINDS.index("prompt")',
         "attend/test_shares.py::test_shares_by_hand"),
        ("halluc/attend/heat_maps.py", "(y.T @ (density[:, None] * x)) / area",
         "y.T @ (density[:, None] * x)",
         "attend/test_shares.py::test_a_heat_map_by_hand"),
        ("halluc/attend/watcher.py", "at.forbidden.tokens = None",
         "pass",
         "attend/test_tracing.py::test_a_given_answer_is_fed_to_both"),
        ("halluc/attend/geometry.py", "moved = boxes - np.array([left, top, left, top], float)",
         "moved = boxes",
         "attend/test_geometry.py::test_an_image_padded_to_a_square"),
        ("halluc/attend/tiled_images.py", "each + over_all",
         "over_all + each",
         "attend/test_geometry.py::test_a_square_changes_the_tokens_it_touches"),
        # VHR
        ("methods/vhr.py", "text = unseen.float().norm", "text = seen.float().norm",
         f"{VHR}_text_activity_is_read_without_the_image"),
        ("methods/vhr.py", "text.pow(2) if self.params.squared_text_activity else text", "text",
         f"{VHR}_text_activity_is_the_squared_norm_or_the_norm"),
        ("methods/vhr.py", "chosen = chosen.repeat(2, 1)",
         "chosen = chosen.repeat(2, 1); chosen[len(chosen) // 2 :] = False",
         f"{VHR}_the_copy_without_image_is_reinforced_while_layers_are_chosen"),
        ("methods/_image_heads.py", "correction=int(unbiased)", "correction=int(not unbiased)",
         f"{VHR}_the_deviation_over_heads_divides_by_one_less_or_by_all"),
        ("methods/vhr.py", "if self.params.drop_outliers:", "if False:",
         f"{VHR}_an_outlier_of_eq_6_is_left_out_unless_asked_otherwise"),
        ("methods/vhr.py", "1 + (self.params.gain - 1) * chosen", "1 + self.params.gain * chosen",
         f"{VHR}_heads_are_chosen_under_the_gain_that_is_used"),
        ("methods/_image_heads.py", "return vhd > median[", "return vhd >= median[",
         "methods/test_vhr.py::test_the_middle_head_of_an_odd_number_does_not_pass"),
        ("methods/vhr.py", "gain: float = Field(2.0", "gain: float = Field(3.0", DEFAULTS),
        ("methods/_image_heads.py", '"llava": (1, *range(18, 32))', '"llava": (1, *range(19, 32))',
         f"{PUBLISHED}_reinforced_layers_are_published_for_the_checkpoints_of_the_paper_alone"),
        ("methods/_image_heads.py", "tuple(range(14, 32))", "(1, *range(18, 32))",
         f"{PUBLISHED}_reinforced_layers_are_published_for_the_checkpoints_of_the_paper_alone"),
        ("methods/_image_heads.py", "if vicuna else None", "if is_7b else None",
         f"{PUBLISHED}_reinforced_layers_are_published_for_the_checkpoints_of_the_paper_alone"),
        ("methods/vhr.py", "if not 0 <= layer < model.n_layers:", "if False:",
         f"{PUBLISHED}_dimensions_and_layers_the_model_lacks_are_refused_by_name"),
        # VAR
        ("methods/_sinks.py", "older = config.model_type in _LLAMA_1", "older = False",
         f"{PUBLISHED}_sink_dimensions_are_published_for_the_language_models_of_the_paper_alone"),
        ("methods/_sinks.py", "if older or other_words:", "if older:",
         f"{PUBLISHED}_sink_dimensions_are_published_for_the_language_models_of_the_paper_alone"),
        ("methods/_sinks.py", 'getattr(text, "num_key_value_heads", None) or ', "",
         f"{PUBLISHED}_sink_dimensions_are_published_for_the_language_models_of_the_paper_alone"),
        ("methods/var.py", "if not 0 <= dim < width:", "if dim >= 2 * width:",
         f"{PUBLISHED}_dimensions_and_layers_the_model_lacks_are_refused_by_name"),
        ("methods/var.py", "at.on_keys(at.remembered) & at.real",
         "~at.on_keys(~at.remembered) & at.real",
         f"{SINKS}_a_generated_token_never_becomes_a_sink"),
        ("methods/var.py", "at.on_keys(at.remembered) & at.real", "at.on_keys(at.remembered)",
         f"{SINKS}_padding_never_becomes_a_sink"),
        ("methods/var.py", '"nothing" if params.rows == "after_image" else "method"', '"nothing"',
         f"{SINKS}_image_rows_depend_on_how_much_is_moved_where_they_are_edited"),
        ("methods/var.py", "self.params.sink_dims, self.params.tau, self.params.variant",
         "self.params.sink_dims, self.params.variant",
         f"{SINKS}_which_tokens_are_sinks_is_part_of_the_key"),
        ("methods/var.py", "min_image_mass: float = Field(0.2", "min_image_mass: float = Field(0.0",
         DEFAULTS),
        ("methods/var.py", "0.4 if params.variant", "0.6 if params.variant", DEFAULTS),
        ("methods/var.py", "range(2, n_layers - ", "range(1, n_layers - ", DEFAULTS),
        ("methods/var.py", 'n_layers - (self.params.variant == "paper")', "n_layers", DEFAULTS),
        # PAINT
        ("methods/paint.py", "_FIRST, _FEATURES = 0, -2", "_FIRST, _FEATURES = -2, 0",
         f"{PAINT}_the_first_vision_layer_chooses_local_and_the_last_but_one_summary_tokens"),
        ("methods/paint.py", "_FIRST, _FEATURES = 0, -2", "_FIRST, _FEATURES = 0, -1",
         f"{PAINT}_the_first_vision_layer_chooses_local_and_the_last_but_one_summary_tokens"),
        ("methods/_image_emphasis.py", "scatter(-1, top, True) & ~summary",
         "scatter(-1, top, True)",
         f"{PAINT}_the_first_vision_layer_chooses_local_and_the_last_but_one_summary_tokens"),
        ("methods/_image_emphasis.py", "range(self.params.first_layer, n_layers)",
         "range(self.params.first_layer, n_layers - 1)",
         f"{PAINT}_layers_from_the_third_to_the_last_are_boosted_by_seven_and_three_tenths"),
        ("methods/_image_emphasis.py", "alpha * local.to(scores) + beta * summary",
         "beta * local.to(scores) + alpha * summary",
         f"{PAINT}_layers_from_the_third_to_the_last_are_boosted_by_seven_and_three_tenths"),
        ("methods/paint.py", "first_layer: int = Field(2", "first_layer: int = Field(0", DEFAULTS),
        ("methods/paint.py", "alpha: float = Field(0.7", "alpha: float = Field(0.3", DEFAULTS),
        ("methods/paint.py", "1.0 if paper else 1.1", "1.0 if paper else 2.0", DEFAULTS),
        # ACT, ZeroTuning, AGLA, CMAI, FlowCut, VMTC
        ("methods/act.py", "model.n_layers - 2 if", "model.n_layers - 1 if", DEFAULTS),
        ("methods/act.py", "first_layer: int = Field(2", "first_layer: int = Field(0", DEFAULTS),
        ("methods/act.py", "alpha: float = Field(5.0", "alpha: float = Field(3.0", DEFAULTS),
        ("methods/zerotuning.py", "gamma: float = Field(0.6", "gamma: float = Field(0.8", DEFAULTS),
        ("methods/zerotuning.py", "_HELPFUL = 22 / 32", "_HELPFUL = 16 / 32", DEFAULTS),
        ("methods/agla.py", "alpha: float = Field(2.0", "alpha: float = Field(1.0", DEFAULTS),
        ("methods/agla.py", "beta: float = Field(0.5", "beta: float = Field(0.1", DEFAULTS),
        ("methods/cmai.py", "share: float = Field(0.25", "share: float = Field(0.5", DEFAULTS),
        ("methods/cmai.py", "to_text.diagonal(dim1=1, dim2=2).zero_()",
         "to_text.diagonal(dim1=1, dim2=2)",
         "methods/test_cmai_by_hand.py::test_a_tokens_attention_to_itself_is_not_counted"),
        ("methods/flowcut.py", "target: float = Field(1 / 3", "target: float = Field(1 / 2",
         DEFAULTS),
        ("methods/vmtc.py", "primary: float = Field(0.25", "primary: float = Field(0.5", DEFAULTS),
        # VCD, the controls, DoLa, MemVR, VTI, Nullu, OPERA
        ("methods/vcd.py", '0.1 if params.variant == "paper" else 0.2',
         '0.2 if params.variant == "paper" else 0.1', DEFAULTS),
        ("methods/vcd.py", "cumprod(0)[step])", "cumprod(0)[step - 1])",
         "methods/test_vcd.py::test_step_500_has_501_factors"),
        ("methods/vcd.py", "batch.image_seeds if paper else batch.seeds", "batch.seeds",
         "methods/test_vcd.py::test_questions_about_one_image_share_its_noise"),
        ("halluc/interventions/contrast.py", "main + alpha * (main - other)",
         "main + alpha * (other - main)",
         "interventions/test_contrast.py::test_contrast_by_hand"),
        ("halluc/interventions/contrast.py", "return logits < logits.amax",
         "return logits <= logits.amax",
         "interventions/test_contrast.py::test_the_cut_is_strict"),
        ("methods/apc.py", "beta: float = Field(0.2", "beta: float = Field(0.1", DEFAULTS),
        ("methods/olm.py", "((yes - no).abs() < gap)", "((yes - no).abs() <= gap)",
         "methods/test_olm.py::test_both_comparisons_are_strict"),
        ("methods/olm.py", 'if self.params.variant == "paper" and at.step > 0:', "if False:",
         "methods/test_olm.py::test_only_the_first_token_unless_it_is_the_code"),
        ("methods/pba.py", "Answer yes whenever", "Say yes whenever", DEFAULTS),
        ("methods/dola.py", "better = apart > most", "better = apart < most",
         "methods/test_dola.py::test_each_row_has_a_layer_of_its_own"),
        ("methods/dola.py", "relative_top: float = Field(0.1", "relative_top: float = Field(0.2",
         DEFAULTS),
        ("methods/memvr.py", "> self.params.threshold", ">= self.params.threshold",
         "methods/test_memvr.py::test_uncertainty_has_to_be_exceeded"),
        ("methods/memvr.py", 'unsure & state["calm"], ', "unsure, ",
         "methods/test_memvr.py::test_the_first_unsure_layer_of_each_pass"),
        ("methods/memvr.py", "ratio: float = Field(0.12", "ratio: float = Field(0.3", DEFAULTS),
        ("methods/vti.py", '0.4 if params.variant == "paper" else 0.9', "0.9", DEFAULTS),
        ("methods/nullu.py", "rank: int = Field(4", "rank: int = Field(8", DEFAULTS),
        ("methods/nullu.py", "first = model.n_layers // 2 if", "first = 0 if", DEFAULTS),
        ("methods/opera.py", "scale: float = Field(50.0", "scale: float = Field(5.0", DEFAULTS),
        ("methods/opera.py", "row = weights[:, :, -1].amax(1)", "row = weights[:, :, -1].mean(1)",
         "methods/test_opera.py"
         "::test_the_record_takes_the_largest_head_then_divides_by_all_keys"),
        ("methods/opera.py", "1e-7 * phi, column", "phi, column",
         "methods/test_opera.py"
         "::test_the_code_rewards_the_image_in_ten_tokens_then_scales_phi"),
        # Where seams stand
        ("halluc/interventions/context.py", "whole[..., self.n_tokens - self.n_keys :] = values",
         "whole[..., : self.n_keys] = values",
         "methods/test_cmai_by_hand.py"
         "::test_focus_in_a_sliding_window_lands_on_the_prompts_own_tokens"),
        ("halluc/interventions/context.py", "whole[..., self.n_tokens - self.n_keys :] = values",
         "whole[..., : self.n_keys] = values",
         f"{PLACES}_keys_of_a_window_are_taken_back_to_the_tokens_they_stand_for"),
        ("halluc/models/tokens.py", "return grown[..., n_tokens - n_keys :]",
         "return grown[..., :n_keys]", f"{PLACES}_tokens_are_laid_over_the_keys_of_a_window"),
        ("halluc/interventions/context.py", "prefix.repeated(self.repeats).joined(",
         "prefix.joined(", f"{PLACES}_what_is_remembered_is_of_each_prompts_own_tokens"),
        ("halluc/interventions/shared_prefix.py", "torch.cat([earlier[self.owner], rest]",
         "torch.cat([earlier[self.owner.sort().values.flip(0)], rest]",
         f"{PLACES}_what_is_remembered_is_of_each_prompts_own_tokens"),
        ("halluc/interventions/shared_prefix.py", "self.owner.repeat_interleave(repeats)",
         "self.owner.repeat(repeats)",
         f"{PLACES}_what_is_remembered_is_of_each_prompts_own_tokens"),
        ("halluc/interventions/shared_prefix.py",
         "_equal(value, earlier[name]) for name, value in inputs.items()",
         '_equal(inputs[name], earlier[name]) for name in ["input_ids"]',
         "interventions/test_memo.py"
         "::test_a_sweeps_second_point_is_not_given_another_images_keys"),
        ("halluc/interventions/shared_prefix.py", "alike = earlier_key == key and", "alike =",
         "interventions/test_memo.py::test_points_that_edit_image_rows_otherwise_are_read_anew"),
        ("halluc/interventions/vision_hooks.py", "attention.gather(2, kept[",
         "attention.gather(2, kept.flip(1)[",
         f"{PLACES}_patches_that_stay_keep_their_order_and_their_attention"),
        ("halluc/interventions/engine.py", '"decode" if n_new == 1 else "prefill"', '"prefill"',
         f"{PLACES}_a_prompt_is_read_once_and_then_a_token_a_pass"),
        ("halluc/interventions/engine.py", '"prefix" if self._in_prefix else ', "",
         f"{PLACES}_a_shared_prefix_is_a_phase_of_its_own"),
        ("halluc/interventions/residual.py",
         "acts and engine.phase in engine.method.hidden_phases", "acts",
         f"{PLACES}_hidden_is_called_in_the_phases_it_asks_for_alone"),
        ("halluc/interventions/engine.py", "memory.generated = memory.generated[rows]", "pass",
         f"{PLACES}_generated_tokens_are_those_of_each_row_and_follow_its_beams"),
        ("halluc/interventions/weight_scope.py", "parameters[name].data = data", "pass",
         f"{PLACES}_weights_are_others_within_a_batch_and_the_models_own_after_it"),
        # Asking again, contrasts, answers that are withheld, gains that survive
        ("halluc/decoding/asking_again.py", "self._asked[row] += 1", "pass",
         "decoding/test_asking_again.py::test_drawn_replies_differ_and_depend_on_no_batch"),
        ("halluc/decoding/asking_again.py", "log_p[i, -n - 1 : -1]", "log_p[i, -n:]",
         "decoding/test_asking_again.py::test_likelihood_is_that_of_a_plain_pass"),
        ("halluc/decoding/answering.py", "confidence < self.method.withhold_below",
         "confidence <= self.method.withhold_below",
         "decoding/test_asking_again.py::test_answers_below_the_limit_are_withheld"),
        ("halluc/scoring/selective_risk.py", 'side="right"', 'side="left"',
         f"{SELECTIVE}_equally_trusted_answers_are_given_together"),
        ("halluc/scoring/selective_risk.py", "key=lambda one: -one.confidence",
         "key=lambda one: one.confidence",
         f"{SELECTIVE}_without_a_methods_confidence_the_answers_own_probability_orders"),
        ("halluc/scoring/selective_risk.py", "weight @ (answered * loss) / kept",
         "weight @ (answered * loss) / total",
         f"{SELECTIVE}_coverage_and_risk_are_of_what_is_answered"),
        ("halluc/leaderboard/surviving_gains.py", "self.same_length is None or", "True or",
         f"{GAINS}_verdicts"),
        ("methods/_sinks.py", 'and text.model_type == "llama"', "",
         "methods/test_published.py::test_the_code_never_leaves_the_dimensions_of_7b"),
        ("methods/paint.py", "paper or (params.gamma or 0) == 1", "paper",
         "methods/test_paint.py::test_the_code_boosts_the_prompt_where_nothing_is_guided"),
        ("methods/sid.py", "and at.memory.greedy", "",
         "methods/test_sid.py::test_the_code_leaves_the_cut_out_of_greedy_search_alone"),
        ("halluc/config.py", "not self.do_sample and self.num_beams == 1", "not self.do_sample",
         "methods/test_sid.py::test_the_code_leaves_the_cut_out_of_greedy_search_alone"),
        ("methods/vista.py", "state.vectors[0][:, 0] += 1", "state.vectors[0] += 1",
         "methods/test_vista.py::test_the_code_adds_the_first_dimension_to_the_first_layer_s_vector"),
        ("methods/memvr.py", "if qwen else 0", "if False else 0",
         "methods/test_memvr.py::test_qwen_triggers_later"),
        ("methods/familiarity.py", "hidden(explanation, name))", "explanation)",
         "methods/test_familiarity.py"),
        ("halluc/decoding/asking_again.py", 'for space in ("", " ")', 'for space in ("",)',
         "decoding/test_asking_again.py::test_a_reply_is_read_as_it_is_written"),
        ("halluc/scoring/selective_risk.py", 'in ("caption", "open")', 'in ("open",)',
         "scoring/test_selective_risk.py::test_a_description_has_no_probability_of_its_own"),
        ("halluc/leaderboard/surviving_gains.py", "* (1 if rises else -1)", "",
         f"{GAINS}_the_control_gained_least_over_counts"),
        ("halluc/leaderboard/building_rows.py", "CONTROLS.get(task, (CONTROL,))",
         'CONTROLS["yes_no"]', f"{GAINS}_what_leaning_towards_yes_gains_as_well_is_no_gain"),
        ("halluc/leaderboard/surviving_gains.py", "if self.control or (", "if (",
         f"{GAINS}_a_control_is_never_more_than_one"),
        ("halluc/decoding/prefix_sharing.py", "or reads_whole or", "or",
         "methods/test_adaptvis.py::test_questions_about_one_image_are_weighed_with_the_image_in_sight"),
        ("halluc/cli/entry.py", "if _importing(frame)", "if False",
         "cli/test_entry.py"),
        ("halluc/leaderboard/gains_page.py", "if len(on) == len(one.found)", "if on",
         f"{GAINS}_models_are_named_where_not_all_say_so"),
        ("halluc/leaderboard/gains_page.py", "verdict != UNDECIDED and any(named)", "any(named)",
         f"{GAINS}_where_nothing_is_decided_there_is_no_row"),
        ("halluc/statistics/paired.py", "theirs - ours, ours.sum(0", "theirs - ours, theirs.sum(0",
         "statistics/test_paired.py"),
        ("halluc/remote/model.py", "        refuse_without_key()\n", "",
         "cli/test_eval_options.py::test_what_is_missing_is_told_before_a_model_is_loaded"),
        ("benchmarks/hallucinogen.py", "            unique([(row", "            list([(row",
         "benchmarks/test_hallucinogen.py::test_a_question_twice"),
        ("halluc/leaderboard/seed_spread.py", 'if key != "seed"', "if key",
         f"{OVERVIEW}_seeds_share_a_column"),
        ("halluc/interventions/two_streams.py", "at.forbid(self.rule_out(main, other))",
         "at.forbid(self.rule_out(other, main))", f"{STREAMS}_the_base_contrasts_and_cuts_by_hand"),
        ("halluc/interventions/engine.py",
         "or self.phase not in self.method.attention_phases", "",
         f"{PLACES}_attention_is_shown_in_the_phases_asked_for_alone"),
        # Formulas of the methods that papers compare with
        ("methods/m3id.py", "return (1 - kept) / kept", "return kept / (1 - kept)",
         "methods/test_m3id.py::test_the_weight_grows_with_every_token"),
        ("methods/m3id.py", "at.step + 1", "at.step",
         "methods/test_m3id.py::test_the_correction_by_hand"),
        ("methods/nolan.py", "(1 / apart).tanh() + 1", "(1 / apart).tanh()",
         "methods/test_nolan.py::test_the_strength_by_hand"),
        ("methods/code.py", "self.params.alpha * (1 - apart)", "self.params.alpha * apart",
         "methods/test_code.py::test_the_contrast_by_hand"),
        ("methods/hgai.py", "scores.abs().mean(1, keepdim=True)", "scores.mean(1, keepdim=True)",
         "methods/test_hgai.py::test_all_heads_rise_by_half_their_mean_size"),
        ("methods/adaptvis.py", "(sure >= threshold)", "(sure < threshold)",
         "methods/test_adaptvis.py::test_the_branch_by_hand"),
        ("methods/deco.py", "< top_p", "< top_p - 0.2",
         "methods/test_deco.py::test_candidates_end_with_the_one_that_reaches_top_p"),
        ("methods/only.py", "distance < near", "distance > near",
         "methods/test_only.py::test_the_two_ways_by_hand"),
        # Composites
        ("halluc/interventions/compose.py", "gain = gain * method.head_gain(",
         "gain = method.head_gain(", f"{COMPOSITES}_two_gains_multiply"),
        ("halluc/interventions/compose.py", "total = total + method.attention_bias(",
         "total = method.attention_bias(", f"{COMPOSITES}_two_biases_add_up"),
        ("halluc/interventions/compose.py", "key=lambda method: method.filters",
         "key=lambda method: not method.filters",
         f"{COMPOSITES}_a_filter_sees_what_the_other_part_makes_in_either_order"),
        # Decoding
        ("halluc/decoding/logits_processors.py",
         "scores.float().log_softmax(-1).to(scores) if self._normalise else scores", "scores",
         f"{NEXT}_beams_are_handed_log_probabilities_of_what_is_left"),
        ("halluc/decoding/generation.py", "normalise=decoding.num_beams > 1", "normalise=False",
         f"{NEXT}_a_number_added_to_a_whole_row_moves_no_beam"),
        ("halluc/decoding/generation.py",
         'decoding.num_beams > 1 or "search" in method.declared()', "False",
         "decoding/test_shared.py::test_rows_of_one_prompt_hold_no_copies_of_its_image"),
        ("halluc/decoding/generation.py", "[*first, *watch, *then,", "[*first, *then, *watch,",
         f"{NEXT}_yes_and_no_are_read_before_they_are_ruled_out"),
        ("halluc/interventions/engine.py", "alive &= ~torch.isin(input_ids[:, 0], self._ends)",
         "pass", f"{NEXT}_a_row_that_has_ended_is_not_counted_while_others_go_on"),
        ("halluc/interventions/engine.py", "self._passes += rows / size", "pass",
         f"{GENERATION}_passes_are_counted_where_they_happen"),
        ("halluc/interventions/engine.py", "self._passes += by_sample.sum((0, 2))",
         "self._passes += by_sample.any(2).sum(0)",
         f"{GENERATION}_passes_of_beams_count_every_beam"),
        ("halluc/decoding/batching.py",
         "mixed = batch and batch[0].max_new_tokens != group[0].max_new_tokens", "mixed = False",
         f"{GENERATION}_each_answer_is_cut_at_its_own_limit"),
        ("halluc/decoding/generation.py",
         "bad_words_ids=model.model.generation_config.bad_words_ids", "bad_words_ids=None",
         f"{GENERATION}_words_a_checkpoint_must_not_write_stay_forbidden"),
        ("halluc/decoding/generation.py", "model.model.generation_config = GenerationConfig()",
         "pass",
         f"{GENERATION}_a_checkpoints_generation_defaults_do_not_leak[repetition_penalty-1]"),
        ("halluc/models/encoding.py", '{"add_special_tokens": False} if written else {}', "{}",
         f"{ENCODING}_tokens_are_those_of_apply_chat_template[llava-True]"),
        # What is kept
        ("halluc/types.py",
         "[self.id, self.prompt, self.history, self.image_hash, self.max_new_tokens]",
         "[self.id, self.prompt, self.history, self.image_hash]",
         "evaluation/test_ask_once.py::test_the_token_limit_of_an_answer_is_its_own"),
        ("halluc/evaluation/asking.py",
         "            if answer.image_hash == _hash_of(sample, hashes):\n",
         "            if True:\n",
         "evaluation/test_ask_once.py::test_changed_data_under_the_same_ids_is_noticed"),
        ("halluc/evaluation/asking.py",
         "replace(answer, target=sample.target, group=sample.group, image_id=sample.image_id)",
         "replace(answer, group=sample.group, image_id=sample.image_id)",
         "evaluation/test_ask_once.py::test_changed_data_under_the_same_ids_is_noticed"),
        ("halluc/store/asker.py", '"resolved": self.method.resolved}', '"resolved": {}}',
         "store/test_asker.py::test_the_key_differs_where_answers_may"),
        ("halluc/store/asker.py", '("name", "revision", "device_map", "pickled_weights")',
         '("revision", "device_map", "pickled_weights")',
         "store/test_asker.py::test_the_key_is_the_same_where_answers_are"),
        ("halluc/store/run_folder.py", "        if key != described:\n", "        if False:\n",
         "store/test_asker.py::test_an_edited_asker_is_not_believed"),
        ("halluc/store/run_folder.py", "        if scores.checksum != scores.checked():\n",
         "        if False:\n",
         "evaluation/test_real_machines.py::test_an_edited_result_is_not_believed"),
        ("halluc/interventions/method_source.py", "    for other in _imported(module, source):\n",
         "    for other in ():\n",
         "store/test_asker.py::test_a_shared_file_of_methods_counts"),
        ("halluc/lines_file.py", "            os.ftruncate(self._stream.fileno(), before)\n",
         "            pass\n",
         "test_lines_file.py::test_a_group_is_appended_whole_or_not_at_all"),
        ("halluc/lines_file.py", "        repair(path, check, report)\n", "        pass\n",
         "test_lines_file.py::test_a_broken_line_is_reported_and_taken_out"),
        ("halluc/lines_file.py", "        if self.lost is not None:\n", "        if False:\n",
         "test_lines_file.py::test_a_writer_whose_file_was_taken_over_stops"),
        ("halluc/files.py", "            os.fsync(stream.fileno())\n", "            pass\n",
         "test_files.py::test_the_content_is_on_the_disk_before_it_takes_the_name"),
        ("halluc/decoding/batching.py",
         "        if left := [sample for sample in batch if sample.id not in there]:",
         "        if left := batch:",
         "decoding/test_batches.py::test_what_is_known_keeps_its_place_in_batches"),
    )
]  # fmt: skip


def tested(mutant: Mutant | None, tests: Sequence[str], log: Path) -> int:
    """Run tests in a copy of the tree with a change in it; return pytest's exit status."""
    with TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("halluc", "methods", "benchmarks", "tests"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("methods", "benchmarks"):
            (copy / "halluc" / name).symlink_to(copy / name)
        shutil.copy(ROOT / "pyproject.toml", copy)
        if mutant is not None:
            file = copy / mutant.file
            file.write_text(file.read_text().replace(mutant.old, mutant.new))
        os.chdir(copy)
        sys.path.insert(0, folder)
        sys.modules.pop("tests")
        with log.open("w") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            status = int(pytest.main([*_QUICKLY, *tests]))
        return status if sys.modules["halluc"].__path__ == [f"{folder}/halluc"] else _ELSEWHERE


def outcomes(mutants: Sequence[Mutant | None], logs: Path) -> Iterator[Outcome]:
    """Try changes side by side, each in a process that has torch imported already."""
    gc.freeze()  # what is imported here is not looked through again in each process
    waiting, running = list(mutants), dict[int, tuple[Mutant | None, Path, float]]()
    every = sorted({f"tests/{mutant.test}" for mutant in mutants if mutant})
    while waiting or running:
        if waiting and len(running) < JOBS:
            mutant, log = waiting.pop(0), logs / f"{len(waiting)}.log"
            if not (pid := os.fork()):
                signal.alarm(LIMIT)
                os._exit(tested(mutant, [f"tests/{mutant.test}"] if mutant else every, log))
            running[pid] = mutant, log, time.monotonic()
        else:
            pid, status = os.wait()
            mutant, log, began = running.pop(pid)
            code = os.waitstatus_to_exitcode(status)
            yield Outcome(mutant, code, time.monotonic() - began, log.read_text())


def main(word: str = "") -> int:
    """Report every change whose file or test has a word in it; return the exit status."""
    wanted = [mutant for mutant in MUTANTS if word in mutant.file + mutant.test]
    misfits = [one for one in wanted if (ROOT / one.file).read_text().count(one.old) != 1]
    wrong = [f"no longer fits the code  {mutant}" for mutant in misfits]
    with TemporaryDirectory() as logs:
        tried = [None, *(mutant for mutant in wanted if mutant not in misfits)]
        for mutant, code, seconds, log in outcomes(tried, Path(logs)):
            if mutant is None and code:
                wrong.append(f"tests fail without any change:\n{log[-3000:]}")
            elif mutant is not None and code != pytest.ExitCode.TESTS_FAILED:
                how = "survives" if code == 0 else f"breaks the run ({code}): {log[-1000:]}"
                wrong.append(f"{how}  {mutant}  ({mutant.test})")
            print(f"{code:4} {seconds:5.1f} s  {mutant or 'no change'}", flush=True)
    print(*wrong, f"{len(wanted)} changes, {len(wrong)} that no test notices or that do not fit",
          sep="\n")  # fmt: skip
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
