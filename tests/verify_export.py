"""Checks an export, a proof, a receipt or a checkpoint, as docs/TRUST.md says, without any code of ours.

A second implementation of `ormantrace verify`, made from docs/CHAIN.md and the C2SP specifications
(signed-note, tlog-checkpoint, tlog-cosignature, tlog-tiles, tlog-proof) and RFC 6962. It needs Python's
standard library and, for Ed25519, the package `cryptography`. It asks no network and no database.

    python3 verify_export.py [--trust VKEY] [--receipts VKEY] [--witness VKEY --quorum N] [--memory FILE]
                             [--register FOLDER] [--seal SEAL] [--json] FILE...

One line a check: outcome, name, what was found. Ends with status 1 if any check failed, else with 3 if the
register has events that a file does not show, or may have. Several keys of one flag are separated with commas.
"""

import argparse
import base64
import copy
import hashlib
import json
import os
import re
import sys
import unicodedata

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

PARTS = ("public", "business", "personal")
KINDS = {"log": 1, "felling_ticket": 2, "seal_batch": 3, "organization": 4, "finding": 5}
RESERVED = {6: "waybill"}
ZERO = bytes(32)
LARGEST = 2**63 - 1
OK, FAILED, UNCHECKED, INCOMPLETE = "ok", "failed", "unchecked", "incomplete"
OUTCOMES = {OK: "ok", FAILED: "FAILED", UNCHECKED: "not checked", INCOMPLETE: "INCOMPLETE"}
BLANK = " \t\r\n"
# Members of an export that no answer with a receipt has.
EXPORT_MEMBERS = ("format", "subject", "checkpoint", "keys", "policy", "consistency", "until")


def sha256(*pieces):
    return hashlib.sha256(b"".join(pieces)).digest()


class Wrong(Exception):
    """What is wrong with the form of something."""


# Signed notes and what they carry


def base64_bytes(text):
    """Standard base64 with padding, in its only form."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise Wrong("not base64") from None
    if base64.b64encode(data).decode() != text:
        raise Wrong("not base64 in its only form")
    return data


def is_name(name):
    return bool(name) and len(name.encode()) <= 255 and not re.search(r"[\s+\x00-\x1f\x7f-\x9f]", name)


class Key:
    """A key as `name+id+base64(algorithm || public key)`."""

    LOG, WITNESS = 1, 4

    def __init__(self, vkey, algorithm):
        pieces = vkey.split("+", 2)
        if len(pieces) != 3 or not re.fullmatch("[0-9a-f]{8}", pieces[1]):
            raise Wrong("not a key: " + vkey)
        self.vkey, self.name = vkey, pieces[0]
        key = base64_bytes(pieces[2])
        if not is_name(self.name) or len(key) != 33 or key[0] != algorithm:
            raise Wrong("not a key of the kind that is needed: " + vkey)
        self.id = sha256(self.name.encode(), b"\n", key)[:4]
        if self.id.hex() != pieces[1]:
            raise Wrong("a key whose id does not fit it: " + vkey)
        self.public = key[1:]

    def verifies(self, signature, message):
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


class Note:
    """A text and the signatures under it, not yet checked."""

    def __init__(self, data):
        if len(data) > 1_000_000:
            raise Wrong("a note of more than a million bytes")
        try:
            note = data.decode("utf-8")
        except UnicodeDecodeError:
            raise Wrong("a note that is not text") from None
        if not note.strip(BLANK):
            raise Wrong("a note that is empty")
        if note.startswith("\ufeff"):
            raise Wrong("a note that begins with a byte-order mark")
        if "\r\n" in note:
            raise Wrong("a note with lines that end in CR LF")
        at = note.rfind("\n\n")
        if at < 0 or not note.endswith("\n"):
            raise Wrong("not a signed note")
        self.text, lines = note[: at + 1], note[at + 2 :].split("\n")[:-1]
        if any(ord(char) < 32 and char != "\n" for char in self.text):
            raise Wrong("a note with control characters")
        if not 1 <= len(lines) <= 100:
            raise Wrong("a note without signatures, or with too many")
        self.signatures = []
        for line in lines:
            pieces = line.split(" ")
            if len(pieces) != 3 or pieces[0] != "—" or not is_name(pieces[1]):
                raise Wrong("a line under the note that is no signature")
            signature = base64_bytes(pieces[2])
            if len(signature) < 5:
                raise Wrong("a signature that is too short")
            self.signatures.append((pieces[1], signature[:4], signature[4:]))

    def signed_by(self, key):
        """None if there is no line of that key, else whether it verifies."""
        return self._check(key, lambda signature: key.verifies(signature, self.text.encode()))

    def witnessed_by(self, key):
        """The same for a cosignature: eight bytes of time, then the signature over time and text."""

        def fits(signature):
            if len(signature) != 72:
                return False
            seconds = int.from_bytes(signature[:8], "big")
            message = f"cosignature/v1\ntime {seconds}\n{self.text}"
            return key.verifies(signature[8:], message.encode())

        return self._check(key, fits)

    def _check(self, key, fits):
        """By the key's first line: a second one is passed over."""
        lines = [signature for name, id, signature in self.signatures if (name, id) == (key.name, key.id)]
        return fits(lines[0]) if lines else None


class Checkpoint:
    """Origin, size and root of a note's text."""

    def __init__(self, text):
        lines = text.split("\n")
        if len(lines) < 4 or any(not line for line in lines[:-1]):
            raise Wrong("the note is no checkpoint")
        self.origin, size, root = lines[:3]
        if not re.fullmatch("0|[1-9][0-9]{0,18}", size) or int(size) > LARGEST:
            raise Wrong("the checkpoint has no size")
        self.size, self.root = int(size), base64_bytes(root)
        if len(self.root) != 32:
            raise Wrong("the checkpoint has no root")


# The tree of RFC 6962


def node(left, right):
    return sha256(b"\1", left, right)


def included(leaf, index, size, proof, root):
    """Whether `proof` leads from `leaf` at `index` to `root` (RFC 9162, 2.1.3.2)."""
    if index >= size:
        return False
    fn, sn, value = index, size - 1, leaf
    for step in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            value = node(step, value)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            value = node(value, step)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and value == root


def consistent(old_size, old_root, new_size, new_root, proof):
    """Whether `proof` shows the old tree at the beginning of the new one (RFC 9162, 2.1.4.2)."""
    if old_size > new_size:
        return False
    if old_size == new_size:
        return not proof and old_root == new_root
    if old_size == 0:
        return not proof and old_root == sha256()
    if not proof:
        return False
    steps = list(proof)
    if old_size & (old_size - 1) == 0:
        steps.insert(0, old_root)
    fn, sn = old_size - 1, new_size - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = steps[0]
    for step in steps[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node(step, fr), node(step, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, step)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and fr == old_root and sr == new_root


def tree_root(leaves):
    """The root over leaf hashes."""
    if not leaves:
        return sha256()
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return node(tree_root(leaves[:split]), tree_root(leaves[split:]))


class Register:
    """A copy of the published directory."""

    def __init__(self, folder):
        self.folder = folder

    @staticmethod
    def number(number):
        pieces = [f"{number % 1000:03}"]
        while number >= 1000:
            number //= 1000
            pieces.insert(0, f"x{number % 1000:03}")
        return "/".join(pieces)

    def bundle(self, kind, number, width):
        """The bytes of a tile: the full one, or the partial of the needed width or wider."""
        path = os.path.join(self.folder, "tile", kind, self.number(number))
        wanted = [path] + [os.path.join(path + ".p", str(w)) for w in range(width, 256)]
        for name in wanted:
            try:
                with open(name, "rb") as file:
                    return file.read()
            except OSError:
                continue
        raise Wrong(f"the register's copy has no tile {kind}/{self.number(number)} of width {width}")

    def leaves(self, size):
        hashes = []
        for number in range((size + 255) // 256):
            width = min(256, size - 256 * number)
            tile = self.bundle("0", number, width)
            if len(tile) < 32 * width:
                raise Wrong(f"tile 0/{self.number(number)} of the register's copy is too short")
            hashes += [tile[32 * at : 32 * at + 32] for at in range(width)]
        return hashes

    def checkpoint(self):
        """The note of its newest checkpoint."""
        try:
            with open(os.path.join(self.folder, "checkpoint"), "rb") as file:
                return decoded(file.read())
        except OSError as wrong:
            raise Wrong(f"the register's copy: {wrong}") from None

    def entries(self, *checkpoints):
        """Every entry of the largest tree; wrong if they do not make up the tree of every checkpoint."""
        size, entries = max(checkpoint.size for checkpoint in checkpoints), []
        for number in range((size + 255) // 256):
            width = min(256, size - 256 * number)
            rest = self.bundle("entries", number, width)
            for _ in range(width):
                length = int.from_bytes(rest[:2], "big")
                if len(rest) < 2 + length or length != 113:
                    raise Wrong(f"bundle {self.number(number)} of the register's copy cannot be read")
                entries.append(rest[2:115])
                rest = rest[115:]
        leaves = [sha256(b"\0", entry) for entry in entries]
        if any(tree_root(leaves[: checkpoint.size]) != checkpoint.root for checkpoint in checkpoints):
            raise Wrong("the copy of the register is not what the checkpoint says")
        return entries


# The form of an export


def text_of(value):
    if not isinstance(value, str):
        raise Wrong("not a text")
    return value


def members(value, needed, optional=()):
    if not isinstance(value, dict):
        raise Wrong("not an object")
    for name in needed:
        if name not in value:
            raise Wrong(f"no member {name}")
    for name in value:
        if name not in needed and name not in optional:
            raise Wrong("a member that the format does not have")
    return value


def items(value):
    if not isinstance(value, list):
        raise Wrong("not a list")
    return value


def hex_bytes(value, length):
    if not re.fullmatch("[0-9a-f]{%d}" % (2 * length), text_of(value)):
        raise Wrong(f"not {length} bytes in hex")
    return bytes.fromhex(value)


def count(value):
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST:
        raise Wrong("not a number of things")
    return value


def unique(pairs):
    if len({name for name, _ in pairs}) != len(pairs):
        raise Wrong("a member twice")
    return dict(pairs)


def integer(text):
    return float(text) if text.startswith("-") else int(text)


def fraction(text):
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise Wrong("a number beyond every double")
    return number


def constant(text):
    raise Wrong(text + " is not JSON")


def read_json(data):
    hooks = {"parse_int": integer, "parse_float": fraction, "parse_constant": constant}
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=unique, **hooks)
        # Half of a pair of surrogates is no text.
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise Wrong("not JSON") from None
    return value


def committed(number, opening):
    return sha256(b"ormantrace/commit/1\0", bytes([number]), *opening)


class Event:
    def __init__(self, value):
        value = members(value, ("entry", "parts"), ("index", "proof", "pending"))
        self.entry = hex_bytes(value["entry"], 113)
        self.hash = sha256(b"\0", self.entry)
        self.parts = [self.part(members(value["parts"], PARTS)[name], name) for name in PARTS]
        if ("index" in value) != ("proof" in value) or ("index" in value) == ("pending" in value):
            raise Wrong("neither a proof nor pending, or both")
        if "pending" in value and value["pending"] is not True:
            raise Wrong("pending is true or absent")
        self.index, self.proof = None, []
        if "index" in value:
            self.index = count(value["index"])
            self.proof = [hex_bytes(step, 32) for step in items(value["proof"])]

    @staticmethod
    def part(value, name):
        value = members(value, ("commitment",), ("salt", "text", "erased"))
        if ("salt" in value) != ("text" in value) or "text" in value and "erased" in value:
            raise Wrong("a part is opened by salt and text")
        if "erased" in value and value["erased"] is not True:
            raise Wrong("erased is true or absent")
        opening, commitment = None, hex_bytes(value["commitment"], 32)
        if "text" in value:
            opening = hex_bytes(value["salt"], 32), text_of(value["text"]).encode()
        if "erased" in value and (name != "personal" or commitment == ZERO):
            raise Wrong("only a personal part that there was can be erased")
        return commitment, opening, "erased" in value

    def text(self, name):
        """The JSON of a part's text, if it is shown and as committed to."""
        number = PARTS.index(name)
        commitment, opening, _ = self.parts[number]
        if not opening or committed(number + 1, opening) != commitment:
            return None
        try:
            return read_json(opening[1])
        except Wrong:
            return None

    @property
    def ref(self):
        return self.entry[1:33]

    @property
    def seq(self):
        return int.from_bytes(self.entry[33:41], "big")

    @property
    def received_at(self):
        return int.from_bytes(self.entry[41:49], "big", signed=True)

    @property
    def prev(self):
        return self.entry[49:81]

    @property
    def record(self):
        return self.entry[81:113]


class Export:
    def __init__(self, value):
        needed = ("format", "subject", "events", "checkpoint", "keys", "policy")
        if isinstance(value, dict) and value.get("format") == "ormantrace/export/2":
            value = members(value, needed + ("kind",), ("consistency", "until"))
        else:
            value = members(value, needed, ("consistency",))
        self.format = text_of(value["format"])
        if self.format not in ("ormantrace/export/1", "ormantrace/export/2"):
            raise Wrong("not a format that is known here")
        if "kind" in value and count(value["kind"]) not in KINDS.values():
            kind = value["kind"]
            if not 1 <= kind <= 7:
                raise Wrong(f"{kind} is not the number of a kind of chain")
            kind = ", ".join([str(kind)] + [RESERVED[k] for k in RESERVED if k == kind])
            raise Wrong(f"a chain of kind {kind}, which is not known here: use a newer verifier")
        subject = members(value["subject"], ("kind", "id", "salt"))
        if text_of(subject["kind"]) not in KINDS:
            raise Wrong("a subject of a kind that is not known here")
        if "kind" in value and value["kind"] != KINDS[subject["kind"]]:
            raise Wrong("the chain is of another kind than its subject")
        shape = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
        if not re.fullmatch(shape, text_of(subject["id"])):
            raise Wrong("the subject's id is no id")
        id = bytes.fromhex(subject["id"].replace("-", ""))
        salt, self.kind = hex_bytes(subject["salt"], 32), subject["kind"]
        self.id = subject["id"]
        self.ref = sha256(b"ormantrace/ref/1\0", bytes([KINDS[subject["kind"]]]), id, salt)
        self.checkpoint = text_of(value["checkpoint"])
        self.keys = [Key(text_of(key), Key.LOG) for key in items(value["keys"])]
        policy = members(value["policy"], ("quorum", "witnesses"))
        self.witnesses = [Key(text_of(key), Key.WITNESS) for key in items(policy["witnesses"])]
        self.quorum = count(policy["quorum"])
        if self.quorum > len(self.witnesses):
            raise Wrong("a quorum of more witnesses than there are")
        self.consistency = None
        if "consistency" in value:
            told = members(value["consistency"], ("from", "proof"))
            proof = [hex_bytes(step, 32) for step in items(told["proof"])]
            self.consistency = count(told["from"]), proof
        self.raw_events = items(value["events"])
        if not self.raw_events:
            raise Wrong("no events")
        self.until = count(value["until"]) if "until" in value else None
        if self.until not in (None, len(self.raw_events)):
            raise Wrong("until is not the number of the last event")


# The checks


class Report:
    def __init__(self, kind):
        self.kind, self.rows, self.trusted = kind, [], False

    def row(self, check, outcome, detail, event=None):
        self.rows.append({"check": check, "event": event, "outcome": outcome, "detail": detail})

    def over(self, check, found, ok):
        """A row for each event in `found`, or one that says `ok`."""
        for event, detail in found:
            self.row(check, FAILED, detail, event)
        if not found:
            self.row(check, OK, ok)

    @property
    def failed(self):
        return any(row["outcome"] == FAILED for row in self.rows)

    @property
    def verdict(self):
        if self.failed:
            return "invalid"
        if any(row["outcome"] == INCOMPLETE for row in self.rows):
            return "incomplete"
        return "valid" if self.trusted else "untrusted"


class Trust:
    """What the reader brings along."""

    def __init__(self, arguments):
        def keys(values, kind):
            found = [Key(key.strip(), kind) for value in values for key in value.split(",")]
            return list({key.vkey: key for key in found}.values())

        self.keys = keys(arguments.trust, Key.LOG)
        self.receipts = keys(arguments.receipts, Key.LOG)
        self.witnesses = keys(arguments.witness, Key.WITNESS)
        self.seal = arguments.seal
        self.quorum = arguments.quorum
        self.memory = arguments.memory
        self.register = Register(arguments.register) if arguments.register else None


def check_checkpoint(report, trust, note, keys, witnesses, quorum, consistency):
    """Signature, witnesses, memory. Answers the checkpoint if it can be read."""
    try:
        note = note if isinstance(note, Note) else Note(note)
        checkpoint = Checkpoint(note.text)
    except Wrong as wrong:
        report.row("checkpoint", FAILED, str(wrong))
        for check in ("witnesses", "memory"):
            report.row(check, UNCHECKED, "there is no checkpoint")
        return None

    candidates = trust.keys or keys
    results = [(key, note.signed_by(key)) for key in candidates]
    signers = [key for key, good in results if good and key.name == checkpoint.origin]
    whose = "your key" if trust.keys else "a key from the file itself"
    if not trust.keys and trust.receipts:
        report.row("checkpoint", FAILED, "no key of the register was given, only of its receipts: give --trust")
    elif not candidates:
        report.row("checkpoint", UNCHECKED, "no key to check the signature with")
    elif any(good is False for _, good in results):
        report.row("checkpoint", FAILED, "the signature does not fit")
    elif not signers:
        report.row("checkpoint", FAILED, f"not signed by {whose}")
    else:
        report.trusted = bool(trust.keys)
        report.row("checkpoint", OK, f"{checkpoint.origin} of size {checkpoint.size}, signed by {whose}")

    own = bool(trust.witnesses)
    asked = trust.witnesses if own else witnesses
    needed = trust.quorum if trust.quorum is not None else (len(asked) if own else quorum)
    results = {key.vkey: note.witnessed_by(key) for key in asked}
    k, n = sum(good is True for good in results.values()), len(asked)
    if any(good is False for good in results.values()):
        report.row("witnesses", FAILED, "a witness's signature does not fit")
    elif k < needed:
        report.row("witnesses", FAILED, f"witnessed by {k} of {n}, {needed} needed")
    elif not asked:
        report.row("witnesses", UNCHECKED, "no witnesses are named")
    else:
        report.row("witnesses", OK, f"witnessed by {k} of {n}, {needed} needed")
    check_memory(report, trust, checkpoint, consistency)
    return checkpoint


def check_memory(report, trust, checkpoint, consistency):
    if trust.memory is None:
        return report.row("memory", UNCHECKED, "no --memory was given")
    if not os.path.exists(trust.memory):
        return report.row("memory", OK, "the first checkpoint seen")
    try:
        with open(trust.memory, "rb") as file:
            seen = Checkpoint(Note(decoded(file.read())).text)
    except (Wrong, OSError) as wrong:
        return report.row("memory", FAILED, f"the memory cannot be read: {wrong}")
    if seen.origin != checkpoint.origin:
        return report.row("memory", FAILED, f"the memory is of another register: {seen.origin}")
    if seen.size == checkpoint.size:
        if seen.root == checkpoint.root:
            return report.row("memory", OK, "the same checkpoint as seen last")
        return report.row("memory", FAILED, f"two roots of size {seen.size}: the register shows two histories")
    old, new = sorted((seen, checkpoint), key=lambda one: one.size)
    if consistency and consistency[0] == old.size and new is checkpoint:
        good = consistent(old.size, old.root, new.size, new.root, consistency[1])
    elif trust.register:
        try:
            leaves = trust.register.leaves(new.size)
        except Wrong as wrong:
            return report.row("memory", FAILED, str(wrong))
        good = tree_root(leaves) == new.root and tree_root(leaves[: old.size]) == old.root
    elif old is checkpoint:
        detail = f"a newer checkpoint was seen, of size {seen.size}; the file's is of size {old.size}: give --register"
        return report.row("memory", INCOMPLETE, detail)
    else:
        detail = f"no proof from size {old.size} to {new.size}: give --register, or export with ?since={old.size}"
        return report.row("memory", FAILED, detail)
    if good:
        return report.row("memory", OK, f"consistent with size {seen.size}, seen last")
    return report.row("memory", FAILED, f"not consistent with size {seen.size}, seen last: history was rewritten")


def check_chain(report, ref, events):
    placed = list(enumerate(events, start=1))
    before = [None] + events[:-1]
    report.over(
        "entry",
        [(k, "the entry is not of version 1") for k, event in placed if event.entry[0] != 1],
        f"entries: {len(events)}, all of format version 1",
    )
    report.over(
        "subject",
        [(k, "belongs to another subject") for k, event in placed if event.ref != ref],
        "every entry is of this subject",
    )
    report.over(
        "sequence",
        [(k, f"event {event.seq} stands where {k} belongs") for k, event in placed if event.seq != k],
        f"1 to {len(events)} without a gap",
    )
    report.over(
        "time",
        [
            (k, "was received before the event in front of it")
            for (k, event), last in zip(placed, before)
            if last and event.received_at < last.received_at
        ],
        "never falls",
    )
    report.over(
        "link",
        [
            (k, f"does not follow from event {k - 1}" if last else "the first event follows from another")
            for (k, event), last in zip(placed, before)
            if event.prev != (last.hash if last else ZERO)
        ],
        "each follows from the one before it",
    )
    found, opened, erased = [], 0, 0
    for k, event in placed:
        for number, (commitment, opening, gone) in enumerate(event.parts, start=1):
            erased += gone
            if opening:
                opened += 1
                if committed(number, opening) != commitment:
                    found.append((k, f"the {PARTS[number - 1]} part is not what was committed to"))
    said = f"{opened} opened, each as committed to"
    report.over("parts", found, said + f"; {erased} erased, commitment intact" if erased else said)
    for k, event in placed:
        hidden = [
            name + (" (erased, by the file)" if gone else "")
            for name, (commitment, opening, gone) in zip(PARTS, event.parts)
            if not opening and commitment != ZERO
        ]
        if hidden:
            report.row("parts", UNCHECKED, "not shown: " + ", ".join(hidden), k)
    report.over(
        "record",
        [
            (k, "the entry commits to other parts")
            for k, event in placed
            if sha256(b"ormantrace/record/1\0", *(part[0] for part in event.parts)) != event.record
        ],
        "every entry's record is the hash of its three commitments",
    )


def check_inclusion(report, events, checkpoint):
    if checkpoint is None:
        return report.row("inclusion", UNCHECKED, "there is no checkpoint")
    found = []
    for k, event in enumerate(events, start=1):
        if event.index is None:
            found.append((k, "not yet in the register"))
        elif not included(event.hash, event.index, checkpoint.size, event.proof, checkpoint.root):
            found.append((k, f"not in the register at {event.index}"))
    return report.over("inclusion", found, f"{len(events)} in the register")


def copied(trust, keys):
    """The checkpoint of the register's copy, signed by a key that the file's is checked with."""
    note = Note(trust.register.checkpoint())
    checkpoint, keys = Checkpoint(note.text), trust.keys or keys
    results = [(key, note.signed_by(key)) for key in keys]
    if any(good is False for _, good in results):
        raise Wrong("the copy's checkpoint has a signature that does not fit")
    if keys and not any(good and key.name == checkpoint.origin for key, good in results):
        raise Wrong("the copy's checkpoint is not signed by a known key")
    return checkpoint


def check_complete(report, trust, events, checkpoint, export):
    """Up to the newest checkpoint that the reader has: the file's, the copy's or the one seen last."""
    claim = f"the file says its reader's access ended at {export.until}, which nothing proves"
    if trust.register is None or checkpoint is None:
        detail = "whether later events were left off: give --register"
        return report.row("complete", UNCHECKED, detail + (f"; {claim}" if export.until else ""))
    trees = [checkpoint]
    try:
        trees.append(copied(trust, export.keys))
        if trees[1].origin != checkpoint.origin:
            raise Wrong(f"the register's copy is of another register: {trees[1].origin}")
        if trust.memory is not None and os.path.exists(trust.memory):
            try:
                with open(trust.memory, "rb") as file:
                    seen = Checkpoint(Note(decoded(file.read())).text)
                trees += [seen] if seen.origin == checkpoint.origin else []
            except (Wrong, OSError):
                pass  # the check `memory` has failed
        entries = trust.register.entries(*trees)
    except Wrong as wrong:
        return report.row("complete", FAILED, str(wrong))
    at = [(k, int.from_bytes(entry[33:41], "big")) for k, entry in enumerate(entries) if entry[1:33] == events[0].ref]
    shown, last = len(events), max((seq for _, seq in at), default=0)
    older = ""
    if len(entries) > checkpoint.size:
        older = f"; counted to size {len(entries)}: the file's checkpoint is older, of size {checkpoint.size}"
    if last <= shown:
        return report.row("complete", OK, "the register has no later event of this chain" + older)
    which = f"event {last} is" if last == shown + 1 else f"events {shown + 1}–{last} are"
    why = "the file is older"
    if export.until:
        why = claim
    elif any(seq > shown and k < checkpoint.size for k, seq in at):
        if export.format == "ormantrace/export/2":
            detail = f"the register has {last} events of this chain, the file shows {shown}{older}"
            return report.row("complete", FAILED, detail, shown + 1)
        why = "the file does not say why"
    return report.row("complete", INCOMPLETE, f"{which} in the register and not shown; {why}{older}")


# What a file is about


def member(value, *names):
    """A text inside of objects, or None."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) else None


# What copy and paste or a reader adds to a seal's number, and letters and dashes that look like those in it.
INVISIBLE = re.compile("[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]")
SYMBOLOGY = re.compile("][A-Za-z][A-Za-z0-9]")
BETWEEN_GROUPS = re.compile("[ \u00a0\u2009\u202f]")
CYRILLIC, LATIN = "АВЕКМНОРСТУХІавекмнорстухі", "ABEKMHOPCTYXI" * 2
DASHES = "‐‑‒–—―−⁃﹘﹣－"
SAME_SHAPE = str.maketrans(CYRILLIC + DASHES, LATIN + "-" * len(DASHES))


def bare(given):
    text = INVISIBLE.sub("", given).strip()
    return text[3:].lstrip() if SYMBOLOGY.match(text) else text


def numbers(given):
    """The possible readings of a given seal number: the first blank between groups may stand for a hyphen."""
    text = bare(given)
    first, *more = BETWEEN_GROUPS.split(text)
    readings = [text]
    if more and all(re.fullmatch("[0-9]+", group) for group in more):
        readings = [first + "".join(more), first + "-" + "".join(more)]
    normal = (unicodedata.normalize("NFC", reading).translate(SAME_SHAPE) for reading in readings)
    return [re.sub("[a-z]+", lambda lower: lower[0].upper(), number) for number in normal]


def joined(prefix, between, *words):
    return prefix + between.join(words) if None not in words else None


def name_of(kind, id, publics, seals, events):
    """What the opened texts call the subject, or None."""
    if kind == "log":
        species = [text for text in (member(public, "species") for public in publics) if text is not None]
        found = ["seal " + seals[-1][1]] if seals else []
        found += species[-1:]
    if kind == "log" and seals:
        later = list(enumerate(publics, start=1))[seals[-1][0] :]
        void = [k for k, public in later if member(public, "type") == "seal_voided"]
        found[0] += f" (void since event {void[0]})" if void else ""
    tickets = [
        joined("felling ticket ", " ", member(public, "ticket", "series"), member(public, "ticket", "number"))
        for public in publics
    ]
    tickets = [ticket for ticket in tickets if ticket]
    if kind == "log":
        return ", ".join(found + tickets[:1]) or None
    if kind == "felling_ticket":
        return tickets[0] if tickets else None
    for event in events:
        if kind == "seal_batch":
            text = event.text("business")
            name = joined("seals ", " to ", member(text, "first"), member(text, "last"))
        elif kind == "organization":
            text = event.text("personal")
            name = joined("organisation ", ", ", member(text, "bin"), member(text, "name"))
        else:
            name = f"{kind.replace('_', ' ')} {id}"
        if name:
            return name
    return None


def check_about(report, trust, kind, id, events):
    publics = [event.text("public") for event in events]
    seals = [
        (k, member(public, "seal"), member(public, "identification"))
        for k, public in enumerate(publics, start=1)
        if member(public, "seal") is not None
    ]
    if trust.seal is None:
        name = name_of(kind, id, publics, seals, events)
        if name:
            return report.row("about", OK, name)
        return report.row("about", UNCHECKED, "no text that is shown says what the file is about")
    asked = [
        seal in numbers(trust.seal)
        or identification is not None
        and (bare(trust.seal) + "\x1d").startswith(identification + "\x1d")
        for _, seal, identification in seals
    ]
    if not seals:
        return report.row("about", FAILED, f"the file does not show that it is about seal {trust.seal}")
    if asked[-1]:
        for k, public in list(enumerate(publics, start=1))[seals[-1][0] :]:
            if public is None:
                detail = f"the public part of event {k} is not shown: the seal may have been replaced"
                return report.row("about", FAILED, detail)
        return report.row("about", OK, name_of(kind, id, publics, seals, events))
    if any(asked):
        return report.row("about", FAILED, f"seal {trust.seal} was replaced; the log's seal is {seals[-1][1]}")
    return report.row("about", FAILED, f"the file is about seal {seals[-1][1]}, not {trust.seal}")


def check_no_text(report, trust):
    """For files that show no text that was hashed."""
    if trust.seal is not None:
        report.row("about", FAILED, f"the file does not show that it is about seal {trust.seal}; an export does")


def verify_export(value, trust):
    report = Report("export")
    try:
        export = Export(value)
    except Wrong as wrong:
        report.row("format", FAILED, str(wrong))
        return report, None
    events = []
    for k, raw in enumerate(export.raw_events, start=1):
        try:
            events.append(Event(raw))
        except Wrong as wrong:
            report.row("format", FAILED, str(wrong), k)
    if report.failed:
        return report, None
    report.row("format", OK, f"{export.format} of {len(events)} events")
    checkpoint = check_checkpoint(
        report, trust, export.checkpoint.encode(), export.keys, export.witnesses, export.quorum, export.consistency
    )
    check_chain(report, export.ref, events)
    check_about(report, trust, export.kind, export.id, events)
    check_inclusion(report, events, checkpoint)
    check_complete(report, trust, events, checkpoint, export)
    return report, export.checkpoint.encode()


def parse_proof(data):
    head, blank, note = data.partition(b"\n\n")
    if not blank or len(data) > 1_000_000:
        raise Wrong("not a proof with an entry")
    try:
        lines = head.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        raise Wrong("not text") from None
    if len(lines) < 3 or not lines[1].startswith("extra "):
        raise Wrong("not a proof with an entry")
    entry = base64_bytes(lines[1].removeprefix("extra "))
    number = re.fullmatch("index (0|[1-9][0-9]{0,18})", lines[2])
    if len(entry) != 113 or not number or int(number[1]) >= LARGEST:
        raise Wrong("not a proof with an entry")
    proof = [base64_bytes(line) for line in lines[3:]]
    if any(len(step) != 32 for step in proof) or len(proof) > 63:
        raise Wrong("a step of the proof that is no hash")
    return entry, int(number[1]), proof, Note(note), note


def verify_proof(data, trust):
    report = Report("proof")
    try:
        entry, index, proof, note, raw = parse_proof(data)
    except Wrong as wrong:
        report.row("format", FAILED, str(wrong))
        return report, None
    report.row("format", OK, "tlog-proof of one entry")
    checkpoint = check_checkpoint(report, trust, note, [], [], 0, None)
    report.over("entry", [] if entry[0] == 1 else [(None, "the entry is not of version 1")], "of version 1")
    if trust.seal is None:
        report.row("about", UNCHECKED, "a proof does not show which log it is of; an export does")
    check_no_text(report, trust)
    if checkpoint is None:
        report.row("inclusion", UNCHECKED, "there is no checkpoint")
    else:
        good = included(sha256(b"\0", entry), index, checkpoint.size, proof, checkpoint.root)
        report.over("inclusion", [] if good else [(None, f"not in the register at {index}")], f"at {index}")
    return report, raw


def verify_checkpoint(data, trust):
    report = Report("checkpoint")
    checkpoint = check_checkpoint(report, trust, data, [], [], 0, None)
    check_no_text(report, trust)
    return report, None if checkpoint is None else data


def parse_receipt(answer):
    for name in EXPORT_MEMBERS:
        if name in answer:
            raise Wrong(f"no answer with a receipt has the member {name}; an export has")
    if "logs" in answer and "events" in answer:
        raise Wrong("both logs and events")
    receipt = members(answer["receipt"], ("note",), ("leaves",))
    note = Note(text_of(receipt.get("note")).encode())
    lines = note.text.split("\n")
    if len(lines) != 7 or lines[1] != "receipt/1" or lines[5] != "within 60":
        raise Wrong("the note is no receipt")
    time = re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z", lines[2])
    number = re.fullmatch("0|[1-9][0-9]{0,18}", lines[3])
    root = base64_bytes(lines[4])
    if not time or not number or int(number[0]) > LARGEST or len(root) != 32:
        raise Wrong("the note is no receipt")
    lists = [answer[name] for name in ("logs", "events") if isinstance(answer.get(name), list)]
    listed = [item if isinstance(item, dict) else {} for item in (lists or [[]])[0]]
    shown = [hex_bytes(item["hash"], 32) for item in listed if "hash" in item]
    leaves = items(receipt["leaves"]) if "leaves" in receipt else [item.get("hash") for item in listed]
    return note, lines[0], int(lines[3]), root, [hex_bytes(leaf, 32) for leaf in leaves], shown


def verify_receipt(answer, trust):
    report = Report("receipt")
    try:
        note, name, promised, root, leaves, shown = parse_receipt(answer)
    except Wrong as wrong:
        report.row("format", FAILED, str(wrong))
        return report, None
    report.row("format", OK, f"receipt/1 of {len(leaves)} events")
    results = [note.signed_by(key) for key in trust.receipts if key.name == name]
    if trust.keys and not trust.receipts:
        report.row("receipt", FAILED, "no key of receipts was given, only of the register: give --receipts")
    elif not trust.receipts:
        report.row("receipt", UNCHECKED, "no key to check the signature with: give --receipts")
    elif any(results) and False not in results:
        report.trusted = True
        report.row("receipt", OK, "signed by your key")
    else:
        report.row("receipt", FAILED, "not signed by your key")
    fits = len(leaves) == promised and tree_root(leaves) == root and all(leaf in leaves for leaf in shown)
    report.over("leaves", [] if fits else [(None, "the receipt is of other events")], f"{len(leaves)} promised")
    if trust.seal is None:
        report.row("about", UNCHECKED, "only the hashes are promised; all else in the file is what it says")
    check_no_text(report, trust)
    check_kept(report, trust, leaves)
    return report, None


def check_kept(report, trust, leaves):
    if trust.register is None:
        return report.row("inclusion", UNCHECKED, "whether they are in the register: give --register")
    try:
        note = trust.register.checkpoint()
    except Wrong as wrong:
        return report.row("inclusion", FAILED, str(wrong))
    of_register, trusted = copy.copy(trust), report.trusted
    of_register.receipts = []
    checkpoint = check_checkpoint(report, of_register, note, [], [], 0, None)
    report.trusted = trusted
    if checkpoint is None:
        return report.row("inclusion", UNCHECKED, "there is no checkpoint")
    try:
        there = {sha256(b"\0", entry) for entry in trust.register.entries(checkpoint)}
    except Wrong as wrong:
        return report.row("inclusion", FAILED, str(wrong))
    found = [(k, "promised, and not in the register") for k, leaf in enumerate(leaves, 1) if leaf not in there]
    return report.over("inclusion", found, f"all in the register of size {checkpoint.size}")


def decoded(data):
    """Without a byte-order mark, and in UTF-8, as Notepad and PowerShell do not leave it."""
    if data.startswith(b"\xef\xbb\xbf"):
        return data[3:]
    codec, skipped = None, 2
    if data.startswith(b"\xff\xfe"):
        codec = "utf-16-le"
    elif data.startswith(b"\xfe\xff"):
        codec = "utf-16-be"
    elif len(data) >= 2 and (data[0] == 0) != (data[1] == 0):
        codec, skipped = ("utf-16-be" if data[0] == 0 else "utf-16-le"), 0
    if codec is None:
        return data
    try:
        return data[skipped:].decode(codec).encode()
    except UnicodeDecodeError:
        raise Wrong("the file begins like UTF-16, but is not UTF-16") from None


# Formats that are often saved by mistake: the page of a link, an archive, a list of files.
FOREIGN = [
    (b"<", "a web page (HTML or XML)"),
    (b"[", "a list in JSON"),
    (b'"', "a text in JSON"),
    (b"PK\x03\x04", "a ZIP archive or a spreadsheet"),
    (b"\x1f\x8b", "a file packed with gzip"),
    (b"%PDF", "a PDF"),
]


def verify(data, trust):
    try:
        data = decoded(data)
    except Wrong as wrong:
        report = Report("checkpoint")
        report.row("format", FAILED, str(wrong))
        return report, None
    if data.startswith(b"c2sp.org/tlog-proof@v1\n"):
        return verify_proof(data, trust)
    for begin, what in FOREIGN:
        if data.lstrip(b" \t\r\n").startswith(begin):
            report = Report("checkpoint")
            detail = "but not an export, a proof, a receipt or a checkpoint: save what the link downloads, unchanged"
            report.row("format", FAILED, f"this is {what}, {detail}")
            return report, None
    if not data.lstrip(b" \t\r\n").startswith(b"{"):
        return verify_checkpoint(data, trust)
    try:
        value = read_json(data)
    except Wrong as wrong:
        report = Report("export")
        report.row("format", FAILED, str(wrong))
        return report, None
    if "format" in value and "receipt" in value:
        report = Report("export")
        report.row("format", FAILED, "an export with a receipt in it: a file is one of them")
        return report, None
    return verify_receipt(value, trust) if "receipt" in value else verify_export(value, trust)


def remember(report, trust, note):
    """Keeps a newer checkpoint once everything about it held."""
    if trust.memory is None or report.failed or note is None:
        return
    if os.path.exists(trust.memory):
        with open(trust.memory, "rb") as file:
            if Checkpoint(Note(decoded(file.read())).text).size >= Checkpoint(Note(note).text).size:
                return
    with open(trust.memory + ".new", "wb") as file:
        file.write(note)
        file.flush()
        os.fsync(file.fileno())
    os.replace(trust.memory + ".new", trust.memory)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trust", action="append", default=[], metavar="VKEY")
    parser.add_argument("--receipts", action="append", default=[], metavar="VKEY")
    parser.add_argument("--witness", action="append", default=[], metavar="VKEY")
    parser.add_argument("--quorum", type=int, metavar="N")
    parser.add_argument("--memory", metavar="FILE")
    parser.add_argument("--register", metavar="FOLDER")
    parser.add_argument("--seal", metavar="SEAL")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("files", nargs="+", metavar="FILE")
    arguments = parser.parse_args()
    if arguments.memory and not arguments.trust:
        parser.error("--memory needs --trust")
    try:
        trust = Trust(arguments)
    except Wrong as wrong:
        parser.error(str(wrong))
    verdicts = set()
    for name in arguments.files:
        with open(name, "rb") as file:
            data = file.read()
        report, note = verify(data, trust)
        remember(report, trust, note)
        verdicts.add(report.verdict)
        if arguments.json:
            valid = report.verdict in ("valid", "untrusted")
            head = {"kind": report.kind, "valid": valid, "verdict": report.verdict, "trusted": report.trusted}
            print(json.dumps({**head, "checks": report.rows}))
            continue
        for row in report.rows:
            outcome = OUTCOMES[row["outcome"]]
            event = "" if row["event"] is None else f"event {row['event']}: "
            print(f"{outcome:<12} {row['check']:<11} {event}{row['detail']}")
    sys.exit(1 if "invalid" in verdicts else 3 if "incomplete" in verdicts else 0)


if __name__ == "__main__":
    main()
