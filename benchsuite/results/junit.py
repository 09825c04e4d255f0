"""Verdicts as JUnit XML, which CI systems show as tests: one test for each row."""

from __future__ import annotations

from xml.etree import ElementTree

from benchsuite.kit.text import clean
from benchsuite.results.gatetexts import described, headline
from benchsuite.results.verdicts import Gate, Row

_NOT_RUN = ("ungated", "new")


def junit(gate: Gate) -> str:
    """The XML of ``gate``: rows that block are failures, those that are not gated skipped, others passed.

    Source: the JUnit XML schema as Jenkins, GitLab and GitHub's reporters read it.
    """
    root = ElementTree.Element("testsuites")
    skipped = sum(row.verdict in _NOT_RUN for row in gate.rows)
    counts = {"tests": len(gate.rows), "failures": len(gate.blocking), "errors": 0, "skipped": skipped}
    suite = ElementTree.SubElement(
        root, "testsuite", {"name": "benchsuite gate"} | {k: str(v) for k, v in counts.items()}
    )
    blocking = set(map(id, gate.blocking))
    for row in gate.rows:
        case = ElementTree.SubElement(
            suite, "testcase", {"classname": _text(f"{row.dataset}.{row.method}"), "name": _text(row.metric)}
        )
        if id(row) in blocking:
            failure = ElementTree.SubElement(case, "failure", {"type": row.verdict, "message": _text(_first_line(row))})
            failure.text = _text(described(row))
        elif row.verdict in _NOT_RUN:
            ElementTree.SubElement(case, "skipped", {"message": _text(_first_line(row))})
        else:
            ElementTree.SubElement(case, "system-out").text = _text(described(row))
    ElementTree.SubElement(suite, "system-out").text = _text("\n".join([headline(gate), *gate.notices, *gate.changes]))
    return _written(root)


def junit_problem(text: str) -> str:
    """The XML of a gate that came to no verdict: one test with an error."""
    root = ElementTree.Element("testsuites")
    counts = {"tests": "1", "failures": "0", "errors": "1", "skipped": "0"}
    suite = ElementTree.SubElement(root, "testsuite", {"name": "benchsuite gate", **counts})
    case = ElementTree.SubElement(suite, "testcase", {"classname": "benchsuite", "name": "gate"})
    ElementTree.SubElement(case, "error", {"message": _text(text)})
    return _written(root)


def _written(root: ElementTree.Element) -> str:
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _first_line(row: Row) -> str:
    return f"{row.verdict}: {row.reason}" if row.reason else row.verdict


def _text(text: str) -> str:
    """Without what XML does not allow."""
    lines = (clean(line, markdown=False) for line in text.splitlines())
    return "\n".join(line.replace("\ufffe", "").replace("\uffff", "") for line in lines)
