"""How a training script wants to be called, told from its text."""

import ast
from textwrap import dedent

import pytest

from evertrain.process.draft.invocation import read_invocation

ARGV = """
    import sys, joblib, pandas as pd
    rows = pd.read_csv(sys.argv[1])
    joblib.dump(model, sys.argv[2])
"""
NAMED = """
    import sys, pickle, pandas as pd
    from pathlib import Path

    def main(source, target):
        rows = pd.read_parquet(source)
        with open(target, "wb") as file:
            pickle.dump(model, file)

    if __name__ == "__main__":
        _, data, out = sys.argv
        main(Path(data), target=out)
"""
OPTIONS = """
    import argparse, json, pandas as pd
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--model-out", "-o", default="model.json")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rows = pd.read_csv(args.data)
    json.dump({"rows": len(rows)}, open("figures.json", "w"))
    booster.save_model(f"{args.model_out}")
"""
BY_PLACE = """
    import argparse, csv
    parser = argparse.ArgumentParser()
    parser.add_argument("table")
    parser.add_argument("out", nargs="?")
    given = parser.parse_args()
    with open(given.table) as file:
        rows = list(csv.DictReader(file))
    (given.out).write_bytes(b"")
"""
EITHER = """
    import sys, pandas as pd
    path = sys.argv[1]
    rows = pd.read_csv(path) if path.endswith("csv") else pd.read_parquet(path)
    model.save_model(sys.argv[2])
"""
BRANCHES = """
    import sys, joblib, pandas as pd
    if len(sys.argv) > 2:
        data, out = Path(sys.argv[1]), sys.argv[2]
    else:
        data, out = Path("churn.csv"), "model.joblib"
    rows = pd.read_csv(data)
    joblib.dump(model, out)
"""
DEFAULTS = """
    import argparse, joblib, pandas as pd
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="?", default="churn.csv", type=Path)
    parser.add_argument("out", nargs="?", default="model.joblib")
    given = parser.parse_args()
    rows = pd.read_csv(given.data)
    joblib.dump(model, given.out)
"""
SPREAD = """
    import sys, joblib, pandas as pd

    def main(data="churn.csv", out="model.joblib"):
        rows = pd.read_csv(data)
        joblib.dump(model, out)

    main(*sys.argv[1:])
"""
OWN_PLACE = """
    import sys, joblib, pandas as pd
    rows = pd.read_csv(sys.argv[1])
    joblib.dump(model, "model.joblib")
"""


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        (ARGV, ("{csv}", "{model}")),
        (NAMED, ("{rows}", "{model}")),
        (OPTIONS, ("--data", "{csv}", "--model-out", "{model}", "--seed", "{seed}")),
        (BY_PLACE, ("{csv}", "{model}")),
        (EITHER, ("{rows}", "{model}")),
        (OWN_PLACE, ("{csv}",)),
        (ARGV.replace("sys.argv[1]", 'sys.argv[1] if len(sys.argv) > 1 else "churn.csv"'), ("{csv}", "{model}")),
        (ARGV.replace("sys.argv[1]", 'Path(sys.argv[1]) if sys.argv[1:] else Path("churn.csv")'), ("{csv}", "{model}")),
        (ARGV.replace("sys.argv[1]", '(sys.argv[1:] or ["churn.csv"])[0]'), ("{csv}", "{model}")),
        (ARGV.replace("sys.argv[1]", '(sys.argv[1:] + ["churn.csv"])[0]'), ("{csv}", "{model}")),
        (ARGV.replace("sys.argv[1]", 'next(iter(sys.argv[1:]), "churn.csv")'), ("{csv}", "{model}")),
        (BRANCHES, ("{csv}", "{model}")),
        (DEFAULTS, ("{csv}", "{model}")),
        (SPREAD, ("{csv}", "{model}")),
        ("import sys\nprint(sys.argv)", None),
        ("import sys, pandas as pd\npd.read_csv(sys.argv[2])", None),
        (OPTIONS.replace('"--rounds", type=int, default=50', '"--rounds", required=True'), None),
    ],
)
def test_what_an_argument_is_for_is_told_by_what_becomes_of_it(text: str, arguments: tuple[str, ...] | None) -> None:
    found = read_invocation(ast.parse(dedent(text)))
    assert found.arguments == arguments
    assert not found.fixed


@pytest.mark.parametrize(
    "text",
    [
        "import pandas as pd\n\nrows = pd.read_csv('churn.csv')",
        "import pandas as pd\nWHERE = 'churn.csv'\nrows = pd.read_csv(WHERE)",
        "import csv\nwith open('churn.csv') as file:\n    rows = list(csv.DictReader(file))",
    ],
)
def test_a_table_that_a_script_names_itself_is_told_with_its_line(text: str) -> None:
    [line] = read_invocation(ast.parse(text)).fixed
    assert (line.what, line.number) == ("churn.csv", 3)


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("import sys, pandas as pd\npd.read_csv(found_by(sys.argv))", "{csv}"),
        ("import sys, pandas as pd\npd.read_parquet(found_by(sys.argv))", "{rows}"),
        ("import sys\nread(sys.argv)", "{rows}"),
    ],
)
def test_the_form_of_the_table_is_told_where_its_argument_is_not(text: str, table: str) -> None:
    found = read_invocation(ast.parse(text))
    assert (found.arguments, found.table) == (None, table)


def test_what_happens_to_rows_before_the_fit_is_told_but_not_of_the_label() -> None:
    text = (
        ARGV
        + """
    rows["plan"] = rows["plan"].fillna("unknown")
    rows["churned"] = rows["churned"].map({"yes": 1, "no": 0})
    y = rows.churned.replace("yes", 1)
    rows = pd.get_dummies(rows)
    """
    )
    changes = read_invocation(ast.parse(dedent(text)), "churned").changes
    assert [one.what for one in changes] == ["fillna", "get_dummies"]
