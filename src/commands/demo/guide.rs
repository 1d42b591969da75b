//! The guide that `ormantrace demo` prints: keys, codes, commands to paste.

use super::histories::{
    ANNULLED, AT_THE_SAWMILL, MISMATCHED, NEW_SEAL, OFFERED, ON_THE_ROAD, REMEASURED, RESEALED, SAWN, SEIZED,
    SOLD, UNSEALED,
};
use super::timber::seal;
use super::world::SPARE;
use crate::commands::demo_keys::Participant;
use crate::timber::party::role::Role;
use std::fmt::Write;

/// The guide for a server at `url` (without a trailing slash). `program` is the path of the executable, since
/// after `cargo run` it is not in PATH. The text is the same at every start.
pub fn text(url: &str, program: &str) -> String {
    let mut out = String::from(
        "\nThe demonstration is ready. Everyone knows its API keys: never put real data into it.\n",
    );
    out.push_str("\nKeys\n");
    for participant in Participant::ALL {
        // The token has a column of its own, so that it can be copied. The name comes last, because a name
        // may be wider on screen than its number of characters, and would misalign a column after it.
        let _ = writeln!(
            out,
            "  {:<50} {:<13} {}",
            participant.token(),
            participant.roles().join(", "),
            participant.name()
        );
    }
    out.push_str("\nCodes to verify, as a buyer would, on a phone or here\n");
    let spare = *SPARE.end();
    for (n, what) in [
        (*ON_THE_ROAD.start(), "a pine log on the road: in circulation"),
        (*AT_THE_SAWMILL.start(), "at the sawmill"),
        (*SAWN.start(), "sawn: should not be on offer"),
        (*SOLD.start(), "sold"),
        (RESEALED, "void: a new seal took its place"),
        (NEW_SEAL, "that new seal"),
        (UNSEALED, "void, and no new seal yet"),
        (MISMATCHED, "stopped: an inspector found another log"),
        (SEIZED, "seized: its seal was missing"),
        (ANNULLED, "void: the log was recorded twice, and this entry annulled"),
        (OFFERED, "offered to the sawmill, which has not answered"),
        (SPARE.start() + 2, "a seal on no log yet"),
        (spare, "a spoiled seal"),
    ] {
        let _ = writeln!(out, "  {url}/verify/{}   {what}", seal(n));
    }
    out.push_str("\nCommands to paste\n");
    let line = |out: &mut String, comment: &str, line: &str| {
        let _ = writeln!(out, "  # {comment}\n  {line}");
    };
    let authorized = |participant: Participant, rest: &str| {
        format!("curl -sS -H 'Authorization: Bearer {}' {rest}", participant.token())
    };
    line(
        &mut out,
        "A buyer checks a code.",
        &format!("curl -sS {url}/v1/verify/{}", seal(*ON_THE_ROAD.start())),
    );
    line(
        &mut out,
        "An inspector reads a log's whole history, with the hashes to recompute.",
        &authorized(Participant::Inspector, &format!("{url}/v1/logs/{}/history", seal(*SAWN.start()))),
    );
    line(
        &mut out,
        "A log that does not match its record.",
        &authorized(Participant::Inspector, &format!("{url}/v1/logs/{}", seal(MISMATCHED))),
    );
    let release = format!(
        "-H 'Content-Type: application/json' -d '{{\"type\":\"released\",\"logs\":[\"{}\"],\"occurred_at\":\"'$(date -u \
         +%Y-%m-%dT%H:%M:%SZ)'\",\"details\":{{\"reason\":\"Measured again\"}}}}' {url}/v1/custody-events",
        seal(MISMATCHED)
    );
    line(&mut out, "The inspector releases it.", &authorized(Participant::Inspector, &release));
    line(
        &mut out,
        "What the harvester holds; its tickets, one line of which is exceeded within tolerance.",
        &authorized(
            Participant::Harvester,
            &format!("'{url}/v1/logs?holder=me&limit=5' {url}/v1/felling-tickets"),
        ),
    );
    line(
        &mut out,
        "What asks most for an inspector, first; a log of which a correction gave volume back.",
        &authorized(
            Participant::Inspector,
            &format!(
                "'{url}/v1/findings?order=rank&limit=5' {url}/v1/logs/{}/history",
                seal(*REMEASURED.end())
            ),
        ),
    );
    let event = format!(
        "-H 'Content-Type: application/json' -d '{{\"type\":\"stored\",\"logs\":[\"{}\"],\"occurred_at\":\"'$(date -u \
         +%Y-%m-%dT%H:%M:%SZ)'\",\"place\":{{\"name\":\"Qoima\",\"region\":\"KZ-10\",\"kind\":\"storage\"}}}}' \
         {url}/v1/custody-events",
        seal(1)
    );
    line(&mut out, "The harvester stores a log.", &authorized(Participant::Harvester, &event));
    line(
        &mut out,
        "A label to print.",
        &authorized(
            Participant::Harvester,
            &format!("-o label.svg {url}/v1/seals/{}/label.svg", seal(*SPARE.start())),
        ),
    );
    let _ = writeln!(
        out,
        "\nThe register of all records, signed and witnessed; it cannot be rewritten unnoticed\n  \
         {url}/checkpoint   how many there are, the root over them, and who signed\n  \
         {url}/keys.json   the public keys, and how many witnesses have cosigned it"
    );
    line(
        &mut out,
        "A log's whole history with its proofs, checked without this server.",
        &format!(
            "{}\n  {program} verify log.json --trust \"$(curl -sS {url}/keys.json | grep -om1 \
             '[^\"]*+[0-9a-f]\\{{8\\}}+[^\"]*')\"",
            authorized(
                Participant::Inspector,
                &format!("-o log.json {url}/v1/logs/{}/export", seal(*SAWN.start()))
            )
        ),
    );
    let _ = writeln!(
        out,
        "\nPages\n  {url}/verify   verify a code\n  {url}/docs   the API\n  {url}/desk/sign-in   the desk, with one of these \
         keys"
    );
    for role in Role::ALL {
        let signs_in =
            Participant::ALL.into_iter().find(|participant| participant.roles().contains(&role.as_str()));
        if let Some(participant) = signs_in {
            let _ = writeln!(out, "    {:<13} {}", role.as_str(), participant.token());
        }
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_same_every_time_and_leads_to_the_server() {
        let guide = text("http://127.0.0.1:8080", "/opt/ormantrace");
        assert_eq!(guide, text("http://127.0.0.1:8080", "/opt/ormantrace"));
        assert!(guide.contains("\n  /opt/ormantrace verify log.json --trust "), "{guide}");
        assert!(Participant::ALL.iter().all(|participant| guide.contains(participant.token())));
        assert!(guide.contains("http://127.0.0.1:8080/verify/DEMO-000041"), "{guide}");
        let (_, desk) = guide.split_once("/desk/sign-in").expect("the desk");
        for role in Role::ALL {
            assert!(desk.contains(&format!("\n    {:<13} demo-", role.as_str())), "{desk}");
        }
    }
}
