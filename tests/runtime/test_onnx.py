"""ONNX graphs: matrices and columns in, probabilities and values out, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from evertrain.core.model import Output
from evertrain.core.schema import Input
from evertrain.errors import ModelError
from evertrain.runtime.artifact import describe, recognise
from evertrain.runtime.onnx import OnnxModel
from evertrain.runtime.onnx_file import is_onnx

FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING
VALUE = Output(kind="value", low=None, high=None)


def save(path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: dict[str, Any]) -> Path:
    graph = helper.make_graph(
        nodes, "graph", inputs, outputs, [numpy_helper.from_array(np.array(one), name) for name, one in weights.items()]
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def info(name: str, element: int, *shape: int | None) -> Any:
    return helper.make_tensor_value_info(name, element, list(shape))


def linear(path: Path, width: int = 1) -> Path:
    """Rows of two columns by a matrix of weights."""
    weights = np.arange(1, 2 * width + 1, dtype=np.float32).reshape(2, width)
    return save(
        path,
        [helper.make_node("MatMul", ["rows", "weights"], ["value"])],
        [info("rows", FLOAT, None, 2)],
        [info("value", FLOAT, None, width)],
        {"weights": weights},
    )


def classifier(path: Path, zipmap: bool) -> Path:
    """Label and probabilities, as converters of classifiers make them; the second class is as likely as `a`."""
    nodes = [
        helper.make_node("Sub", ["one", "a"], ["no"]),
        helper.make_node("Concat", ["no", "a"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
    ]
    shown: list[Any] = [info("label", INT64, None)]
    if zipmap:
        nodes.append(
            helper.make_node("ZipMap", ["probabilities"], ["maps"], domain="ai.onnx.ml", classlabels_int64s=[0, 1])
        )
        value = helper.make_tensor_type_proto(FLOAT, [])
        maps = helper.make_sequence_type_proto(helper.make_map_type_proto(INT64, value))
        shown.append(helper.make_value_info("maps", maps))
    else:
        shown.append(info("probabilities", FLOAT, None, 2))
    return save(path, nodes, [info("a", FLOAT, None, 1)], shown, {"one": np.float32(1)})


def test_a_matrix_gives_its_columns_a_number(tmp_path: Path) -> None:
    path = linear(tmp_path / "model.onnx")
    assert recognise(path) == "onnx"
    told = describe(path, "onnx")
    assert told.generic
    assert [item.name for item in told.vector or ()] == ["rows0", "rows1"]
    assert told.output == VALUE
    assert OnnxModel(path, told.vector or (), VALUE).score([(3.0, 4.0), (1, None)])[0] == 11.0


@pytest.mark.parametrize("zipmap", [True, False])
def test_the_probability_of_the_second_class_is_the_score(tmp_path: Path, zipmap: bool) -> None:
    path = classifier(tmp_path / "model.onnx", zipmap)
    told = describe(path, "onnx")
    assert told.output == Output()
    [score] = OnnxModel(path, [Input(name="a")], Output()).score([(0.75,)])
    assert score == 0.75


def test_one_input_for_each_column_takes_its_type(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["n"], ["count"], to=FLOAT),
        helper.make_node(
            "LabelEncoder",
            ["shop"],
            ["place"],
            domain="ai.onnx.ml",
            keys_strings=["north", "south"],
            values_floats=[10.0, 20.0],
            default_float=0.0,
        ),
        helper.make_node("Add", ["count", "place"], ["value"]),
    ]
    path = save(
        tmp_path / "model.onnx",
        nodes,
        [info("shop", STRING, None, 1), info("n", INT64, None, 1)],
        [info("value", FLOAT, None, 1)],
        {},
    )
    told = describe(path, "onnx")
    assert [(one.name, one.type) for one in told.columns or ()] == [("shop", "string"), ("n", "int64")]
    assert told.text
    model = OnnxModel(path, told.vector or (), VALUE)
    assert model.score([("south", 3), ("nowhere", 4), (None, 5)]).tolist() == [23.0, 4.0, 5.0]
    with pytest.raises(ModelError, match="takes text"):
        model.predict(np.zeros((1, 2)))


def test_several_outputs_a_row_are_refused(tmp_path: Path) -> None:
    path = linear(tmp_path / "model.onnx", width=3)
    with pytest.raises(ModelError, match=r"3 scores a row.*answers with one"):
        OnnxModel(path, [Input(name="a"), Input(name="b")], Output())


def test_another_number_of_inputs_than_the_manifest_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="takes 2 inputs, but its manifest names 1"):
        OnnxModel(linear(tmp_path / "model.onnx"), [Input(name="a")], VALUE)


def test_weights_in_other_files_are_refused(tmp_path: Path) -> None:
    path = linear(tmp_path / "model.onnx")
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    with pytest.raises(ModelError, match=r"weights in other files.*one file"):
        describe(path, "onnx")


def test_an_image_is_no_row_of_a_table(tmp_path: Path) -> None:
    path = save(
        tmp_path / "model.onnx",
        [helper.make_node("Identity", ["image"], ["out"])],
        [info("image", FLOAT, None, 3, 8, 8)],
        [info("out", FLOAT, None, 3, 8, 8)],
        {},
    )
    with pytest.raises(ModelError, match="image"):
        describe(path, "onnx")


@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_a_file_that_was_cut_is_refused(tmp_path: Path, share: float) -> None:
    path = linear(tmp_path / "model.onnx")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelError):
        OnnxModel(path, [Input(name="a"), Input(name="b")], VALUE)


def test_a_graph_that_cannot_be_run_is_charged_to_the_model(tmp_path: Path) -> None:
    path = save(
        tmp_path / "model.onnx",
        [helper.make_node("NoSuchOperator", ["rows"], ["value"])],
        [info("rows", FLOAT, None, 2)],
        [info("value", FLOAT, None, 1)],
        {},
    )
    with pytest.raises(ModelError, match="NoSuchOperator"):
        OnnxModel(path, [Input(name="a"), Input(name="b")], VALUE)


@given(st.binary(max_size=40))
def test_any_bytes_are_told_apart_without_an_error(content: bytes) -> None:
    assert is_onnx(content) in (True, False)
