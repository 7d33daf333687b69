"""MLflow model folders, as MLflow 2 and 3 write them; MLflow itself is not installed."""

from pathlib import Path

import pytest

from evertrain.errors import UserError
from evertrain.model.mlflow import unfold

MLMODEL = """\
artifact_path: model
flavors:
  lightgbm:
    code: null
    data: model.lgb
    lgb_version: 4.5.0
    model_class: lightgbm.basic.Booster
  python_function:
    data: model.lgb
    env:
      conda: conda.yaml
      virtualenv: python_env.yaml
    loader_module: mlflow.lightgbm
    python_version: 3.11.9
mlflow_version: 2.17.0
model_uuid: 3c1c0c9b0a2f4d0fa2b8c0b6f6f7a001
signature:
  inputs: '[{"type": "double", "name": "amount", "required": true}, {"type": "long",
    "name": "items", "required": true}, {"type": "string", "name": "shop", "required":
    false}, {"type": "boolean", "name": "member", "required": true}]'
  outputs: '[{"type": "double", "required": true}]'
  params: null
utc_time_created: '2024-10-10 10:10:10.101010'
"""


def folder(tmp_path: Path, text: str, *files: str) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "MLmodel").write_text(text)
    for name in files:
        (tmp_path / "model" / name).write_text("tree\n")
    return tmp_path / "model"


def test_the_native_file_and_the_signature_are_found(tmp_path: Path) -> None:
    path, schema = unfold(folder(tmp_path, MLMODEL, "model.lgb"))
    assert path.name == "model.lgb"
    assert schema is not None
    assert [(one.name, one.type, one.nullable) for one in schema.columns] == [
        ("amount", "float64", True),
        ("items", "int64", False),
        ("shop", "string", True),
        ("member", "bool", False),
    ]


@pytest.mark.parametrize(
    ("flavor", "key"), [("xgboost", "data"), ("onnx", "data"), ("sklearn", "pickled_model"), ("lightgbm", "data")]
)
def test_each_flavor_names_its_file(tmp_path: Path, flavor: str, key: str) -> None:
    path, schema = unfold(folder(tmp_path, f"flavors:\n  {flavor}:\n    {key}: it\n", "it"))
    assert (path.name, schema) == ("it", None)


@pytest.mark.parametrize(
    "inputs", ['[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 4]}}]', "[]"]
)
def test_a_signature_of_a_tensor_names_no_columns(tmp_path: Path, inputs: str) -> None:
    text = f"flavors:\n  onnx:\n    data: it\nsignature:\n  inputs: '{inputs}'\n"
    _, schema = unfold(folder(tmp_path, text, "it"))
    assert schema is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("flavors:\n  python_function:\n    loader_module: mine\n", "python_function, which no runtime serves"),
        ("flavors:\n  lightgbm:\n    data: ../../etc/passwd\n", "outside of the folder"),
        ("flavors:\n  lightgbm:\n    data: gone.lgb\n", "not there"),
        ("flavors: 3\n", "names no flavors"),
        ("- a\n- b\n", "no description of a model"),
        ("flavors: [\n", "cannot be read"),
        ("flavors: !!python/object/apply:os.system [ls]\n", "cannot be read"),
        ("flavors:\n  onnx:\n    data: it\nsignature:\n  inputs: 'nothing'\n", "signature"),
        (
            'flavors:\n  onnx:\n    data: it\nsignature:\n  inputs: \'[{"type": "datetime", "name": "t"}]\'\n',
            "type 'datetime'",
        ),
    ],
)
def test_what_cannot_be_served_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        unfold(folder(tmp_path, text, "it"))
