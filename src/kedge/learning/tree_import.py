"""LightGBM's trees as our own: from `Booster.model_to_string()` to the flat `Trees` of a model document.

The text is read, not `dump_model()`: its 17 digits are exact, while the dump cuts thresholds off at +-1e300 (an infinite one, which
parts NaN from all numbers, arrives there as 1e300). What LightGBM does at a split is kept to the bit (its `Tree::NumericalDecision`):

- it goes left when value <= threshold;
- a NaN goes the default way where the split's missing type is NaN, and counts as 0.0 where it is None;
- a value within +-1e-35 (float32) counts as 0.0, because zeros are left out of its sparse rows: thresholds inside that band are moved to
  its edge, which decides the same for every value and needs no test while walking;
- a threshold of infinity sends every number left; as JSON has no infinity, a second split at the largest float64 catches it;
- leaves hold the shrunken value, and the first tree the average it started from.

What is not known here is refused by name: categorical splits, linear trees, zero as missing, several classes, averaged trees.
"""

from __future__ import annotations

import math
import sys
from typing import Final, NamedTuple, NoReturn

import numpy as np

from kedge.domain.errors import InvalidInput
from kedge.learning.model import Trees

ZERO_BAND: Final = float(np.float32(1e-35))
"""LightGBM's kZeroThreshold: smaller values are zeros to it."""

_BELOW_ZERO: Final = math.nextafter(-ZERO_BAND, -math.inf)
_LARGEST: Final = sys.float_info.max

_CATEGORICAL: Final = 1
_DEFAULT_LEFT: Final = 2
_MISSING_SHIFT: Final = 2
_MISSING_NONE: Final = 0
_MISSING_NAN: Final = 2
_DECISION_BITS: Final = 4

_HEADER: Final = {
    "version": "v4",
    "num_class": "1",
    "num_tree_per_iteration": "1",
    "label_index": "0",
    "objective": "binary sigmoid:1",
}
_HEADER_READ_BY_OTHERS: Final = frozenset(("max_feature_idx", "feature_names", "feature_infos", "tree_sizes", "monotone_constraints"))
_SPLIT_COLUMNS: Final = ("split_feature", "decision_type", "left_child", "right_child", "threshold")
_TREE: Final = frozenset(
    (
        *_SPLIT_COLUMNS,
        *("num_leaves", "num_cat", "is_linear", "shrinkage", "split_gain"),
        *("leaf_value", "leaf_weight", "leaf_count", "internal_value", "internal_weight", "internal_count"),
    )
)


class _Flat:
    """The nodes laid down so far, by column."""

    def __init__(self) -> None:
        self.feature: list[int] = []
        self.threshold: list[float] = []
        self.left: list[int] = []
        self.right: list[int] = []
        self.nan_left: list[int] = []

    def add(self, feature: int, threshold: float, nan_left: bool) -> int:
        self.feature.append(feature)
        self.threshold.append(threshold)
        self.left.append(-1)
        self.right.append(-1)
        self.nan_left.append(int(nan_left))
        return len(self.feature) - 1


class _Tree(NamedTuple):
    """One tree as the text has it: a child below 0 is the leaf ~child."""

    feature: list[int]
    threshold: list[float]
    decision: list[int]
    left: list[int]
    right: list[int]
    leaf: list[float]


def trees_from_lightgbm(text: str) -> Trees:
    """Lay the trees of a binary booster flat, each in preorder, in the order they are summed.

    Parameters
    ----------
    text : str
        `Booster.model_to_string()`; cut to some iterations with its `num_iteration`.

    Raises
    ------
    InvalidInput
        A kind of tree or split whose decision is not kept here, named; or text that is no booster.
    """
    body, end, _ = text.partition("\nend of trees")
    header, *blocks = body.split("\nTree=")
    if not end or not blocks:
        _refuse("no trees in its text", "there is nothing to score with")
    _check_header(header)
    flat, roots = _Flat(), []
    for block in blocks:
        roots.append(len(flat.feature))
        _lay(flat, _read_tree(block))
    return Trees(
        feature=tuple(flat.feature),
        threshold=tuple(flat.threshold),
        left=tuple(flat.left),
        right=tuple(flat.right),
        nan_left=tuple(flat.nan_left),
        roots=tuple(roots),
    )


def _refuse(what: str, why: str) -> NoReturn:
    raise InvalidInput(
        f"LightGBM model with {what}", why=why, fix="train with objective binary on numbers, linear_tree and zero_as_missing off"
    )


def _fields(lines: str) -> dict[str, str]:
    return dict(line.partition("=")[::2] for line in lines.splitlines() if line)


def _check_header(lines: str) -> None:
    fields = _fields(lines)
    fields.pop("tree", None)
    if "average_output" in fields:
        _refuse("averaged trees (random forest)", "scores are sums of trees")
    for name, known in _HEADER.items():
        if fields.get(name) != known:
            _refuse(f"{name} {fields.get(name)!r}", f"only {known!r} is known")
    unknown = set(fields) - set(_HEADER) - _HEADER_READ_BY_OTHERS
    if unknown:
        _refuse(f"header fields {', '.join(sorted(unknown))}", "what they mean for a score is not known")


def _read_tree(block: str) -> _Tree:
    number, _, lines = block.partition("\n")
    fields = _fields(lines)
    if fields.get("is_linear", "0") != "0":
        _refuse(f"linear trees (tree {number})", "a leaf is a number, not a regression")
    if fields.get("num_cat") != "0":
        _refuse(f"{fields.get('num_cat')} categorical splits in tree {number}", "features are numbers; a set of categories is not kept")
    if set(fields) - _TREE:
        _refuse(f"fields {', '.join(sorted(set(fields) - _TREE))} in tree {number}", "what they mean for a decision is not known")
    try:
        feature, decision, left, right = ([int(cell) for cell in fields[name].split()] for name in _SPLIT_COLUMNS[:4])
        threshold, leaf = ([float(cell) for cell in fields[name].split()] for name in ("threshold", "leaf_value"))
    except (KeyError, ValueError) as error:
        _refuse(f"tree {number} that cannot be read: {error}", "a column of the tree is missing or no number")
    if {len(feature), len(decision), len(left), len(right), len(threshold)} != {len(leaf) - 1}:
        _refuse(f"tree {number} of columns that differ in length", "a tree of n leaves has n - 1 splits")
    return _Tree(feature, threshold, decision, left, right, leaf)


def _lay(flat: _Flat, tree: _Tree) -> None:
    """Add a tree in preorder; `waiting` holds nodes with the cells that are to point at them."""
    waiting: list[tuple[int, list[tuple[list[int], int]]]] = [(0 if tree.feature else ~0, [])]
    while waiting:
        node, pointers = waiting.pop()
        if node < 0:
            at = flat.add(-1, tree.leaf[~node], False)
        else:
            threshold, nan_left = _decision(tree, node)
            at = flat.add(tree.feature[node], min(threshold, _LARGEST), nan_left)
            to_left, to_right = [(flat.left, at)], [(flat.right, at)]
            if threshold == math.inf:
                caught = flat.right[at] = flat.add(tree.feature[node], _LARGEST, True)
                to_left, to_right = [*to_left, (flat.right, caught)], [(flat.left, caught)]
            waiting += [(tree.right[node], to_right), (tree.left[node], to_left)]
        for column, cell in pointers:
            column[cell] = at


def _decision(tree: _Tree, node: int) -> tuple[float, bool]:
    """Threshold and the way of NaN that decide alike for every value."""
    decision, threshold = tree.decision[node], tree.threshold[node]
    if decision & _CATEGORICAL:
        _refuse("a categorical split", "features are numbers; a set of categories is not kept")
    missing = decision >> _MISSING_SHIFT
    if missing not in (_MISSING_NONE, _MISSING_NAN) or decision >> _DECISION_BITS:
        _refuse(f"decision type {decision}", "zero as missing is not kept; only numerical splits with missing None or NaN are known")
    if math.isnan(threshold) or threshold == -math.inf:
        _refuse(f"a threshold of {threshold}", "no value could be compared with it")
    nan_left = bool(decision & _DEFAULT_LEFT) if missing == _MISSING_NAN else threshold >= 0.0
    return _outside_zero_band(threshold), nan_left


def _outside_zero_band(threshold: float) -> float:
    """The threshold that decides alike for every value, without counting small values as zero."""
    if 0.0 <= threshold < ZERO_BAND:
        return ZERO_BAND
    return _BELOW_ZERO if -ZERO_BAND <= threshold < 0.0 else threshold
