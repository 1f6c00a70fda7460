"""The page of features says what the code says: every operator with its formula, and every feature of the shipped set."""

from __future__ import annotations

import ast
from pathlib import Path

from kedge.learning import operators
from kedge.learning.feature import Feature
from kedge.learning.feature_sets import feature_set
from kedge.learning.operators import OPERATORS, Operator, Traits

from .feature_examples import LEADER

PAGE = (Path(__file__).parents[3] / "docs" / "features.md").read_text(encoding="utf-8")


def formulas() -> dict[str, str]:
    """Docstrings of the members, as they stand in the source."""
    tree = ast.parse(Path(operators.__file__).read_text(encoding="utf-8"))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Operator")
    found = {}
    for member, text in zip(body, body[1:], strict=False):
        if isinstance(member, ast.Assign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            (name,) = member.targets
            assert isinstance(name, ast.Name)
            found[name.id] = str(text.value.value)
    return found


def warmup(traits: Traits) -> str:
    """The warm-up in n and m, read off two examples that tell every form apart."""
    one, other = (7, 30), (20, 70)
    forms = {
        "1": lambda n, m: 1,
        "n": lambda n, m: n,
        "n + 1": lambda n, m: n + 1,
        "n + 2": lambda n, m: n + 2,
        "m": lambda n, m: m,
        "m + 1": lambda n, m: m + 1,
    }
    fits = [text for text, form in forms.items() if form(*one) == traits.warmup(*one) and form(*other) == traits.warmup(*other)]
    assert len(fits) == 1
    return "max(n, m) + 1" if traits.warmup(30, 7) == 31 and fits == ["m + 1"] else fits[0]


def operator_row(operator: Operator) -> str:
    traits = OPERATORS[operator]
    formula = formulas()[operator.name].replace("|", "\\|")
    cells = ", ".join(f"`{name}`" for name in traits.inputs)
    return f"| `{operator.name}` | {formula} | {cells} | {warmup(traits)} | {'yes' if traits.optional else 'no'} |"


def feature_row(feature: Feature) -> str:
    windows = {0: "", 1: f"{feature.window}", 2: f"{feature.window}, {feature.second}"}[OPERATORS[feature.operator].windows]
    return f"| `{feature.name}` | `{feature.operator.name}` | {windows} |"


def test_every_operator_stands_on_the_page_as_the_code_has_it() -> None:
    assert set(formulas()) == {operator.name for operator in Operator}
    for operator in Operator:
        assert operator_row(operator) in PAGE, operator_row(operator)


def test_every_feature_of_the_shipped_set_stands_on_the_page_in_order() -> None:
    rows = [feature_row(feature) for feature in feature_set("core", LEADER).features]
    assert "\n".join(rows) in PAGE, "\n".join(rows)


def test_the_page_names_no_operator_that_does_not_exist() -> None:
    named = [line.split("`")[1] for line in PAGE.splitlines() if line.startswith("| `") and line.endswith(("| yes |", "| no |"))]
    assert named == [operator.name for operator in Operator]
