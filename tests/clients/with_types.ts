// A harvest through the types of openapi-typescript, with openapi-fetch.
import createClient from "openapi-fetch";
import type { components, paths } from "./generated/types/schema.js";
import { expect, present, server, token, type Step } from "./expect.js";

const baseUrl = server();
const client = (role: string) =>
  createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token(role)}` } });
const harvester = client("harvester");
const inspector = client("inspector");
const buyer = createClient<paths>({ baseUrl });

let step: Step = "list felling tickets and read a balance";
const tickets = present(step, (await harvester.GET("/v1/felling-tickets", {})).data);
const ticket = present(step, tickets.items.find((one) => one.number === "000117"));
const pine = (one: typeof ticket) =>
  present(step, one.lines.find((line) => line.species === "pinus_sylvestris")).remaining_m3;
const before: number = pine(ticket);

step = "post a harvest of two logs";
const seals = await harvester.GET("/v1/seals", { params: { query: { status: "issued", limit: 2 } } });
const numbers: string[] = present(step, seals.data).items.map((seal) => seal.number);
expect(step, numbers.length, 2);
const occurred_at = new Date().toISOString();
const log = (seal_number: string): components["schemas"]["NewLog"] => ({
  seal_number, kind: "log", species: "pinus_sylvestris", wood: "commercial", length_m: 6,
  top_diameter_cm: 24, volume_m3: 0.33, measurement_method: "gost_2708_75", occurred_at,
});
const body = {
  felling_ticket_id: ticket.id, responsible_person: { name: "Ерлан Оспанов" }, logs: numbers.map(log),
};
const harvest = await harvester.POST("/v1/harvests", {
  body, params: { header: { "Idempotency-Key": `types-${numbers.join("-")}` } },
});
const recorded = present(step, harvest.data);
// A dry run would have no ids.
if (!("id" in recorded)) throw new Error(`${step}: a rehearsal`);
expect(step, recorded.logs.length, 2);
expect(step, Math.round((before - pine(recorded.ticket)) * 100), 66);

step = "read a log";
const seal = present(step, numbers[0]);
const read = await harvester.GET("/v1/logs/{code}", { params: { path: { code: seal } } });
expect(step, present(step, read.data).volume_m3, 0.33);

step = "inspect it";
const inspection: components["schemas"]["NewCustodyEvent"] = {
  type: "inspected", logs: [seal], occurred_at, details: { outcome: "match", note: "Measured again" },
};
const inspected = await inspector.POST("/v1/custody-events", { body: inspection });
expect(step, present(step, inspected.data).events[0]?.seq, 2);
// @ts-expect-error An inspection without a result is refused by the compiler.
const without: components["schemas"]["NewInspectedEvent"] = { type: "inspected", logs: [seal], occurred_at };

step = "verify a code without an account";
const check = await buyer.GET("/v1/verify/{code}", { params: { path: { code: seal } } });
const verdict: components["schemas"]["Verdict"] = present(step, check.data).verdict;
expect(step, verdict, "valid");

step = "download a table and a label";
const template = await harvester.GET("/v1/harvests/template.csv", {
  params: { query: { lang: "en" } }, parseAs: "text",
});
const table: string = present(step, template.data);
expect(step, table.includes("seal_number,"), true);
const picture = await harvester.GET("/v1/seals/{number}/label.svg", {
  params: { path: { number: seal } }, parseAs: "text",
});
const label: string = present(step, picture.data);
expect(step, label.trimEnd().endsWith("</svg>"), true);

step = "read the codes of an error";
const again = await harvester.POST("/v1/harvests", { body });
const problem: components["schemas"]["Problem"] = present(step, again.error);
const codes: components["schemas"]["ErrorCode"][] = present(step, problem.errors).map((one) => one.code);
expect(step, codes[0], "already-recorded");
console.log(`openapi-typescript: a harvest of ${numbers.join(" and ")}, ${without.type}, read and checked`);
