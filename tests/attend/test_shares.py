"""Shares sum to one, and every key counts once."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_allclose

from halluc.attend.geometry import Places
from halluc.attend.heat_maps import covered, heat
from halluc.attend.key_shares import KINDS, key_kinds, shares

# A prompt of BOS, two image tokens, two words; one word answered before. In layer 0 BOS is massive,
# in layer 1 the second image token and the last word are.
IMAGE = np.array([0, 1, 1, 0, 0], bool)
FIRST = np.array([1, 0, 0, 0, 0], bool)
SINKS = np.array([[1, 0, 0, 0, 0], [0, 0, 1, 0, 1]], bool)


def test_every_key_is_of_one_kind() -> None:
    kinds = key_kinds(IMAGE, FIRST, SINKS, 1)
    named = [[KINDS[kind] for kind in layer] for layer in kinds]
    assert named[0] == ["first", "image", "image", "prompt", "prompt", "generated"]
    assert named[1] == ["first", "image", "sinks", "prompt", "sinks", "generated"]


def test_shares_by_hand() -> None:
    row = np.array([0.5, 0.1, 0.2, 0.05, 0.05, 0.1], np.float32)
    attention = np.broadcast_to(row, (1, 2, 1, 6))  # a token, two layers, a head
    found = shares(attention, key_kinds(IMAGE, FIRST, SINKS, 1))
    # image, prompt, generated, first, sinks
    assert_allclose(found[0, 0, 0], [0.3, 0.1, 0.1, 0.5, 0], atol=1e-7)
    assert_allclose(found[0, 1, 0], [0.1, 0.05, 0.1, 0.5, 0.25], atol=1e-7)


def test_rows_that_do_not_sum_to_one_are_divided_all_the_same() -> None:
    row = np.array([1.0, 0.2, 0.4, 0.1, 0.1, 0.2], np.float32)
    found = shares(np.broadcast_to(row, (1, 2, 1, 6)), key_kinds(IMAGE, FIRST, SINKS, 1))
    assert_allclose(found.sum(-1), 1)
    nothing = shares(np.zeros((1, 2, 1, 6), np.float32), key_kinds(IMAGE, FIRST, SINKS, 1))
    assert np.isnan(nothing).all()


def test_a_heat_map_by_hand() -> None:
    # An image of 4 x 2: two tokens of 2 x 2, and one over the whole image.
    boxes = np.array([[0, 0, 2, 2], [2, 0, 4, 2], [0, 0, 4, 2]], float)
    found = heat(np.array([0.4, 0.2, 0.8]), Places((4, 2), boxes))
    # Per pixel .4 / 4 = .1, .2 / 4 = .05 and .8 / 8 = .1: means (.1 + .1) / 2 and (.05 + .1) / 2.
    assert_allclose(found, [[0.1, 0.1, 0.075, 0.075]] * 2)


def test_overlaps_are_weighted_by_the_part_of_a_pixel_they_cover() -> None:
    # A pixel of which one token covers half and another all: (.5 * 1 + 1 * .25) / 1.5 = .5,
    # with densities .5 / .5 = 1 and .25 / 1.
    boxes = np.array([[0, 0, 0.5, 1], [0, 0, 1, 1]], float)
    assert_allclose(heat(np.array([0.5, 0.25]), Places((1, 1), boxes)), [[0.5]])


def test_what_the_model_did_not_see_has_no_heat() -> None:
    boxes = np.array([[1, 0, 2, 1], [np.nan] * 4], float)
    found = heat(np.array([0.5, 0.5]), Places((3, 1), boxes))
    assert np.isnan(found[0, [0, 2]]).all() and found[0, 1] == 0.5


def test_a_smaller_map_holds_the_same_weight_per_pixel_of_the_image() -> None:
    boxes = np.array([[0, 0, 2, 2], [2, 0, 4, 2]], float)
    weights = np.array([0.4, 0.2])
    assert_allclose(heat(weights, Places((4, 2), boxes), size=(2, 1)), [[0.1, 0.05]])


def test_pixels_are_covered_in_part() -> None:
    assert covered(np.array([[0.25, 2.5]]), 4).tolist() == [[0.75, 1, 0.5, 0]]
