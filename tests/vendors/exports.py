"""Reads an export of usage with the package of the CloudEvents project and with Python's own reader of CSV, and prints what
was read as one line of JSON: {"cloudevents": [{id, value}], "csv": [...], "jsonl": [...]}.

    python exports.py FOLDER     a folder with the files `cloudevents`, `csv` and `jsonl`
"""

import csv
import json
import pathlib
import sys

from cloudevents.core.bindings.http import HTTPMessage, from_structured_event
from cloudevents.core.formats.json import JSONFormat

folder = pathlib.Path(sys.argv[1])


def cloud_events():
    for line in (folder / "cloudevents").read_bytes().splitlines():
        message = HTTPMessage(headers={"content-type": "application/cloudevents+json"}, body=line)
        event = from_structured_event(message, JSONFormat())
        assert event.get_specversion() == "1.0" and event.get_type() == "mcp_units", line
        assert event.get_source() == "urn:mcp:acme" and event.get_subject() and event.get_time(), line
        yield {"id": event.get_id(), "value": event.get_data()["units"]}


def rows_of_csv():
    with open(folder / "csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file, strict=True):
            yield {"id": row["id"], "value": int(row["units"])}


def rows_of_jsonl():
    for line in (folder / "jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        yield {"id": row["id"], "value": row["units"]}


print(
    json.dumps(
        {"cloudevents": list(cloud_events()), "csv": list(rows_of_csv()), "jsonl": list(rows_of_jsonl())}
    )
)
