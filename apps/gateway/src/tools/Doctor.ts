/**
 * `sluice doctor`: looks for what usually goes wrong, each finding with its
 * remedy. It changes nothing, and looks into the store only when no gateway
 * runs on it.
 */
import * as Effect from "effect/Effect"
import { type Loaded, load, type Place, place, type Sources } from "../configuration/Sources.ts"
import { codes, Ending } from "../process/Exit.ts"
import { escape } from "../LogEncoder.ts"
import { type ConfigurationError, problemText } from "../configuration/Problem.ts"
import { ask, running } from "./Ask.ts"
import * as ChannelFindings from "./ChannelFindings.ts"
import * as Findings from "./Findings.ts"
import * as Guards from "./Guards.ts"
import * as PoolFindings from "./PoolFindings.ts"
import * as Words from "./Words.ts"

const configuration = (loaded: Loaded): ReadonlyArray<Findings.Finding> => [
  { name: "configuration", state: "ok", detail: loaded.file ?? "defaults, there is no file" },
  ...loaded.warnings.map((warning): Findings.Finding => ({ name: "configuration", state: "warn", detail: warning }))
]

const broken = (error: ConfigurationError): ReadonlyArray<Findings.Finding> =>
  error.problems.map((problem) => ({ name: "configuration", state: "fail", detail: problemText(problem) }))

/** What the running gateway says of itself; nothing when none runs. */
const gateway = Effect.fnUntraced(function* (place: Place) {
  const address = running(place)
  if (address === undefined) {
    return {
      up: false,
      pid: undefined,
      findings: [{ name: "gateway", state: "ok", detail: "not running" }] satisfies Array<Findings.Finding>
    }
  }
  const findings = yield* ask(place, { method: "GET", path: "/readyz" }).pipe(
    Effect.map(({ body, status }) => Findings.readiness(status, body, address.url)),
    Effect.catch((error) =>
      Effect.succeed<ReadonlyArray<Findings.Finding>>([{ name: "gateway", state: "fail", detail: error.message }])
    )
  )
  return { up: true, pid: address.pid, findings }
})

const examine = Effect.fnUntraced(function* (sources: Sources): Effect.fn.Return<ReadonlyArray<Findings.Finding>> {
  const loaded = yield* Effect.result(load(sources))
  const at = yield* Effect.result(place(sources))
  const node = Findings.node(process.versions.node)
  if (at._tag === "Failure") return [node, ...broken(at.failure)]
  const { findings, pid, up } = yield* gateway(at.success)
  const store = yield* Findings.store(at.success, up)
  const { stateDirectory } = at.success
  const allowed = loaded._tag === "Success" && loaded.success.configuration.networkFileSystem
  const common = [...Findings.folder(stateDirectory), ...Findings.disk(stateDirectory, allowed), ...store]
  if (loaded._tag === "Failure") return [node, ...broken(loaded.failure), ...common, ...findings]
  return [
    node,
    ...configuration(loaded.success),
    ...common,
    ...(yield* Findings.tokens(at.success, loaded.success)),
    ...Guards.guards(loaded.success.configuration),
    ...Guards.user(process.getuid?.()),
    ...Guards.openFiles(loaded.success.configuration, Guards.limitsOf(pid)),
    ...(yield* Findings.agents(loaded.success)),
    ...(yield* ChannelFindings.channels(loaded.success)),
    ...(yield* PoolFindings.pools(loaded.success)),
    yield* Findings.deadline(loaded.success, up ? at.success : undefined),
    ...(up ? [] : [yield* Findings.port(loaded.success.configuration.http)]),
    ...findings
  ]
})

/** The last line: what must be put right, and what is worth a look. */
const verdict = (failed: number, warned: number): string =>
  [
    failed === 0 ? "nothing has to be put right" : `${Words.count(failed, "thing")} to put right`,
    ...(warned === 0 ? [] : [`${Words.count(warned, "warning")} to look at`])
  ].join(", ")

/** `sluice doctor`: 0 when nothing has to be put right, else 1. */
export const doctor = Effect.fnUntraced(function* (sources: Sources, json: boolean): Effect.fn.Return<void, Ending> {
  const findings = yield* examine(sources)
  const failed = findings.filter(({ state }) => state === "fail").length
  if (json) yield* Words.json({ healthy: failed === 0, findings })
  else {
    yield* Words.lines([
      ...findings.flatMap(({ detail, name, remedy, state }) => [
        `${state.padEnd(4)}  ${name.padEnd(16)} ${escape(detail)}`,
        ...(remedy?.split("\n") ?? []).map((line) => `${" ".repeat(23)}${escape(line)}`)
      ]),
      verdict(failed, findings.filter(({ state }) => state === "warn").length)
    ])
  }
  if (failed > 0) return yield* new Ending({ code: codes.failed, lines: [] })
})
