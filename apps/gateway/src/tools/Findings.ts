/**
 * The single looks of `sluice doctor`. Each says what it found and, where that
 * is not well, what to do; none of them changes anything.
 */
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { networkFileSystemOf } from "@sluice/runtime/Journal"
import { deadlineOf } from "@sluice/runtime/Shutdown"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Option from "effect/Option"
import * as SqlClient from "effect/sql/SqlClient"
import { accessSync, constants, statfsSync, statSync } from "node:fs"
import { createServer } from "node:net"
import { input, make, modelOptions } from "../agents/Agents.ts"
import { isLoopback } from "../configuration/Checks.ts"
import type { Loaded, Place } from "../configuration/Sources.ts"
import { problemText, shown } from "../configuration/Problem.ts"
import type { ModelAgent } from "../configuration/ModelAgents.ts"
import * as Programs from "../agents/Programs.ts"
import { existing, exists, fileIn, reasonOf } from "../StateFolder.ts"
import { surroundings } from "../process/Supervisor.ts"
import * as SupervisorBudget from "../process/SupervisorBudget.ts"
import * as Tokens from "../Tokens.ts"
import { ask } from "./Ask.ts"
import { isWeak } from "./Guards.ts"
import { version } from "./ProgramVersion.ts"

/** One thing that was looked at. */
export interface Finding {
  readonly name: string
  readonly state: "ok" | "warn" | "fail"
  readonly detail: string
  readonly remedy?: string
}

/** The Node that runs this. 26 for `node:sqlite` and for replacing the process at a restart. */
export const node = (version: string): Finding =>
  Number(version.split(".")[0]) >= 26
    ? { name: "node", state: "ok", detail: version }
    : { name: "node", state: "fail", detail: version, remedy: "use Node 26 or newer; npm start brings its own" }

const writable = (path: string): string | undefined => {
  try {
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK)
    return undefined
  } catch (cause) {
    return reasonOf(cause)
  }
}

/** The state directory: there or makeable, writable, and nobody else's. */
export const folder = (path: string): ReadonlyArray<Finding> => {
  const name = "state directory"
  const problem = writable(existing(path))
  if (problem !== undefined) {
    const remedy = "correct its permissions, or use another one with SLUICE_STATE_DIR"
    return [{ name, state: "fail", detail: `${shown(path)}: ${problem}`, remedy }]
  }
  if (!exists(path)) return [{ name, state: "ok", detail: `${path} is made at the first start` }]
  const mode = statSync(path).mode & 0o777
  return (mode & 0o077) === 0
    ? [{ name, state: "ok", detail: path }]
    : [
        {
          name,
          state: (mode & 0o002) === 0 ? "warn" : "fail",
          detail: `${path} has mode ${mode.toString(8)}`,
          remedy: `chmod 700 ${shown(path)}`
        }
      ]
}

/** A folder of the host, or of another machine, in a virtual one: its number in statfs. The journal takes it. */
const p9 = 0x01021997
/** File systems that forget, by their number in statfs. */
const forgetful: { readonly [type: number]: string } = {
  0x01021994: "tmpfs",
  0x794c7630: "overlay",
  0x858458f6: "ramfs"
}

const low = 1024 ** 3
const empty = 100 * 1024 ** 2

/** A kind of file system, by its number in statfs, and the bytes that are left on it; `allowed` by `networkFileSystem`. */
export const judge = (type: number, free: number, allowed = false): ReadonlyArray<Finding> => {
  const refused = allowed ? undefined : networkFileSystemOf(type)
  const network = networkFileSystemOf(type) ?? (type === p9 ? "9p" : undefined)
  const gone = forgetful[type]
  const left = free < low ? `${Math.floor(free / 1024 ** 2)} MiB free` : `${Math.floor(free / low)} GiB free`
  const kind: Finding =
    network !== undefined
      ? {
          name: "file system",
          state: refused === undefined ? "warn" : "fail",
          detail: `${network}, a network file system: its locks and flushes are not to be trusted`,
          remedy: "put the state directory on a local disk"
        }
      : gone !== undefined
        ? {
            name: "file system",
            state: "warn",
            detail: `${gone}: what it holds goes with the machine or the container`,
            remedy: "put the state directory on a volume that stays"
          }
        : { name: "file system", state: "ok", detail: "local" }
  const state = free < empty ? "fail" : free < low ? "warn" : "ok"
  return [
    kind,
    state === "ok"
      ? { name: "disk", state, detail: left }
      : { name: "disk", state, detail: left, remedy: "make room: without it no message can be accepted" }
  ]
}

/** The disk under the state directory: what kind, and how much is left. */
export const disk = (path: string, allowed = false): ReadonlyArray<Finding> => {
  const { bavail, bsize, type } = statfsSync(existing(path))
  return judge(type, bavail * bsize, allowed)
}

/** The token that clients send. */
export const tokens = (place: Place, loaded: Loaded): Effect.Effect<ReadonlyArray<Finding>> => {
  const fromVariable = (place.environment["SLUICE_TOKEN"] ?? "") !== ""
  const file = place.tokenFile ?? fileIn(place.stateDirectory, "token")
  if (!fromVariable && place.tokenFile === undefined && !exists(file)) {
    return Effect.succeed([{ name: "token", state: "ok", detail: "is made at the first start" }])
  }
  return Tokens.read({ ...place, origin: loaded.origin(["http", "tokenFile"]) }, { create: false }).pipe(
    Effect.map((found): ReadonlyArray<Finding> => {
      const detail = `${found.length === 1 ? "one" : "two, one of which should go soon"}, from ${fromVariable ? "SLUICE_TOKEN" : file}`
      return found.some(isWeak)
        ? [
            {
              name: "token",
              state: "warn",
              detail: `${detail}; easy to guess`,
              remedy: "make another one with: openssl rand -hex 32"
            }
          ]
        : [{ name: "token", state: "ok", detail }]
    }),
    Effect.catch((error) =>
      Effect.succeed<ReadonlyArray<Finding>>([{ name: "token", state: "fail", detail: error.message }])
    )
  )
}

/** The server of a model: whether it answers, takes the key and knows the model. */
const model = Effect.fnUntraced(function* (name: string, agent: ModelAgent, loaded: Loaded) {
  const options = yield* modelOptions(name, agent, loaded)
  const { reach } = yield* Effect.promise(() => import("../agents/ModelAgent.ts"))
  const found = yield* Effect.result(reach(options))
  const row = `agent ${name}`
  if (found._tag === "Failure") {
    const remedy = "start it or correct url, model and key; turns fail until it answers"
    return { name: row, state: "fail", detail: found.failure, remedy } satisfies Finding
  }
  const { hostname, protocol } = new URL(options.url)
  if (options.key !== undefined && protocol === "http:" && !isLoopback(hostname)) {
    const detail = `${found.success}, over a connection that anybody on the way can read, the key included`
    return { name: row, state: "warn", detail, remedy: "use https" } satisfies Finding
  }
  return { name: row, state: "ok", detail: found.success } satisfies Finding
})

/** The oldest Claude Code CLI that has what an agent of it needs. */
const oldestClaude = 2

/** The Claude Code CLI: whether it starts, and is new enough. */
const claude = Effect.fnUntraced(function* (
  { agent, found }: { readonly agent: string; readonly found: string },
  loaded: Loaded
): Effect.fn.Return<Finding> {
  const name = `agent ${agent}`
  const configured = loaded.configuration.agents[agent]
  const { argv = [], cwd = loaded.folder } = configured?.kind === "claude-code" ? configured : {}
  const said = yield* version(found, { args: argv.slice(1), cwd })
  const detail = `${found}, ${said ?? "which says no version"}`
  const major = Number(/^(\d+)\.\d+\.\d+ \(Claude Code\)/.exec(said ?? "")?.[1] ?? Number.NaN)
  if (major >= oldestClaude) return { name, state: "ok", detail }
  return Number.isNaN(major)
    ? { name, state: "fail", detail, remedy: "is it the Claude Code CLI? install it, or correct argv" }
    : { name, state: "warn", detail, remedy: `update it: version ${oldestClaude} or newer is needed` }
})

/** The programs, folders, servers and secrets of the agents. */
export const agents = Effect.fnUntraced(function* (loaded: Loaded): Effect.fn.Return<ReadonlyArray<Finding>> {
  const made = yield* Effect.result(make(loaded))
  const secrets: ReadonlyArray<Finding> =
    made._tag === "Success"
      ? []
      : made.failure.problems.map((problem) => ({ name: "agents", state: "fail", detail: problemText(problem) }))
  const servers: Array<Finding> = []
  for (const [name, agent] of Object.entries(loaded.configuration.agents)) {
    if (agent.kind !== "model" || agent.pool !== undefined) continue
    // Without its key there is a line already.
    const found = yield* Effect.result(model(name, agent, loaded))
    if (found._tag === "Success") servers.push(found.success)
  }
  // A model over a pool is as well as the pool is, which has a line of its own.
  const asked = (name: string) => {
    const agent = loaded.configuration.agents[name]
    return agent?.kind === "model" && agent.pool === undefined
  }
  const others = Programs.look(loaded).filter(({ agent }) => !asked(agent))
  const programs = yield* Effect.forEach(others, ({ agent, found, problem, remedy }) => {
    const name = `agent ${agent}`
    if (problem !== undefined) return Effect.succeed<Finding>({ name, state: "fail", detail: problem, remedy })
    return loaded.configuration.agents[agent]?.kind === "claude-code"
      ? claude({ agent, found }, loaded)
      : Effect.succeed<Finding>({ name, state: "ok", detail: found })
  })
  return [...secrets, ...programs, ...servers]
})

const Deadline = Schema.Struct({ deadline: Schema.Struct({ millis: Schema.Finite, source: Schema.String }) })

/** S14: the deadline that holds against the one that was configured. A running gateway knows its own supervisor. */
export const deadline = Effect.fnUntraced(function* (loaded: Loaded, up: Place | undefined): Effect.fn.Return<Finding> {
  const { timeout } = loaded.configuration.drain
  const wanted = deadlineOf({ timeout: input(timeout) }).millis
  const asked = up === undefined ? undefined : yield* Effect.option(ask(up, { method: "GET", path: "/v1/status" }))
  const theirs =
    asked === undefined || Option.isNone(asked) ? Option.none() : Schema.decodeUnknownOption(Deadline)(asked.value.body)
  const found = yield* Effect.result(SupervisorBudget.find(surroundings(process.env)))
  if (found._tag === "Failure") return { name: "deadline", state: "fail", detail: found.failure.message }
  const budget = found.success
  const holds = Option.isSome(theirs)
    ? theirs.value.deadline
    : deadlineOf({ timeout: input(timeout), ...(budget === undefined ? {} : { budget }) })
  const most = `a stop takes at most ${holds.millis / 1000} s`
  return holds.millis >= wanted
    ? { name: "deadline", state: "ok", detail: `${most} (${holds.source})` }
    : {
        name: "deadline",
        state: "warn",
        detail: `${most}, drain.timeout is ${timeout}`,
        remedy: [
          `why: ${holds.source}`,
          // Somebody's terminal is not the service: its limit is another one, or none.
          ...(Option.isSome(theirs)
            ? []
            : ["(when the gateway is started from here: a running one knows its supervisor)"]),
          "lower drain.timeout, or give the supervisor more time (TimeoutStopSec, docker stop -t,",
          "terminationGracePeriodSeconds) and say so in SLUICE_STOP_BUDGET where it can't be asked"
        ].join("\n")
      }
})

/** Whether the port is free. */
export const port = (http: Loaded["configuration"]["http"]): Effect.Effect<Finding> =>
  Effect.callback<Finding>((resume) => {
    const server = createServer()
    const say = (finding: Finding) => server.close(() => resume(Effect.succeed(finding)))
    server.once("error", (cause) => {
      const remedy = "stop the other program, or use another port with SLUICE_PORT"
      const detail = `${http.host}:${http.port} can't be used: ${reasonOf(cause)}`
      resume(Effect.succeed({ name: "port", state: "fail", detail, remedy }))
    })
    server.listen(http.port, http.host, () =>
      say({
        name: "port",
        state: "ok",
        detail: http.port === 0 ? `any free one on ${http.host}` : `${http.host}:${http.port} is free`
      })
    )
  })

/** Whether the store is whole; only asked when nobody runs on it. */
export const store = (place: Place, up: boolean): Effect.Effect<ReadonlyArray<Finding>> => {
  const filename = fileIn(place.stateDirectory, "store")
  if (!exists(filename)) return Effect.succeed([{ name: "store", state: "ok", detail: "is made at the first start" }])
  if (up) return Effect.succeed([{ name: "store", state: "ok", detail: "in use; checked only when no gateway runs" }])
  const check = Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql.unsafe<{ readonly quick_check: string }>("pragma quick_check(3)")
    return rows.map((row) => row.quick_check).join("; ")
  })
  return check.pipe(
    Effect.provide(SqliteClient.layer({ filename, readonly: true, disableWAL: true })),
    Effect.map((found): ReadonlyArray<Finding> => [
      found === "ok"
        ? { name: "store", state: "ok", detail: "passes the integrity check" }
        : {
            name: "store",
            state: "fail",
            detail: found,
            remedy: "keep a copy of the folder and restore the last backup"
          }
    ]),
    Effect.catchCause((cause) =>
      Effect.succeed<ReadonlyArray<Finding>>([
        {
          name: "store",
          state: "fail",
          detail: `can't be opened: ${reasonOf(cause.reasons.find((one) => one._tag !== "Interrupt"))}`,
          remedy: "correct the permissions of its files; if it is damaged, keep a copy and restore the last backup"
        }
      ])
    )
  )
}

const Ready = Schema.Struct({
  ready: Schema.Boolean,
  problems: Schema.Array(Schema.String),
  pools: Schema.optionalKey(
    Schema.Array(Schema.Struct({ name: Schema.String, state: Schema.String, problems: Schema.Array(Schema.String) }))
  ),
  channels: Schema.optionalKey(
    Schema.Array(Schema.Struct({ name: Schema.String, state: Schema.String, problems: Schema.Array(Schema.String) }))
  )
})

/** A row for each channel of the running gateway that is not as it should be. */
const troubled = (channels: NonNullable<(typeof Ready.Type)["channels"]>): ReadonlyArray<Finding> =>
  channels.flatMap(({ name, problems, state }): ReadonlyArray<Finding> => {
    const row = { name: `channel ${name}`, state: "warn" } as const
    if (state === "stopped") {
      return [
        { ...row, detail: "was stopped by hand: nothing is taken or sent", remedy: `sluice channels start ${name}` }
      ]
    }
    return problems.map((problem) => ({ ...row, detail: `is ${state}: ${problem}`, remedy: "see: sluice channels" }))
  })

/** What the running gateway says that it lacks. */
export const readiness = (status: number, body: unknown, url: string): ReadonlyArray<Finding> => {
  const found = Schema.decodeUnknownOption(Ready)(body)
  const { channels = [], pools = [], problems = [] } = Option.getOrUndefined(found) ?? {}
  return [
    status === 200
      ? { name: "gateway", state: "ok", detail: `ready at ${url}` }
      : { name: "gateway", state: "warn", detail: `not ready at ${url}${problems.map((one) => `; ${one}`).join("")}` },
    ...troubled(channels),
    ...pools
      .filter(({ state }) => state !== "healthy")
      .map(({ name, problems, state }): Finding => {
        const detail = [`${state} in the running gateway`, ...problems].join(": ")
        return { name: `pool ${name}`, state: "warn", detail, remedy: "sluice pools shows what it does" }
      })
  ]
}
