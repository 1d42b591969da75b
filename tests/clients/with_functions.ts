// A harvest through the functions that @hey-api/openapi-ts generates.
import { createClient } from "./generated/functions/client/index.js";
import {
  createCustodyEvent, createHarvest, getHarvestTemplate, getLog, getSealLabel, listFellingTickets, listSeals, verifyCode,
} from "./generated/functions/index.js";
import type { ErrorCode, NewCustodyEvent, NewLog, Problem, TicketView, Verdict } from "./generated/functions/index.js";
import { expect, present, server, token, type Step } from "./expect.js";

const baseUrl = server();
const client = (role: string) => createClient({ baseUrl, auth: token(role) });
const harvester = client("harvester");
const inspector = client("inspector");
const buyer = createClient({ baseUrl });

let step: Step = "list felling tickets and read a balance";
const tickets = present(step, (await listFellingTickets({ client: harvester })).data);
const ticket = present(step, tickets.items.find((one) => one.number === "000117"));
const pine = (one: TicketView) =>
  present(step, one.lines.find((line) => line.species === "pinus_sylvestris")).remaining_m3;
const before: number = pine(ticket);

step = "post a harvest of two logs";
const seals = await listSeals({ client: harvester, query: { status: "issued", limit: 2 } });
const numbers: string[] = present(step, seals.data).items.map((seal) => seal.number);
expect(step, numbers.length, 2);
const occurred_at = new Date().toISOString();
const log = (seal_number: string): NewLog => ({
  seal_number, kind: "log", species: "pinus_sylvestris", wood: "commercial", length_m: 6,
  top_diameter_cm: 24, volume_m3: 0.33, measurement_method: "gost_2708_75", occurred_at,
});
const body = {
  felling_ticket_id: ticket.id, responsible_person: { name: "Ерлан Оспанов" }, logs: numbers.map(log),
};
const headers = { "Idempotency-Key": `functions-${numbers.join("-")}` };
const recorded = present(step, (await createHarvest({ client: harvester, body, headers })).data);
// A dry run would have no ids.
if (!("id" in recorded)) throw new Error(`${step}: a rehearsal`);
expect(step, recorded.logs.length, 2);
expect(step, Math.round((before - pine(recorded.ticket)) * 100), 66);

step = "read a log";
const seal = present(step, numbers[0]);
const read = await getLog({ client: harvester, path: { code: seal } });
expect(step, present(step, read.data).volume_m3, 0.33);

step = "inspect it";
const inspection: NewCustodyEvent = {
  type: "inspected", logs: [seal], occurred_at, details: { outcome: "match", note: "Measured again" },
};
const inspected = await createCustodyEvent({ client: inspector, body: inspection });
expect(step, present(step, inspected.data).events[0]?.seq, 2);

step = "verify a code without an account";
const check = await verifyCode({ client: buyer, path: { code: seal } });
const verdict: Verdict = present(step, check.data).verdict;
expect(step, verdict, "valid");

step = "download a table and a label";
const template = await getHarvestTemplate({ client: harvester, query: { lang: "en" }, parseAs: "text" });
const table: string = present(step, template.data);
expect(step, table.includes("seal_number,"), true);
const picture = await getSealLabel({ client: harvester, path: { number: seal }, parseAs: "blob" });
const label: string = await present(step, picture.data).text();
expect(step, label.trimEnd().endsWith("</svg>"), true);

step = "read the codes of an error";
const again = await createHarvest({ client: harvester, body });
const problem: Problem = present(step, again.error);
const codes: ErrorCode[] = present(step, problem.errors).map((one) => one.code);
expect(step, codes[0], "already-recorded");
console.log(`@hey-api/openapi-ts: a harvest of ${numbers.join(" and ")}, read, inspected and checked`);
