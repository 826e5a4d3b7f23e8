/**
 * Who is configured right now: agents, channels and personas by name, with their
 * needs already met. A reload exchanges entries here; whoever looks one up does
 * so at the moment of use, so a running turn keeps the agent it began with.
 */
import * as Context from "effect/Context"
import type { Agent } from "../Agent.ts"
import type { Channel } from "../Channel.ts"
import type { SpendingOptions } from "./spending.ts"

/** A way of speaking for an agent. */
export interface Persona {
  readonly agent: string
  readonly systemPrompt?: string
}

/** The current entries. `agent` and `persona` of a session that names none are the defaults. */
export interface Entries {
  readonly agents: ReadonlyMap<string, Agent>
  readonly channels: ReadonlyMap<string, Channel>
  readonly personas: ReadonlyMap<string, Persona>
  readonly spending: SpendingOptions
}

/** The entries, and their exchange at a reload. */
export class Registered extends Context.Service<
  Registered,
  {
    entries: Entries
  }
>()("@sluice/runtime/internal/Registered") {}

/** The agent and the system prompt for a session's stored names; `agent` is a name even when nobody is configured for it. */
export const resolveAgent = (
  entries: Entries,
  stored: { readonly agent: string; readonly persona: string }
): { readonly name: string; readonly agent: Agent | undefined; readonly systemPrompt: string | undefined } => {
  const persona = entries.personas.get(stored.persona === "" ? "default" : stored.persona)
  const name = stored.agent !== "" ? stored.agent : (persona?.agent ?? entries.agents.keys().next().value ?? "")
  return { name, agent: entries.agents.get(name), systemPrompt: persona?.systemPrompt }
}
