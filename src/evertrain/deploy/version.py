"""A model version in this process: admitted, loaded, proved on its golden requests, ready to answer rows."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from evertrain import runtime
from evertrain.config.declaration import ServiceSpec
from evertrain.core.cohort import entity_key
from evertrain.core.golden import Golden
from evertrain.core.identity import VersionId, short
from evertrain.core.model import Manifest
from evertrain.core.routing import Refusal
from evertrain.core.schema import Value
from evertrain.core.score import Cause, RowScore, fault_of, hidden_words, plain
from evertrain.core.time import Instant
from evertrain.core.wording import say_many
from evertrain.deploy.column import Columns
from evertrain.deploy.record import Records
from evertrain.errors import EvertrainError, ModelError, UnavailableError, say_line
from evertrain.store.artifact import Artifacts
from evertrain.store.signature import Verifier, admit

__all__ = ["FeatureFunction", "Loaded", "Loader", "Recent", "ScoreError"]

FeatureFunction = Callable[[Mapping[str, Value], Instant], tuple[Value, ...]]
"""Request columns by name, and the prediction time; gives the vector, in the order of the manifest's inputs."""

Recent = tuple[tuple[Value, ...], Instant]
"""A row that was asked for lately, and its prediction time."""


class ScoreError(ModelError):
    """A version could not answer. `cause` is the word that a Failed record carries."""

    def __init__(self, cause: Cause, what: str) -> None:
        super().__init__(what)
        self.cause = cause

    def told(self, *, hidden: bool) -> str:
        """What is kept of it. Of what user code raised on a row with personal values only the kind: it may repeat them.

        >>> ScoreError("error", "predict raised KeyError: 'Ann'").told(hidden=True)
        'predict raised KeyError (what it says may be personal)'
        """
        if hidden and self.cause == "error":
            return hidden_words(self.what)
        return self.what

    @property
    def kind(self) -> str:
        """What clients are told: what user code says of itself may name files, hosts and other people's values.

        >>> ScoreError("error", "predict raised KeyError: 'Ann'").kind
        'predict raised KeyError'
        """
        return self.what.partition(":")[0] if self.cause == "error" else self.what


class Loaded:
    """One version, ready. Its calls are pure; they may come from the loading thread and from the answering one."""

    def __init__(
        self, manifest: Manifest, spec: ServiceSpec | None, model: runtime.Model, features: FeatureFunction
    ) -> None:
        self.manifest = manifest
        self.version = manifest.version
        self.columns = Columns(manifest.inputs, _zone(spec), _of_table(spec))
        self.records = Records(manifest.inputs, self.columns)
        self.output = manifest.output
        self._names = manifest.inputs.names
        self._model = model
        self._features = features
        self._process = os.getpid()
        # A model that takes the request's columns as they are needs no feature function.
        self._as_they_are = (spec is None or not spec.features) and self._names == tuple(
            item.name for item in manifest.vector
        )
        examples = None if spec is None else spec.examples
        self._key = _places(self._names, () if examples is None else examples.key)
        self._entity = _places(self._names, () if examples is None else examples.entity)
        self._at, self._offset = -1, 0
        if examples is not None and examples.at.column in self._names:
            self._at, self._offset = self._names.index(examples.at.column), examples.at.offset

    @property
    def key_names(self) -> tuple[str, ...]:
        """The columns of the entity key, () where none is declared."""
        return tuple(self._names[place] for place in self._key)

    def key_of(self, row: Sequence[Value]) -> str:
        """The entity key of the example, "" where none is declared."""
        return entity_key([row[place] for place in self._key]) if self._key else ""

    def entity_of(self, row: Sequence[Value]) -> str:
        """Whom the row is about, at whatever time; "" where no key is declared."""
        return entity_key([row[place] for place in self._entity]) if self._entity else ""

    def at_of(self, row: Sequence[Value], received: Instant) -> Instant:
        """The prediction time: the declared moment of the row, else the time of receipt."""
        moment = row[self._at] if self._at >= 0 else None
        return Instant(moment + self._offset) if isinstance(moment, int) else received

    def answer(
        self, rows: Sequence[tuple[Value, ...]], ats: Sequence[Instant]
    ) -> tuple[list[tuple[Value, ...]], list[RowScore]]:
        """Vectors and scores, one a row.

        ScoreError when one of them must not be answered; UnavailableError while the online states are incomplete.
        """
        try:
            vectors = list(rows) if self._as_they_are else self._vectors(rows, ats)
            scores = plain(self._model.score(vectors))
        except UnavailableError:
            # Not the version's doing: the online states are being built. The client is asked to come again.
            raise
        except (Exception, SystemExit) as error:  # features and models are user code: it is charged to the version
            raise ScoreError("error", say_line(error)) from error
        finally:
            runtime.end_if_copied(self._process)
        for score in scores:
            fault = fault_of(score, self.output)
            if fault is not None:
                raise ScoreError(*fault)
        return vectors, scores

    def _vectors(self, rows: Sequence[tuple[Value, ...]], ats: Sequence[Instant]) -> list[tuple[Value, ...]]:
        names, features = self._names, self._features
        return [features(dict(zip(names, row, strict=True)), at) for row, at in zip(rows, ats, strict=True)]

    def prove(self, golden: Golden) -> None:
        """Answer the golden requests: a copy that answers otherwise than when it was packaged is not the same model."""
        if not golden.requests:
            return
        scores = plain(self._model.score([request.vector for request in golden.requests]))
        for number, (request, score) in enumerate(zip(golden.requests, scores, strict=True)):
            if request.score is not None and score != request.score:
                raise ModelError(
                    f"Version {short(self.version)} answers golden request {number} with {score!r}; it was packaged "
                    f"with {request.score!r}.",
                    "The installed libraries differ from those that it was made with: retrain it here.",
                )

    def warm(self, recent: Sequence[Recent], *, hidden: bool) -> None:
        """Answer rows of the recent past, so that nothing is done for the first time when traffic comes.

        ModelError when none of them is answered: a row or two that fail are for the rollout to judge. hidden: they hold
        personal values, so that of what was raised only the kind is said.
        """
        rows = [(row, at) for row, at in recent if len(row) == len(self._names)]
        failures = []
        for row, at in rows:
            try:
                self.answer([row], [at])
            except ScoreError as error:
                failures.append(error)
        if failures and len(failures) == len(rows):
            raise ModelError(
                f"Version {short(self.version)} answers none of the newest {say_many(len(rows), 'request')}: "
                f"{failures[-1].told(hidden=hidden)}."
            )


class Loader:
    """Admits and loads versions. `features` builds the feature function of an admitted version.

    code: where the bundle lies unpacked that an admitted version's model may hold classes of; None where it cannot.
    at_home: raises PackageError for a version that this process has not the libraries for.
    """

    def __init__(
        self,
        artifacts: Artifacts,
        verifier: Verifier,
        features: Callable[[Manifest], FeatureFunction],
        spec: Callable[[Manifest], ServiceSpec | None],
        code: Callable[[Manifest], Path | None],
        *,
        at_home: Callable[[Manifest], None],
    ) -> None:
        self._artifacts = artifacts
        self._verifier = verifier
        self._features = features
        self._spec = spec
        self._code = code
        self._at_home = at_home

    def load(
        self,
        version: VersionId,
        refused: Iterable[Refusal],
        recent: Sequence[Recent],
        *,
        gently: bool = False,
        hidden: bool = False,
    ) -> Loaded:
        """TrustError or ModelError says why it must not or cannot be loaded. gently: while requests are answered.

        hidden: recent rows hold personal values.
        """
        manifest = admit(self._artifacts, self._verifier, version, need="judged", refused=refused)
        self._at_home(manifest)
        path, own = self._artifacts.blobs.path(manifest.model), os.getpid()
        try:
            loaded = self._load(manifest, path, gently=gently)
            loaded.warm(recent, hidden=hidden)
            return loaded
        except EvertrainError:
            raise
        except (Exception, SystemExit) as error:  # user code runs in models and features: what it raises is said
            raise ModelError(f"Version {short(version)}: {path} cannot be loaded: {say_line(error)}.") from error
        finally:
            runtime.end_if_copied(own)

    def _load(self, manifest: Manifest, path: Path, *, gently: bool) -> Loaded:
        model = runtime.load(manifest, path, self._code(manifest), gently=gently)
        loaded = Loaded(manifest, self._spec(manifest), model, self._features(manifest))
        if manifest.golden is not None:
            loaded.prove(msgspec.json.decode(self._artifacts.blobs.get(manifest.golden), type=Golden))
        return loaded


def _of_table(spec: ServiceSpec | None) -> tuple[str, ...]:
    """The columns of the table that the requests are rows of, () where it is not known."""
    if spec is None or spec.examples is None:
        return ()
    return tuple(column.name for column in spec.source(spec.examples.source).columns)


def _zone(spec: ServiceSpec | None) -> str | None:
    """The zone in which the population's table, and so a request, is read."""
    return None if spec is None or spec.examples is None else spec.source(spec.examples.source).zone


def _places(names: Sequence[str], key: Sequence[str]) -> tuple[int, ...]:
    """Where the key's columns stand in a row; () when the request does not carry all of them."""
    return tuple(names.index(name) for name in key) if set(key) <= set(names) else ()
