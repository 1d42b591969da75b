### Results of checking a seal. Used in the JSON response and on the page.

verdict-valid = Valid
verdict-closed = Out of circulation
verdict-held = Stopped
verdict-void = Void
verdict-unused = Not used yet
verdict-unknown = Unknown code

message-valid =
    This timber is registered and in circulation. It may be offered for sale.
    Compare these details with the timber in front of you.

message-valid-on-the-road =
    This timber is registered and in circulation. It is on the road or not yet taken over, so it is not on offer now.
    Compare these details with the timber in front of you.

message-valid-promised =
    This timber is registered and in circulation. It has been offered to another organisation, so it is not on offer to you.
    Compare these details with the timber in front of you.

message-valid-reseal =
    This timber is registered and in circulation. An inspector found its seal missing or damaged: it must not be sold before it has a new seal.
    Compare these details with the timber in front of you.

message-valid-own-use =
    This timber is registered and in circulation. It is firewood that a person may burn and not sell: do not buy it.
    Compare these details with the timber in front of you.

message-held = This timber is stopped. Do not buy it until it is released.

message-closed = { $reason ->
    [processed] This timber has already been processed.
    [exported] This timber has left the country as an export.
    [sold] This timber has already been sold to a buyer.
    [destroyed] This timber was destroyed.
    [lost] This timber was reported lost.
   *[other] This timber has left circulation.
} It should not be on offer. If someone offers it to you, do not buy it.

message-void = { $reason ->
    [spoiled] This seal is void: it was reported spoiled.
    [lost] This seal is void: it was reported lost.
    [stolen] This seal is void: it was reported stolen.
    [destroyed] This seal is void: it was reported destroyed.
    [replaced] This seal is void: another seal has taken its place.
    [recorded_in_error] This seal is void: it was recorded in error for another seal.
    [annulled] This seal is void: its record was made in error and is annulled.
    [seized] This seal is void: an inspector has seized it.
    [found_detached] This seal is void: an inspector found it detached from its log.
   *[other] This seal is void.
} Timber that carries it must not be sold. Do not buy it.

message-unused =
    This seal was issued, but it is not recorded on any log. If it is on a log, that log is not registered.
    Do not buy it until it has been recorded.

message-not-registered =
    There is no seal with this number. Type it again; if it is printed so, the seal is false. Do not buy timber with this seal.

message-scanned-not-registered =
    There is no seal with this code. A scanner reads a code as it is printed, so the seal is false. Do not buy timber with this seal.

message-letter-like-digit =
    There is no seal with this number. It has a letter that looks like a digit, such as O for a zero (0):
    did you mean { $number }? Type it again; if it is printed so, the seal is false. Do not buy timber with this seal.

message-forged =
    The signature in this code is not genuine. The code is forged or damaged. Scan the seal once more.
    If the result is the same, do not buy timber with this seal.

message-unreadable = { $reason } Enter the number exactly as it is printed on the seal, or scan the code once more.

message-unreadable-meant = { $reason } Did you mean { $number }? Check every character on the seal and try again.

void-spoiled = The seal was reported spoiled.
void-lost = The seal was reported lost.
void-stolen = The seal was reported stolen.
void-destroyed = The seal was reported destroyed.
void-replaced = Another seal has taken its place.
void-recorded_in_error = It was recorded in error for another seal.
void-annulled = The record of this seal was made in error and is annulled.
void-seized = An inspector has seized the seal.
void-found_detached = An inspector found the seal detached from its log.
void-other = The seal was withdrawn.

unknown-not-registered = There is no such seal.
unknown-forged = The signature in the code is not genuine.

unreadable-other = This is neither a seal number nor a marking code.
unreadable-empty = No code was given.
unreadable-long = This is too long for a seal number or a marking code.
unreadable-characters = There are characters here that no seal number and no marking code can contain.
unreadable-check-digit = The check digit of the product number is wrong: a character is missing or wrong.
unreadable-separator = The invisible separators of the code were lost when it was copied.
unreadable-incomplete = A part of the marking code is missing.
unreadable-keyboard = The code was scanned with a Cyrillic keyboard and came out garbled. Switch the keyboard to Latin letters.
unreadable-link = This link does not lead to a seal.
unreadable-internal = This is the number of a record, not the number of a seal.

check-format-pass = The number or code is written correctly.
check-format-fail = The number or code could not be read.
check-signature-pass = The signature in the code is genuine.
check-signature-fail = The signature in the code is not genuine.
check-signature-foreign = The code was signed by another issuer, so its signature could not be checked here.
check-signature-absent = A number was entered. The signature is in the square code next to the number: scan the code to check the signature too.
check-registered-pass = The seal is registered.
check-registered-fail = The seal is not registered.
check-registered-unknown = The seal was not looked up.
check-in-circulation-pass = The timber is in circulation.
check-in-circulation-closed = The timber is no longer in circulation.
check-in-circulation-held = The timber is stopped by an inspector or a forest owner.
check-in-circulation-void = The seal is void.
check-in-circulation-unused = No timber is recorded under this seal.
check-compare-unknown = Only you can see whether this is the same timber: compare it.
