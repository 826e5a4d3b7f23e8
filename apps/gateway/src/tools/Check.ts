/**
 * `sluice check`: reads the whole configuration as `run` would, and says what is
 * in force and where each value was written. Nothing is started or made.
 */
import * as Effect from "effect/Effect"
import * as Agents from "../agents/Agents.ts"
import * as Channels from "../channels/Channels.ts"
import * as Configuration from "../configuration/Configuration.ts"
import * as Sources from "../configuration/Sources.ts"
import { escape } from "../LogEncoder.ts"
import { type ConfigurationError, problemText, shown } from "../configuration/Problem.ts"
import * as Pools from "../pools/Pools.ts"
import * as Programs from "../agents/Programs.ts"
import * as Setting from "../configuration/Setting.ts"
import * as Tokens from "../Tokens.ts"
import * as Words from "./Words.ts"

/** Every value with its key and where it was written; values below names of the user's own included. */
const values = ({ configuration, origin }: Sources.Loaded) => {
  const walk = (
    value: unknown,
    path: ReadonlyArray<string>
  ): ReadonlyArray<readonly [ReadonlyArray<string>, unknown]> =>
    Setting.isTree(value)
      ? Object.entries(value).flatMap(([key, inner]) => walk(inner, [...path, key]))
      : [[path, value]]
  const known = Configuration.settings.filter((one) => one.variable !== undefined)
  return walk(configuration, []).map(([path, value]) => ({
    key: path.join("."),
    value,
    origin: origin(path),
    default: known.find((one) => one.path.join(".") === path.join("."))?.default
  }))
}

/** The file of the tokens, where one is named: what a start would say of it. */
const tokenProblems = ({ configuration, origin }: Sources.Loaded, environment: Sources.Sources["environment"]) => {
  const { http, stateDirectory } = configuration
  const { tokenFile } = http
  if (tokenFile === undefined) return Effect.succeed([])
  const source = { environment, tokenFile, origin: origin(["http", "tokenFile"]), stateDirectory }
  return Effect.match(Tokens.read(source, { create: false }), {
    onSuccess: (): ReadonlyArray<string> => [],
    onFailure: ({ problems }) => problems.map(problemText)
  })
}

/** `sluice check`. */
export const check = Effect.fnUntraced(function* (
  sources: Sources.Sources,
  json: boolean
): Effect.fn.Return<void, ConfigurationError> {
  const loaded = yield* Sources.load(sources)
  // Secrets may be somewhere else than where this is asked, so they are no reason to call the rest bad.
  const agents = yield* Effect.result(Agents.make(loaded))
  const channels = yield* Effect.result(Channels.make(loaded, { context: undefined }))
  const pools = yield* Effect.result(Pools.decide(loaded))
  const failures = [agents, channels, pools].flatMap((made) => (made._tag === "Success" ? [] : made.failure.problems))
  const secrets = [...(yield* tokenProblems(loaded, sources.environment)), ...failures.map(problemText)].map(
    (problem) => `${problem}; until then a start refuses it`
  )
  const warnings = [...loaded.warnings, ...Programs.warnings(loaded), ...secrets]
  const all = values(loaded)
  if (json) {
    return yield* Words.json({
      valid: true,
      file: loaded.file ?? null,
      warnings,
      values: all.map(({ key, origin, value }) => ({ key, value, origin }))
    })
  }
  const written = all.filter(({ origin }) => origin !== "default")
  yield* Words.lines([
    loaded.file === undefined ? "no configuration file, which is fine" : `${escape(loaded.file)} is valid`,
    ...warnings.map((warning) => `warning: ${escape(warning)}`),
    ...written.map(({ key, origin, value }) => `  ${escape(key)} = ${shown(value)} (${escape(origin)})`),
    written.length === 0 ? "every setting has its default" : "every other setting has its default"
  ])
})
