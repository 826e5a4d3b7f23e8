/**
 * How long this process may live after it was told to stop, before somebody kills it. The deadline of a stop stays below
 * that. What nobody can say for certain is assumed, and the source of every number is in words for the start lines.
 */
import type { Budget } from "@sluice/runtime/Shutdown"
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"
import { ConfigurationError, shown } from "../configuration/Problem.ts"
import { millisOf } from "../configuration/Setting.ts"
import { type Surroundings, type Unit, unitOf } from "./Supervisor.ts"

/** What docker and its like give when nothing is said. */
const assumed = 10_000
/** What systemd gives when nothing is said. */
const systemdDefault = 90_000
/** How long systemctl may take: a start does not wait for a manager that hangs. */
const patience = 1000

const variable = "SLUICE_STOP_BUDGET"

const unitMillis: { readonly [unit: string]: number } = {
  us: 0.001,
  ms: 1,
  s: 1000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
  month: 2_629_800_000,
  y: 31_557_600_000
}

/** A time span as systemd prints it, `1min 30s`, in milliseconds; `infinity` is Infinity, anything else undefined. */
export const systemdSpan = (text: string): number | undefined => {
  const words = text.trim()
  if (words === "infinity") return Infinity
  if (!/^(\d+(\.\d+)?[a-z]+)(\s+\d+(\.\d+)?[a-z]+)*$/.test(words)) return undefined
  let millis = 0
  for (const word of words.split(/\s+/)) {
    const [, number = "", unit = ""] = /^([\d.]+)([a-z]+)$/.exec(word) ?? []
    const factor = unitMillis[unit]
    if (factor === undefined) return undefined
    millis += Number(number) * factor
  }
  return millis
}

/** Nobody kills it. */
const none: Effect.Effect<Budget | undefined> = Effect.as(Effect.void, undefined)

/** Asks systemd; undefined when it does not answer in time. */
const ask = (unit: Unit, environment: Surroundings["environment"]): Effect.Effect<number | undefined> =>
  Effect.callback<number | undefined>((resume) => {
    const args = [...(unit.user ? ["--user"] : []), "show", unit.name, "--property=TimeoutStopUSec", "--value"]
    const child = execFile(
      "systemctl",
      args,
      { env: environment, timeout: patience, killSignal: "SIGKILL", maxBuffer: 4096 },
      (error, stdout) => resume(Effect.succeed(error === null ? systemdSpan(stdout) : undefined))
    )
    return Effect.sync(() => child.kill("SIGKILL"))
  })

const ofUnit = Effect.fnUntraced(function* (unit: Unit, here: Surroundings) {
  const limit = yield* ask(unit, here.environment)
  if (limit === Infinity) return undefined
  return limit === undefined
    ? { limit: systemdDefault, source: `systemd's default, as systemctl did not say it for ${unit.name}` }
    : { limit, source: `TimeoutStopSec of ${unit.name}` }
})

const ofVariable = (text: string): Effect.Effect<Budget | undefined, ConfigurationError> => {
  if (text.trim() === "none") return none
  const limit = millisOf(text)
  if (limit !== undefined && limit > 0) return Effect.succeed({ limit, source: variable })
  const remedy = 'use a duration with a unit, such as "25s", or "none"'
  return new ConfigurationError({ problems: [{ field: variable, value: shown(text), origin: "", remedy }] })
}

/** What the supervisor of this process allows; undefined when nobody kills it. */
export const find = (here: Surroundings): Effect.Effect<Budget | undefined, ConfigurationError> =>
  Effect.suspend(() => {
    const said = here.environment[variable]
    if (said !== undefined && said !== "") return ofVariable(said)
    const unit = unitOf(here)
    if (unit !== undefined) return ofUnit(unit, here)
    if (here.pid === 1) {
      return Effect.succeed({
        limit: assumed,
        source: `assumed for the first process of a container, as ${variable} is not set`
      })
    }
    if (here.container && !here.terminal) {
      return Effect.succeed({ limit: assumed, source: `assumed in a container, as ${variable} is not set` })
    }
    return none
  })
