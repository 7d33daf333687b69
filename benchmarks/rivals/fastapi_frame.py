"""FastAPI as most write it: checked records become a data frame for the scikit-learn wrapper."""

import json
from pathlib import Path

import joblib
import pandas as pd
from fastapi import FastAPI
from pydantic import create_model

model = joblib.load("model.joblib")
kinds = json.loads(Path("columns.json").read_text())
Record = create_model("Record", **{name: ({"text": str, "number": float}[kind], ...) for name, kind in kinds.items()})
categories = [name for name, kind in kinds.items() if kind == "text"]
app = FastAPI()


def scores(records):
    frame = pd.DataFrame([record.model_dump() for record in records])
    frame[categories] = frame[categories].astype("category")
    return model.predict_proba(frame)[:, 1].tolist()


@app.post("/predict")
def predict(record: Record):
    return {"score": scores([record])[0]}


@app.post("/batch")
def batch(records: list[Record]):
    return {"scores": scores(records)}
