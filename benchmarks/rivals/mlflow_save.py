"""What `mlflow models serve` takes: the booster, saved as a model of MLflow's."""

import lightgbm
import mlflow.lightgbm

mlflow.lightgbm.save_model(lightgbm.Booster(model_file="model.txt"), "mlflow_model")
