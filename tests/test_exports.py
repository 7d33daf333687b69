"""The public API is what the package exports: sorted, resolving, documented."""

import inspect

import evertrain as et


def test_exports_are_sorted_and_resolve() -> None:
    assert list(et.__all__) == sorted(et.__all__)
    for name in et.__all__:
        assert getattr(et, name) is not None


def test_every_export_is_documented() -> None:
    for name in et.__all__:
        assert inspect.getdoc(getattr(et, name)), f"{name} says nothing about itself"
