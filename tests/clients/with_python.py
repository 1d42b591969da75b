"""A harvest through the client that openapi-python-client generates. Called with the server's URL."""
import sys
from datetime import datetime, timezone

from generated_client import AuthenticatedClient, Client
from generated_client.api.custody import create_custody_event
from generated_client.api.felling_tickets import list_felling_tickets
from generated_client.api.harvests import create_harvest, get_harvest_template
from generated_client.api.logs import get_log
from generated_client.api.seals import get_seal_label, list_seals
from generated_client.api.verification import verify_code
from generated_client.models import (
    ErrorCodeType0,
    Inspection,
    InspectionOutcome,
    LogKind,
    MeasurementMethod,
    NewHarvest,
    NewInspectedEvent,
    NewInspectedEventType,
    NewLog,
    Problem,
    ResponsiblePerson,
    SealStatus,
    Verdict,
    Wood,
)

SERVER = sys.argv[1]


def client(role):
    return AuthenticatedClient(base_url=SERVER, token=f"demo-{role}-key-not-for-production-0000001")


def pine(ticket):
    return next(line for line in ticket.lines if line.species == "pinus_sylvestris").remaining_m3


harvester, inspector, buyer = client("harvester"), client("inspector"), Client(base_url=SERVER)

# List felling tickets and read a balance.
tickets = list_felling_tickets.sync(client=harvester)
ticket = next(one for one in tickets.items if one.number == "000117")
before = pine(ticket)

# Post a harvest of two logs.
seals = [seal.number for seal in list_seals.sync(client=harvester, status=SealStatus.ISSUED, limit=2).items]
now = datetime.now(timezone.utc)
harvest = NewHarvest(
    felling_ticket_id=ticket.id,
    responsible_person=ResponsiblePerson(name="Ерлан Оспанов"),
    logs=[
        NewLog(seal_number=seal, kind=LogKind.LOG, species="pinus_sylvestris", wood=Wood.COMMERCIAL, length_m=6,
               top_diameter_cm=24, volume_m3=0.33, measurement_method=MeasurementMethod.GOST_2708_75,
               occurred_at=now)
        for seal in seals
    ],
)
recorded = create_harvest.sync(client=harvester, body=harvest, idempotency_key="python-" + "-".join(seals))
assert not isinstance(recorded, Problem), recorded
assert len(recorded.logs) == 2 and round((before - pine(recorded.ticket)) * 100) == 66, recorded

# Read a log.
log = get_log.sync(code=seals[0], client=harvester)
assert log.volume_m3 == 0.33, log

# Inspect it: the body of this type of event.
inspection = NewInspectedEvent(
    type_=NewInspectedEventType.INSPECTED, logs=[seals[0]], occurred_at=now,
    details=Inspection(outcome=InspectionOutcome.MATCH, note="Measured again"),
)
inspected = create_custody_event.sync(client=inspector, body=inspection)
assert inspected.events[0].seq == 2, inspected

# Verify a code without an account.
check = verify_code.sync(code=seals[0], client=buyer)
assert check.verdict == Verdict.VALID, check

# Download a table and a label.
table = get_harvest_template.sync_detailed(client=harvester, lang="en")
assert table.status_code == 200 and "seal_number," in table.content.decode("utf-8-sig"), table
assert isinstance(table.parsed, str), table.parsed
label = get_seal_label.sync_detailed(number=seals[0], client=harvester)
# The generator parses no images; their bytes are in `content`.
assert label.status_code == 200 and label.content.rstrip().endswith(b"</svg>"), label

# Read the codes of an error.
again = create_harvest.sync(client=harvester, body=harvest)
assert isinstance(again, Problem), again
assert again.errors[0].code is ErrorCodeType0.ALREADY_RECORDED, again
print(f"openapi-python-client: a harvest of {' and '.join(seals)}, read, inspected and checked")
