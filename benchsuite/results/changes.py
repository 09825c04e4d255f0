"""What two runs, A and B, differ in apart from scores: commands, environments, parameters, data, code, protocols."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchsuite.contracts import MetricRow, Record
from benchsuite.kit.text import named

ABSENT = "–"
CODE = "code"
_SETTINGS = ("latent_dim", "subset", "precision", "threads", "device", "budget")  # that a cell's key covers
_ENVIRONMENT = ("benchsuite", "commit", "project", "python", "system", "processor", "cores", "devices")
Identity = tuple[str, str, int]
Difference = tuple[str, str, str]


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Difference]:
    """The name, the text in A and the text in B of every entry that differs; – stands for an entry that is not there.

    >>> differences({"epochs": 40, "loss": "l2"}, {"epochs": 20, "loss": "l2", "clip": None})
    [('epochs', '40', '20'), ('clip', '–', 'none')]
    """
    texts = [(name, _text(a, name), _text(b, name)) for name in dict.fromkeys([*a, *b])]
    return [(name, in_a, in_b) for name, in_a, in_b in texts if in_a != in_b]


def _text(of: Mapping[str, Any], name: str) -> str:
    value = of.get(name, ABSENT)
    if value is None:
        return "none"
    if isinstance(value, str):
        return value or ABSENT
    return json.dumps(value, sort_keys=True, default=str, ensure_ascii=False)


def identity_of(record: Record) -> Identity:
    """What is compared with what: method, dataset and seed, by their labels."""
    return record.cell.method, record.cell.dataset, record.cell.seed


def run_changes(a: Mapping[str, Any], b: Mapping[str, Any]) -> pd.DataFrame:
    """``what``, ``a``, ``b``: commands, versions, commit and machine of two runs, where what run.json says differs."""
    found = differences(_described_run(a), _described_run(b))
    return pd.DataFrame(found, columns=["what", "a", "b"])


def _described_run(run: Mapping[str, Any]) -> dict[str, Any]:
    environment = run.get("environment") or {}
    described = {"command": _command(run.get("command") or [])}
    described |= {f"scored by ({n})": _command(given) for n, given in enumerate(run.get("scored") or [], 1)}
    described |= {name: environment[name] for name in _ENVIRONMENT if name in environment}
    return described | dict(environment.get("packages") or {})


def _command(words: Sequence[str]) -> str:
    """As it was typed, without the folder that benchsuite is installed in."""
    return shlex.join([Path(word).name if place == 0 else str(word) for place, word in enumerate(words)])


def cell_changes(a: Mapping[Identity, Record], b: Mapping[Identity, Record]) -> pd.DataFrame:
    """``method, dataset, seeds, what, a, b, sentence``: what differs between cells that both runs have.

    Seeds that differ alike share a row, and rows that say the same of several methods or datasets share a ``sentence``.
    ``what`` is ``code`` where nothing differs but the key.
    """
    seeds: dict[tuple[str, str, str, str, str], list[int]] = {}
    common: dict[str, dict[str, list[int]]] = {}
    for (method, dataset, seed), record in a.items():
        other = b.get((method, dataset, seed))
        if other is None:
            continue
        common.setdefault(method, {}).setdefault(dataset, []).append(seed)
        for change in _between(record, other):
            seeds.setdefault((method, dataset, *change), []).append(seed)
    rows = [
        (method, dataset, _seeds(found, common[method][dataset]), *change)
        for (method, dataset, *change), found in seeds.items()
    ]
    frame = pd.DataFrame(rows, columns=["method", "dataset", "seeds", "what", "a", "b"])
    return frame.assign(sentence=_sentences(frame, {method: set(datasets) for method, datasets in common.items()}))


def _seeds(found: Sequence[int], common: Sequence[int]) -> str:
    return "all" if len(found) == len(common) else ", ".join(map(str, found))


def _between(a: Record, b: Record) -> list[Difference]:
    """What differs between two cells of one method, dataset and seed."""
    if a.cell == b.cell and a.device == b.device and a.data == b.data:
        return []
    one, other = a.cell, b.cell
    keyed = differences({"method": one.method_name}, {"method": other.method_name})
    if not keyed:
        keyed = differences(_without_codes(one.params), _without_codes(other.params))
    keyed += differences(*({name: getattr(cell, name) for name in _SETTINGS} for cell in (one, other)))
    data = ({f"dataset {name}": value for name, value in cell.dataset_params.items()} for cell in (one, other))
    keyed += differences(*data)
    fields = {"files read": "method_content", "prepared data": "content", "dataset fingerprint": "dataset_fingerprint"}
    for name, field in fields.items():
        keyed += differences({name: getattr(one, field)}, {name: getattr(other, field)})
    keyed += differences({"data": a.data}, {"data": b.data}) if a.data and b.data else []
    code = [(CODE, "", "")] if one.key != other.key and not keyed else []
    drawn = differences({"samples": one.samples}, {"samples": other.samples})
    ran = differences({"ran on": a.device}, {"ran on": b.device}) if a.device and b.device else []
    return [*keyed, *code, *drawn, *ran]


def _without_codes(params: Mapping[str, Any]) -> dict[str, Any]:
    """Without the size of codes, which cells state as it was resolved."""
    return {name: value for name, value in params.items() if name != "latent_dim"}


def _sentences(frame: pd.DataFrame, datasets: Mapping[str, set[str]]) -> list[str]:
    """One for each row of ``frame``: ``glo: epochs 40 -> 20``. ``datasets`` are those that methods have in common."""
    where: dict[tuple[str, ...], list[str]] = {}
    keys = list(frame[["method", "seeds", "what", "a", "b"]].itertuples(index=False, name=None))
    for key, dataset in zip(keys, frame["dataset"], strict=True):
        where.setdefault(key, []).append(dataset)
    who: dict[tuple[str, ...], list[str]] = {}
    for key, places in where.items():
        method, everywhere = key[0], len(places) == len(datasets[key[0]])
        who.setdefault(key[1:], []).append(method if everywhere else f"{method} on {named(places)}")
    return [_sentence(named(who[key[1:]]), *key[1:]) for key in keys]


def _sentence(who: str, seeds: str, what: str, a: str, b: str) -> str:
    said = "same parameters, other code or data (key differs)" if what == CODE else f"{what} {a} -> {b}"
    few = "" if seeds == "all" else f" (seeds {seeds})" if "," in seeds else f" (seed {seeds})"
    return f"{who}: {said}{few}"


def protocol_changes(a: MetricRow, b: MetricRow) -> str:
    """What changed between the protocols of two scores, in words: ``version 1 -> 2; k 3 -> 5``."""
    found = differences(_described_protocol(a), _described_protocol(b))
    words = "; ".join(f"{name} {in_a} -> {in_b}" for name, in_a, in_b in found)
    return words or f"fingerprint {a.fingerprint} -> {b.fingerprint}; the records do not say why"


def _described_protocol(row: MetricRow) -> dict[str, Any]:
    """What a fingerprint covers, by names that a reader knows."""
    protocol = row.protocol
    names = {"metric": "metric", "version": "version", "protocol": "evaluation"}
    names |= {"subset": "subset", "samples": "samples", "features": "features"}
    described = {said: protocol[name] for name, said in names.items() if name in protocol}
    return described | dict(protocol.get("params", {}))
