"""Ask whether a model is on, and which version answers a customer."""

import contextlib
import sys

from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ProviderNotReadyError

from evertrain.openfeature import Provider

with contextlib.suppress(ProviderNotReadyError):  # the port is silent: defaults hold until it speaks
    api.set_provider_and_wait(Provider(sys.argv[1]))
client = api.get_client()

print("on:", client.get_boolean_value("models.model", True))
found = client.get_string_details("models.model.version", "", EvaluationContext("customer-17"))
print("answered by:", found.variant)
