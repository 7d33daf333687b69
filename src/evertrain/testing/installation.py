"""An installation with signed versions of a toy service, made in milliseconds: for tests of whatever serves them."""

from pathlib import Path

import msgspec

from evertrain.core.identity import ServiceName, VersionId, digest_of
from evertrain.core.model import Manifest, Output, Verdict
from evertrain.core.pool import FIRST, Pool
from evertrain.core.routing import Route, RoutingTable
from evertrain.core.schema import Column, Input, Schema
from evertrain.core.time import Instant
from evertrain.store.artifact import Artifacts
from evertrain.store.installation import install
from evertrain.store.routing import RoutingFile
from evertrain.store.signature import Signer
from evertrain.store.state import State

__all__ = ["BEGIN", "SHOP", "SHOP_ROW", "SHOP_SCHEMA", "Installation"]

SHOP = ServiceName("shop")
BEGIN = Instant(1_700_000_000_000_000)
SHOP_SCHEMA = Schema(
    (
        Column(name="shop", type="string"),
        Column(name="amount", type="float64"),
        Column(name="n", type="int64"),
        Column(name="vip", type="bool"),
    )
)
SHOP_ROW = ("a", 12.5, 3, True)
"""A valid request, in the schema's order."""


class Installation:
    """A state directory, with the keys to put versions into it."""

    def __init__(self, path: Path) -> None:
        self.state: State = install(path, BEGIN)
        self.artifacts = Artifacts.at(self.state.artifacts)
        self.signer = Signer.load(self.state.keys)

    def add(
        self,
        source: str,
        *,
        verdict: Verdict | None = "health only",
        output: Output | None = None,
        inputs: Schema = SHOP_SCHEMA,
        lock: str = "",
    ) -> VersionId:
        """A version whose model is this Python source (`predict(rows)`), attested as built, and judged if asked to.

        lock: of the environment that it runs in; "" for the installation's.
        """
        manifest = Manifest(
            service=SHOP,
            format="callable",
            model=self.artifacts.blobs.put(source.encode()),
            bundle=None,
            features=digest_of(inputs),
            inputs=inputs,
            vector=tuple(Input(name=name) for name in inputs.names),
            output=output or Output(),
            lock=self.artifacts.blobs.put(lock.encode()) if lock else msgspec.UNSET,
        )
        return self.put(manifest, verdict=verdict)

    def put(self, manifest: Manifest, *, verdict: Verdict | None = "health only") -> VersionId:
        """A version of this manifest, whose model is among the blobs; attested as built, and judged if asked to."""
        version = self.artifacts.put_manifest(manifest)
        self.artifacts.attest(self.signer.sign_attestation("built", version, SHOP, BEGIN))
        if verdict is not None:
            self.judge(version, verdict)
        return version

    def judge(self, version: VersionId, verdict: Verdict) -> None:
        """Attest a verdict."""
        judged = self.signer.sign_attestation("judged", version, SHOP, BEGIN, verdict=verdict, reason="a test says so")
        self.artifacts.attest(judged)

    def route(self, route: Route, pools: tuple[Pool, ...] = (FIRST,), accepting: int = 0) -> RoutingTable:
        """Publish a table with this route for the toy service, as the next generation."""
        file = RoutingFile(self.state.routing)
        stands = file.read()
        table = RoutingTable(
            generation=stands.generation + 1, routes=stands.routes | {SHOP: route}, pools=pools, accepting=accepting
        )
        file.publish(table)
        return table
