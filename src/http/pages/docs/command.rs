//! A shell command for each operation. They work on the server that `ormantrace demo` starts; a test of the
//! program runs all of them there, in an order of its own.

use serde_json::Value;

const HARVESTER: &str = "demo-harvester-key-not-for-production-0000001";
const FOREST_OWNER: &str = "demo-forest-owner-key-not-for-production-0000001";
const INSPECTOR: &str = "demo-inspector-key-not-for-production-0000001";
const OPERATOR: &str = "demo-operator-key-not-for-production-0000001";
/// Values in the example bodies that depend on the server or on the time, each with the shell text that
/// replaces it.
const REPLACED: [(&str, &str); 2] = [
    ("01980a3c-5b1e-7c44-9d2f-3a6b8e0f1c25", "'$TICKET'"),
    ("2026-10-05T09:30:00+05:00", "'$(date -u +%FT%TZ)'"),
];

/// How to call an operation on the demonstration server.
struct Call {
    /// The key, unless the operation is public.
    token: Option<&'static str>,
    /// A shell variable for an id that only the server knows: its name, the path that returns it, and the
    /// filter for `jq`.
    id: Option<(&'static str, &'static str, &'static str)>,
    /// The path with its query.
    path: &'static str,
    /// Further options of curl.
    options: &'static str,
}

const fn public(path: &'static str) -> Call {
    Call { token: None, id: None, path, options: "" }
}

const fn by(token: &'static str, path: &'static str) -> Call {
    Call { token: Some(token), id: None, path, options: "" }
}

impl Call {
    const fn with(self, name: &'static str, path: &'static str, filter: &'static str) -> Self {
        Self { id: Some((name, path, filter)), ..self }
    }

    /// Adds a shell variable for the id of the ticket of the demonstration's harvest.
    const fn with_ticket(self) -> Self {
        self.with("TICKET", "/v1/felling-tickets", ".items[] | select(.number == \"000117\").id")
    }

    /// Adds a shell variable for the id of the ticket that the command of `create_felling_ticket` issues.
    const fn with_new_ticket(self) -> Self {
        self.with("TICKET", "/v1/felling-tickets", ".items[] | select(.number == \"0001245\").id")
    }

    /// With the first finding of a rule that questions the harvester.
    const fn with_finding(self) -> Self {
        self.with("FINDING", "/v1/findings?rule=L6", ".items[0].id")
    }

    /// With the first finding that was explained or decided.
    const fn with_decided_finding(self) -> Self {
        self.with("FINDING", "/v1/findings", "[.items[] | select(.events > 0).id][0]")
    }

    const fn with_organization(self) -> Self {
        self.with("ORGANIZATION", "/v1/me", ".organization.id")
    }

    /// With the organisation that the command of `create_organization` registers.
    const fn with_new_organization(self) -> Self {
        self.with("ORGANIZATION", "/v1/organizations", ".items[] | select(.bin == \"040640000028\").id")
    }

    const fn with_batch(self) -> Self {
        self.with("BATCH", "/v1/seals/DEMO-000001", ".batch_id")
    }

    const fn options(self, options: &'static str) -> Self {
        Self { options, ..self }
    }
}

fn call(operation_id: &str) -> Option<Call> {
    Some(match operation_id {
        "create_custody_event" => by(HARVESTER, "/v1/custody-events"),
        "list_events" => by(INSPECTOR, "/v1/events?type=stored&limit=5"),
        "list_felling_tickets" => by(HARVESTER, "/v1/felling-tickets"),
        "create_felling_ticket" => by(FOREST_OWNER, "/v1/felling-tickets"),
        "get_felling_ticket" => by(HARVESTER, "/v1/felling-tickets/$TICKET").with_ticket(),
        "extend_felling_ticket" => {
            by(FOREST_OWNER, "/v1/felling-tickets/$TICKET/extend").with_new_ticket()
        }
        "cancel_felling_ticket" => {
            by(FOREST_OWNER, "/v1/felling-tickets/$TICKET/cancel").with_new_ticket()
        }
        "hold_felling_ticket" => by(INSPECTOR, "/v1/felling-tickets/$TICKET/hold").with_new_ticket(),
        "release_felling_ticket" => by(INSPECTOR, "/v1/felling-tickets/$TICKET/release").with_new_ticket(),
        "replace_felling_ticket_plot" => {
            by(INSPECTOR, "/v1/felling-tickets/$TICKET/plot").with_new_ticket()
        }
        "get_felling_ticket_history" => {
            by(HARVESTER, "/v1/felling-tickets/$TICKET/history?evidence=none").with_ticket()
        }
        "get_felling_ticket_proof" => by(HARVESTER, "/v1/felling-tickets/$TICKET/proof").with_ticket(),
        "export_felling_ticket" => by(HARVESTER, "/v1/felling-tickets/$TICKET/export").with_ticket(),
        "list_parameters" => by(HARVESTER, "/v1/parameters"),
        "set_parameter" => by(OPERATOR, "/v1/parameters/ticket-hold-days"),
        "list_bans" | "create_ban" => by(OPERATOR, "/v1/bans"),
        "end_ban" => by(OPERATOR, "/v1/bans/$BAN/end").with("BAN", "/v1/bans", ".items[-1].id"),
        "list_allowable_cuts" | "set_allowable_cut" => by(OPERATOR, "/v1/allowable-cuts"),
        "list_findings" => by(INSPECTOR, "/v1/findings?rule=L6&limit=5"),
        "get_finding" => by(INSPECTOR, "/v1/findings/$FINDING").with_finding(),
        "get_finding_history" => by(INSPECTOR, "/v1/findings/$FINDING/history").with_finding(),
        "get_finding_proof" => by(INSPECTOR, "/v1/findings/$FINDING/proof").with_decided_finding(),
        "export_finding" => by(INSPECTOR, "/v1/findings/$FINDING/export").with_decided_finding(),
        "explain_finding" => by(HARVESTER, "/v1/findings/$FINDING/explanation").with_finding(),
        "decide_finding" => by(INSPECTOR, "/v1/findings/$FINDING/decision").with_finding(),
        "create_observation" => by(INSPECTOR, "/v1/findings"),
        "open_report" => by(INSPECTOR, "/v1/findings/$FINDING/open").with(
            "FINDING",
            "/v1/findings?rule=citizen-report",
            ".items[0].id",
        ),
        "upload_photo" => {
            by(INSPECTOR, "/v1/photos").options("-H 'Content-Type: image/png' --data-binary @photo.png ")
        }
        "get_photo" => by(INSPECTOR, "/v1/photos/$(sha256sum photo.png | cut -c 1-64)").options("-o copy.png "),
        "report_code" => public("/v1/verify/DEMO-000041/report"),
        "list_rules" => by(INSPECTOR, "/v1/rules"),
        "create_harvest" => by(HARVESTER, "/v1/harvests").with_ticket(),
        "get_harvest_template" => by(HARVESTER, "/v1/harvests/template.csv?lang=en"),
        "get_harvest" => {
            by(HARVESTER, "/v1/harvests/$HARVEST").with("HARVEST", "/v1/logs/DEMO-000076", ".harvest_id")
        }
        "revoke_key" => by(HARVESTER, "/v1/keys/$KEY").with(
            "KEY",
            "/v1/organizations/$(curl -sS -H \"Authorization: Bearer $TOKEN\" {server}/v1/me | jq -r .organization.id)/keys",
            "[.items[] | select(.label == \"office\").id][0]",
        ),
        "create_key" | "list_keys" => {
            by(HARVESTER, "/v1/organizations/$ORGANIZATION/keys").with_organization()
        }
        "get_organization" => by(HARVESTER, "/v1/organizations/$ORGANIZATION").with_organization(),
        "change_organization" => {
            by(OPERATOR, "/v1/organizations/$ORGANIZATION").with_new_organization()
        }
        "suspend_organization" => {
            by(OPERATOR, "/v1/organizations/$ORGANIZATION/suspend").with_new_organization()
        }
        "resume_organization" => {
            by(OPERATOR, "/v1/organizations/$ORGANIZATION/resume").with_new_organization()
        }
        "get_organization_proof" => {
            by(HARVESTER, "/v1/organizations/$ORGANIZATION/proof").with_organization()
        }
        "export_organization" => {
            by(HARVESTER, "/v1/organizations/$ORGANIZATION/export").with_organization()
        }
        "get_me" => by(HARVESTER, "/v1/me"),
        "list_organizations" | "create_organization" => by(OPERATOR, "/v1/organizations"),
        "list_logs" => by(HARVESTER, "/v1/logs?holder=me&limit=5"),
        "get_log" => by(INSPECTOR, "/v1/logs/DEMO-000076"),
        "get_log_history" => by(INSPECTOR, "/v1/logs/DEMO-000076/history?evidence=none"),
        "export_log" => by(INSPECTOR, "/v1/logs/DEMO-000076/export").options("-o export.json "),
        "get_log_proof" => public("/v1/logs/DEMO-000076/proof"),
        "list_regions" => public("/v1/regions"),
        "list_species" => public("/v1/species"),
        "make_seals" => by(OPERATOR, "/v1/seal-batches"),
        "list_batch_seals" => by(HARVESTER, "/v1/seal-batches/$BATCH/seals")
            .with_batch()
            .options("-H 'Accept: text/csv' -o seals.csv "),
        "get_seal_batch_proof" => by(HARVESTER, "/v1/seal-batches/$BATCH/proof").with_batch(),
        "export_seal_batch" => {
            by(HARVESTER, "/v1/seal-batches/$BATCH/export").with_batch().options("-o export.json ")
        }
        "get_seal_stock" => by(HARVESTER, "/v1/seal-stock"),
        "list_seals" => by(HARVESTER, "/v1/seals?status=issued&limit=5"),
        "register_seals" => by(OPERATOR, "/v1/seals"),
        "transfer_seals" => by(HARVESTER, "/v1/seals/transfer"),
        "get_seal" => by(HARVESTER, "/v1/seals/DEMO-000041"),
        "get_seal_history" => by(HARVESTER, "/v1/seals/DEMO-000041/history?evidence=none"),
        "get_seal_label" => by(HARVESTER, "/v1/seals/DEMO-000198/label.svg").options("-o label.svg "),
        "void_seal" => by(HARVESTER, "/v1/seals/DEMO-000199/void"),
        "verify_code" => public("/v1/verify/DEMO-000041"),
        "verify_codes" => by(HARVESTER, "/v1/verify"),
        _ => return None,
    })
}

/// The command; `None` for an operation without one. A test requires a command for every operation.
pub(super) fn command(
    operation_id: &str,
    method: &str,
    server: &str,
    body: Option<&Value>,
) -> Option<String> {
    let Call { token, id, path, options } = call(operation_id)?;
    let mut lines = String::new();
    let authorized = if token.is_some() { "-H \"Authorization: Bearer $TOKEN\" " } else { "" };
    if let Some(token) = token {
        lines += &format!("TOKEN={token}\n");
    }
    if let Some((name, path, filter)) = id {
        let path = path.replace("{server}", server);
        lines += &format!("{name}=$(curl -sS {authorized}\"{server}{path}\" |\n  jq -r '{filter}')\n");
    }
    let method = match method {
        "DELETE" => "-X DELETE ",
        "PATCH" => "-X PATCH ",
        "PUT" => "-X PUT ",
        // With data, curl sends POST by itself.
        "POST" if body.is_none() && !options.contains("--data") => "-X POST ",
        _ => "",
    };
    lines += &format!("curl -sS {method}{authorized}{options}\"{server}{path}\"");
    if let Some(body) = body {
        let mut text = serde_json::to_string_pretty(body).unwrap_or_default().replace('\'', "'\\''");
        for (text_of_example, words) in REPLACED {
            text = text.replace(text_of_example, words);
        }
        lines += &format!(" \\\n  -H 'Content-Type: application/json' -d '{text}'");
    }
    Some(lines)
}
