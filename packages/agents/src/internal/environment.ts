/**
 * The environment of a child: a short allow-list, what the configuration adds,
 * and the marker. Everything else that the gateway was started with stays out,
 * above all its token.
 */
import * as Agent from "@sluice/runtime/Agent"
import * as Redacted from "effect/Redacted"
import { inherited } from "./node/host.ts"

/** What a child is given beyond the allow-list. */
export interface Environment {
  /** Names of variables that are passed on when they are set. */
  readonly pass?: ReadonlyArray<string>
  /** Variables with fixed values. */
  readonly set?: Readonly<Record<string, string | Redacted.Redacted>>
}

/** The variables that every child is given when they are set. None of them is a secret. */
export const allowed: ReadonlyArray<string> = [
  "PATH",
  "HOME",
  "USER",
  "LOGNAME",
  "SHELL",
  "LANG",
  "LC_ALL",
  "LC_CTYPE",
  "TZ",
  "TMPDIR",
  "SLUICE_STATE_DIR"
]

/** Never passed on nor set, whatever is configured. */
const forbidden: ReadonlySet<string> = new Set(["SLUICE_TOKEN", Agent.markerVariable])

const plain = (value: string | Redacted.Redacted): string =>
  Redacted.isRedacted(value) ? Redacted.value(value) : value

/** What is wrong with an environment's configuration, with its remedy. */
export const environmentProblem = (environment: Environment): string | undefined => {
  for (const name of [...(environment.pass ?? []), ...Object.keys(environment.set ?? {})]) {
    if (forbidden.has(name)) return `env ${name}: is never given to a child; remove it`
    if (!/^[^=\0]+$/.test(name)) return `env ${JSON.stringify(name)}: is not the name of a variable; correct it`
  }
  for (const [name, value] of Object.entries(environment.set ?? {})) {
    if (plain(value).includes("\0")) return `env ${name}: its value holds a NUL character; remove it`
  }
  return undefined
}

/** The whole environment of a child. */
export const environmentOf = (environment: Environment, marker: Agent.Marker): Readonly<Record<string, string>> => {
  const passed = inherited([...allowed, ...(environment.pass ?? [])].filter((name) => !forbidden.has(name)))
  const fixed = Object.entries(environment.set ?? {}).filter(([name]) => !forbidden.has(name))
  return {
    // First, so that it is found early when the environment is searched.
    [Agent.markerVariable]: Agent.formatMarker(marker),
    ...passed,
    ...Object.fromEntries(fixed.map(([name, value]) => [name, plain(value)]))
  }
}
