// What both clients share: the server, the demonstration's keys, and checks that name their step.
import { argv } from "node:process";

export type Step = string;

export const server = (): string => present("start", argv[2]);

export const token = (role: string): string => `demo-${role}-key-not-for-production-0000001`;

export function present<T>(step: Step, value: T | null | undefined): T {
  if (value === null || value === undefined) throw new Error(`${step}: no answer`);
  return value;
}

export function expect(step: Step, found: unknown, wanted: unknown): void {
  if (found !== wanted) throw new Error(`${step}: ${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`);
}
