### The pages for buyers and citizens.

brand-tagline = Timber marking and tracing
skip = Skip to the answer
language = Language
footer-note = Anyone may check a seal, free of charge and without an account.
footer-api = For developers
footer-check = Check a seal

title-verdict = { $verdict } – { $code }
ask-label = Seal number or marking code
ask-button = Check
ask-title = Check a seal
ask-lead = Enter the number from the seal before you buy. The result is shown at once.
ask-where-title = Where is the number?
ask-where-seal = A plastic seal is hammered into every registered log. The number is printed on it.
ask-where-code = Next to the number is a square code. You can scan it with your phone's camera.
ask-where-broken = A seal breaks when it is pulled out. If it is broken or loose, do not trust it.
ask-empty = Enter the number from the seal.
ask-unreadable = This cannot be the number of a seal. Enter it exactly as it is printed.
ask-another = Check another seal
ask-again = Try again

compare-title = { $kind ->
    [stack] Compare with the stack in front of you
   *[log] Compare with the log in front of you
}
compare-lead = { $kind ->
    [stack] Everything must match. If even one thing differs, the seal may come from another stack.
   *[log] Everything must match. If even one thing differs, the seal may come from another log.
}
record-title = { $kind ->
    [stack] What is recorded about this stack
   *[log] What is recorded about this log
}
seal = Seal number
hint-seal = Check that the same number is on the seal, and that the seal is intact and firmly attached.
species = Species
hint-species = Check that the bark and the wood are of this species.
length = Length
hint-length = Measured from end to end.
diameter = Diameter at the thin end
hint-diameter = Measured across the thin end, without bark.
pieces = In the stack
pieces-count = { $count ->
    [one] { $count } piece
   *[other] { $count } pieces
}
hint-pieces = Count them.
metres = { $value } m
centimetres = { $value } cm
cubic-metres = { $value } m³

origin-title = Where it comes from
volume = Volume
region = Region
forestry = Forestry
ticket = Felling ticket
felled-on = Felled on
last-title = Where it was last
status = State
last-event = Last record
seller = The seller should be:
holder = Held by
checks-title = What was checked
outcome-pass = Yes:
outcome-fail = No:
outcome-unknown = Not checked:

mismatch-title = If something does not match
doubt-title = What to do
do-not-buy = Do not buy this timber.
do-note = Write down or photograph the seal, the vehicle and the place.
do-tell = Report it to the territorial forestry and wildlife inspectorate of your region.
do-tell-contact = How to reach the inspectorate
checked-at = Checked { $when }
checked-again = The result is valid for that moment only. Check again before you pay.
code = Code

report-title = Report this seal
report-lead = Tell the inspectors what is wrong. You need no account.
report-what = What is wrong?
report-wrong-species = It is another species
report-wrong-size = The size does not match
report-no-seal = There is no seal
report-broken-seal = The seal is broken or loose
report-other = Something else
report-text = What did you see? (optional)
report-contact = How can an inspector reach you? (optional)
report-private = Only inspectors read this. The seller never learns when, where or in which words you reported. It is deleted after 180 days if no inspector takes it up.
report-button = Send to the inspectors
report-sent = Thank you. The inspectors have your report.
report-too-many = Too many reports came from your network or about this seal. Please try again later, or call the inspectorate.
report-iin = Please leave personal numbers (IIN) out of the text.
report-invalid = The report cannot be read. Please shorten the text or write it anew.

start-title = The path of every log, from the forest to the buyer
start-lead = Every registered log carries a seal with its own number. Enter the number to see whether this log is registered and may be offered for sale, what it must look like and where it was felled.
start-how = How it works
start-step-seal = Sealed in the forest
start-step-seal-text = Where the tree is felled, a numbered seal is hammered into the log. It cannot be pulled out intact.
start-step-record = Recorded at once
start-step-record-text = Species, measures and felling ticket are recorded with the seal. The recorded volume counts against the volume of the ticket.
start-step-follow = Followed all the way
start-step-follow-text = Loading, transport, storage and sale are added to the record. Existing entries are never changed.
start-step-check = Checked by you
start-step-check-text = You compare the record with the log in front of you. If they differ, do not buy.
start-offices = For offices and companies
start-offices-text = Harvests, journeys and sales are reported through an open interface.
start-docs = Documentation of the interface
start-openapi = Machine-readable description (OpenAPI)

error-404-title = Page not found
error-404-text = There is no such page. To check a seal, enter its number here.
error-429-title = Too many checks
error-429-text = Too many checks came from your network. Nothing is wrong with the seal. Please wait a little.
error-503-title = Not available just now
error-503-text = The service cannot answer at the moment. This says nothing about the seal. Please try again.
error-other-title = Something went wrong
error-other-text = The page could not be shown. This says nothing about the seal. Please try again.
error-retry = { $seconds ->
    [one] You may try again in { $seconds } second.
   *[other] You may try again in { $seconds } seconds.
}
error-request = Give this request number if you write to us
error-status = Error { $status }

date-moment = { $date }, { $time } (Kazakhstan time, UTC+5)

state-at_felling = At the felling site
state-stored = In storage
state-loaded = Loaded
state-in_transit = On the road
state-arrived = Arrived
state-received = Received
state-processed = Processed
state-exported = Exported
state-sold = Sold
state-destroyed = Destroyed
state-annulled = Recorded in error
state-lost = Lost
state-other = Other

event-harvested = Felled and sealed
event-stored = Put in storage
event-loaded = Loaded
event-departed = Set off
event-arrived = Arrived
event-received = Received
event-transferred = Offered to another organisation
event-accepted = Accepted by another organisation
event-rejected = Refused by the other organisation
event-withdrawn = Transfer withdrawn
event-inspected = Inspected by an inspector
event-inspected-as-recorded = Checked by an inspector: as recorded
event-unloaded = Taken off the vehicle
event-detained = Stopped by an inspector
event-released = Released by an inspector
event-seized = Seized by an inspector
event-confiscated = Confiscated
event-processed = Processed
event-exported = Exported
event-sold = Sold
event-lost = Reported lost
event-destroyed = Destroyed
event-found = Found again
event-seal_replaced = Seal replaced
event-seal_voided = Seal made void
event-corrected = Record corrected
event-other = Recorded

register-title = In the public register
register-line = An entry of this timber's record, received on { $received }, is in the public register as no. { $index }; entries in the register: { $size }; { $signed }.
register-proof = Download the proof for an expert
register-proof-for = The proof is a file (.tlog-proof) that a phone cannot open. It is for an expert or a court: with this file a program can check that an entry was in the register. The file does not name the log.
register-check = How to check it yourself
register-page-title = Check the register yourself
register-lead = Every record becomes an entry in a register that only grows. Its state is signed regularly, and witnesses outside this office cosign the states they have seen. An old record cannot be changed unnoticed as long as enough witnesses are honest, or a reader has kept an earlier state or proof.
register-lead-none = Every record becomes an entry in a register that only grows. Only after the register is published can others see from it whether an old record was changed.
register-lead-unwitnessed = Every record becomes an entry in a register that only grows. Its state is signed regularly. No witness outside this office cosigns it yet, so compare the states that you see at different times and places.
register-now = The register now
register-size = { $size } entries; { $signed }.
register-nothing = This server publishes no register yet.
register-origin = Name
register-root = Root
register-key = Public key
register-witness = Witness
register-receipts = Key of receipts
register-key-note = Compare the keys with those published elsewhere: anyone who can forge this page can forge these lines too.
register-how = How to check a record
register-step-proof = Download the proof from the page of the seal. The holder of the log can give you its complete history as a file.
register-step-program = Check the file with a program that works offline, with the register’s key:
register-word-key = KEY
register-word-file = FILE
register-step-again = Keep the file. It can always be checked without this server, and it reveals any rewriting of the register.
register-means = What the proof shows
register-means-unchanged = An entry of the record is in the register and has not been changed since it was entered.
register-means-seen = The witnesses have seen the same register as you.
register-means-true = It does not show that the record is true. Compare the log with the record.
register-signed = { $n ->
    [0] signed
   *[other] signed, witnessed by { $k } of { $n }
}
