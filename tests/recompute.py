"""Recomputes every hash of a history, as docs/CHAIN.md specifies them.

Reads the JSON answer of a history from a file or from standard input and needs
nothing but Python's standard library. Prints each fault, and ends with status 1
if there is any.
"""

import datetime
import hashlib
import json
import sys

PARTS = ("public", "business", "personal")
ZERO = bytes(32)
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def sha256(*pieces):
    return hashlib.sha256(b"".join(pieces)).digest()


def micros(text):
    span = datetime.datetime.fromisoformat(text.replace("Z", "+00:00")) - EPOCH
    return span // datetime.timedelta(microseconds=1)


def faults(events):
    prev, ref, last = ZERO, None, None
    for place, event in enumerate(events, start=1):
        seq = event["seq"]

        def fault(sentence, seq=seq):
            return f"event {seq}: {sentence}"

        if seq != place:
            yield fault(f"stands where event {place} belongs")
        commitments = []
        for number, name in enumerate(PARTS, start=1):
            part = event["parts"][name]
            commitment = bytes.fromhex(part["commitment"])
            commitments.append(commitment)
            if "text" in part:
                salt, text = bytes.fromhex(part["salt"]), part["text"].encode("utf-8")
                if sha256(b"ormantrace/commit/1\0", bytes([number]), salt, text) != commitment:
                    yield fault(f"the {name} part is not what was committed to")
        record = sha256(b"ormantrace/record/1\0", *commitments)

        entry = bytes.fromhex(event["entry"])
        if len(entry) != 113 or entry[0] != 1:
            yield fault("the entry is not of version 1")
            continue
        if int.from_bytes(entry[33:41], "big") != seq:
            yield fault("the entry has another seq")
        received_at = int.from_bytes(entry[41:49], "big", signed=True)
        if received_at != micros(event["received_at"]):
            yield fault("the entry has another received_at")
        if entry[49:81] != prev or event["prev_hash"] != prev.hex():
            yield fault("does not follow from the event before it")
        if entry[81:113] != record:
            yield fault("the entry commits to other parts")
        if ref is not None and entry[1:33] != ref:
            yield fault("belongs to another subject")
        if last is not None and received_at < last:
            yield fault("was received before the event in front of it")
        link = sha256(b"\0", entry)
        if event["hash"] != link.hex():
            yield fault("the hash is not that of the entry")
        prev, ref, last = link, entry[1:33], received_at


def main():
    with open(sys.argv[1], "rb") if len(sys.argv) > 1 else sys.stdin.buffer as source:
        events = json.load(source)["events"]
    found = list(faults(events))
    for sentence in found:
        print(sentence)
    if not events:
        found = ["no events"]
        print(found[0])
    if not found:
        print(f"{len(events)} events recomputed, head {events[-1]['hash']}")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
