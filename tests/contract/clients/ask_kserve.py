"""Asks a server by KServe's own client, in an environment that has nothing of evertrain; prints what it got as JSON.

python ask_kserve.py BASE SERVICE
"""

import asyncio
import json
import sys
from typing import Any

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

COLUMNS: dict[str, tuple[str, list[Any]]] = {
    "text": ("BYTES", ["", "Grüße", 'a "b"\n', "x" * 1000]),
    "real": ("FP64", [1.5, -0.0, 1e300, 5e-324]),
    "whole": ("INT64", [0, -(2**53), 2**53, 7]),
    "flag": ("BOOL", [True, False, True, False]),
}


def tensor(name: str, datatype: str, values: list[Any], *, binary: bool) -> InferInput:
    """One column of shape [n, 1]."""
    kinds = {"BYTES": object, "FP64": np.float64, "INT64": np.int64, "BOOL": np.bool_}
    made = InferInput(name, [len(values), 1], datatype)
    made.set_data_from_numpy(np.array(values, dtype=kinds[datatype]).reshape(-1, 1), binary_data=binary)
    return made


async def echo(client: InferenceRESTClient, base: str, service: str, column: str, *, binary: bool) -> dict[str, Any]:
    datatype, values = COLUMNS[column]
    inputs = [
        tensor("asked", "BYTES", [column] * len(values), binary=binary),
        tensor(column, datatype, values, binary=binary),
    ]
    asked = InferRequest(model_name=service, infer_inputs=inputs, request_id=f"{column}-1")
    answer = await client.infer(base, asked, model_name=service)
    outputs = {one.name: one.as_numpy().tolist() for one in answer.outputs}
    return {"id": answer.id, "service": answer.model_name, "outputs": outputs}


async def refused(client: InferenceRESTClient, base: str, service: str) -> str:
    asked = InferRequest(model_name=service, infer_inputs=[tensor("nothing", "FP64", [1.0], binary=False)])
    try:
        await client.infer(base, asked, model_name=service)
    except Exception as error:  # noqa: BLE001  what it raises is what is asked here
        return str(error)
    return ""


async def main(base: str, service: str) -> None:
    """Everything that the test wants to know."""
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    told: dict[str, Any] = {
        "live": await client.is_server_live(base),
        "ready": await client.is_server_ready(base),
        "model": await client.is_model_ready(base, service),
        "refused": await refused(client, base, service),
        "json": {column: await echo(client, base, service, column, binary=False) for column in COLUMNS},
        "binary": {column: await echo(client, base, service, column, binary=True) for column in COLUMNS},
    }
    sys.stdout.write(json.dumps(told))


asyncio.run(main(*sys.argv[1:]))
