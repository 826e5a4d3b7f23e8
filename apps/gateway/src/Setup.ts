/**
 * Everything that is decided before anything is opened: configuration, state
 * directory, tokens, agents and channels with their secrets, the log. A reload decides it
 * again; what is wrong then leaves the old decisions in force.
 */
import type { Budget } from "@sluice/runtime/Shutdown"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { performance } from "node:perf_hooks"
import * as Agents from "./agents/Agents.ts"
import * as Channels from "./channels/Channels.ts"
import { settings } from "./configuration/Configuration.ts"
import * as Sources from "./configuration/Sources.ts"
import * as Logs from "./Logs.ts"
import * as Pools from "./pools/Pools.ts"
import { type ConfigurationError, shown } from "./configuration/Problem.ts"
import * as Programs from "./agents/Programs.ts"
import * as Setting from "./configuration/Setting.ts"
import * as StateFolder from "./StateFolder.ts"
import { surroundings } from "./process/Supervisor.ts"
import * as SupervisorBudget from "./process/SupervisorBudget.ts"
import * as Tokens from "./Tokens.ts"

/** What is in force now; replaced as a whole by a reload. */
export interface Decided {
  readonly loaded: Sources.Loaded
  readonly tokens: Tokens.Tokens
  readonly made: Agents.Made
  /** The channels beside HTTP. */
  readonly connected: Channels.Made
  /** The pools that there shall be. */
  readonly pooled: Pools.Plan
}

/** The decisions of a program, and its log. */
export interface Setup {
  current: Decided
  /** What it was started with: in force for every key that only a restart can change. */
  readonly started: Sources.Loaded
  readonly sources: Sources.Sources
  readonly files: Channels.Files
  /** The pools that there are. */
  readonly pools: Pools.Pools
  /** Every secret that was read since the start: what runs may have an old one, what is being started a new one. */
  readonly secrets: Set<string>
  readonly log: Logs.Log
  readonly format: "json" | "pretty"
  readonly warnings: ReadonlyArray<string>
  /** What whoever started this process allows it for a stop. */
  readonly budget: Budget | undefined
}

/** Effect's name of each level. */
export const levels = {
  trace: "Trace",
  debug: "Debug",
  info: "Info",
  warn: "Warn",
  error: "Error",
  none: "None"
} as const

const decide = Effect.fnUntraced(function* (
  loaded: Sources.Loaded,
  sources: Sources.Sources,
  files: Channels.Files,
  pools: Pools.Pools,
  before: Decided | undefined
): Effect.fn.Return<Decided, ConfigurationError> {
  const { http, stateDirectory } = loaded.configuration
  const tokens = yield* Tokens.read(
    {
      environment: sources.environment,
      tokenFile: http.tokenFile,
      origin: loaded.origin(["http", "tokenFile"]),
      stateDirectory
    },
    { create: true }
  )
  const made = yield* Agents.make(loaded, before, pools)
  const pooled = yield* Pools.decide(loaded)
  return { loaded, tokens, made, pooled, connected: yield* Channels.make(loaded, files, before) }
})

const formatOf = (wanted: "auto" | "pretty" | "json"): "json" | "pretty" =>
  wanted === "auto" ? (process.stdout.isTTY ? "pretty" : "json") : wanted

/** From here on no secret of these decisions reaches the log. */
const keepSecret = (secrets: Set<string>, { connected, made, pooled, tokens }: Decided): void => {
  for (const secret of [...tokens, ...made.secrets, ...connected.secrets, ...pooled.secrets]) {
    secrets.add(Redacted.value(secret))
  }
}

/** Opens and lets go of pools as it is decided now. */
export const openPools = ({ current, pools, started }: Setup) => {
  const { poolBodies, poolBody, poolBodyStall, poolMemory } = started.configuration.limits
  return Pools.apply(pools, current.pooled, {
    memory: poolMemory,
    bodyLimit: poolBody,
    bodiesLimit: poolBodies,
    bodyStall: Agents.input(poolBodyStall)
  })
}

/** Decides everything for a start. */
export const make = Effect.fnUntraced(function* (
  sources: Sources.Sources
): Effect.fn.Return<Setup, ConfigurationError> {
  const loaded = yield* Sources.load(sources)
  const { log, stateDirectory } = loaded.configuration
  const warning = yield* StateFolder.prepare(stateDirectory, loaded.origin(["stateDirectory"]))
  const files: Channels.Files = { context: undefined }
  const pools = Pools.make(StateFolder.fileIn(stateDirectory, "poolPrograms"))
  const current = yield* decide(loaded, sources, files, pools, undefined)
  const secrets = new Set<string>()
  keepSecret(secrets, current)
  const budget = yield* SupervisorBudget.find(surroundings(sources.environment))
  const format = formatOf(log.format)
  const setup: Setup = {
    current,
    started: loaded,
    sources,
    files,
    pools,
    secrets,
    format,
    budget,
    warnings: [...loaded.warnings, ...Programs.warnings(loaded), ...(typeof warning === "string" ? [warning] : [])],
    log: Logs.make({
      format,
      write: (line) => process.stdout.write(`${line}\n`),
      secrets: () => [...secrets],
      now: () => performance.now(),
      colors: process.stdout.isTTY && (sources.environment["NO_COLOR"] ?? "") === "",
      timeZone: () => setup.current.loaded.configuration.timeZone
    })
  }
  return setup
})

/** Keys that only a restart can change and that differ from what is in force: said by every reload until then. */
const waiting = (started: Sources.Loaded, after: Sources.Loaded): ReadonlyArray<string> =>
  settings
    .filter((setting) => setting.needsRestart)
    .filter(
      ({ path }) => shown(Setting.get(started.configuration, path)) !== shown(Setting.get(after.configuration, path))
    )
    .map(({ path }) => `${path.join(".")} has changed; it takes effect with a restart`)

/** What became of the tokens, which no list of changes may show. */
const exchanged = (before: Decided, after: Decided): ReadonlyArray<string> => {
  const [old, now] = [before, after].map(({ tokens }) => tokens.map(Redacted.value))
  if (old?.join("\n") === now?.join("\n")) return []
  return [now?.length === 1 ? "the token has changed" : `the tokens have changed, ${now?.length} are valid`]
}

/** Decides again, for a reload. `current` is replaced by the caller once the gateway has taken it. */
export const again = Effect.fnUntraced(function* (
  setup: Setup
): Effect.fn.Return<{ readonly decided: Decided; readonly lines: ReadonlyArray<string> }, ConfigurationError> {
  const before = setup.current.loaded
  const loaded = yield* Sources.load(setup.sources)
  // Its folder can't change while the store is open.
  const fixed = {
    ...loaded,
    configuration: { ...loaded.configuration, stateDirectory: before.configuration.stateDirectory }
  }
  const decided = yield* decide(fixed, setup.sources, setup.files, setup.pools, setup.current)
  keepSecret(setup.secrets, decided)
  const warnings = [...loaded.warnings, ...Programs.warnings(fixed)]
  return { decided, lines: [...warnings, ...waiting(setup.started, loaded), ...exchanged(setup.current, decided)] }
})
