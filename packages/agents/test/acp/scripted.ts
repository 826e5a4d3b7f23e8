// The scripted agent and what its tests share: an agent of ours over it, with short waits, and sessions to run it in.
import type * as Agent from "@sluice/runtime/Agent"
import { answerText, type Keeping, sessionOf, turnOf } from "@sluice/runtime/testing/agentConformance"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { join } from "node:path"
import * as Acp from "../../src/Acp.ts"
import { node, unique } from "../processes.ts"

/** The program; its flags say what kind of agent it is. */
export const program = join(import.meta.dirname, "programs", "agent.mjs")

const grace = { ask: "500 millis", term: "1 second", kill: "1 second" } as const

/** An agent over the scripted program. */
export const scripted = (flags: ReadonlyArray<string> = [], options: Partial<Acp.Options> = {}) =>
  Acp.make({ argv: [node, program, ...flags], grace, cancelWithin: "500 millis", ...options })

/** The same with a folder in which its conversations outlive the process. */
export const remembering = (
  folder: string,
  flags: ReadonlyArray<string> = ["--resume"],
  options: Partial<Acp.Options> = {}
) => scripted(flags, { env: { set: { ACP_SESSIONS: folder } }, ...options })

/** Opens an agent in a session for tests. */
export const open = (
  agent: Agent.Agent,
  options: Omit<Parameters<typeof sessionOf>[0], "instance"> & { readonly instance?: string } = {}
) => agent.open(sessionOf({ instance: unique("acp"), ...options }))

/** All events of one turn. */
export const eventsOf = (agent: Agent.OpenAgent, text: string, more: Parameters<typeof turnOf>[1] = {}) =>
  Stream.runCollect(agent.answer(turnOf([text], more)))

/** The answer to one turn. */
export const answerOf = (agent: Agent.OpenAgent, text: string, more: Parameters<typeof turnOf>[1] = {}) =>
  Effect.map(eventsOf(agent, text, more), answerText)

/** The error of one turn. */
export const errorOf = (agent: Agent.OpenAgent, text: string) =>
  Effect.flip(Stream.runDrain(agent.answer(turnOf([text]))))

/** The id of the conversation that is kept. */
export const keptId = (keeping: Keeping): string => JSON.parse(keeping.value ?? "{}").session
