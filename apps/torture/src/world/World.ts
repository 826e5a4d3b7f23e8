/**
 * A world: one store, the gateways that live on it one after the other, far sides of
 * every class, people on all channels, agents as programs, and the history in which
 * all of them write what they did and saw. Levels decide when a gateway is started,
 * stopped, killed or disturbed; at the end a world comes to rest and the history is
 * all that the checker gets.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { execFile } from "node:child_process"
import { closeSync, mkdirSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { History } from "../history/writer.mjs"
import type { Bundle } from "./bundle.ts"
import { gather, habits, type Habits, type Kind, type People } from "./clients.ts"
import { type Far, type Fates, open as openFar } from "./far.ts"
import * as Gateway from "./Gateway.ts"
import { type Real, real } from "./agents/real.ts"
import type { Place } from "./place.ts"
import { type Bot, openTelegram, type Telegram, type TelegramFates } from "./telegram.ts"

/** What a world is made of. Everything has a default but the bundle and the seed. */
export interface Options {
  readonly bundle: Bundle
  readonly seed: number
  /** Its folder; a new one that goes with the scope by default. */
  readonly folder?: string
  /** Where the store lies; `.sluice` in the folder by default. For a disk that fails. */
  readonly stateDirectory?: string
  /** Keys of sluice.yaml, merged over the world's own at the first level. */
  readonly configuration?: Readonly<Record<string, unknown>>
  /** Keys of every agent there is. */
  readonly agent?: Readonly<Record<string, unknown>>
  /** The real programs instead of those of the harness, for the kinds that have some. */
  readonly agents?: "real" | "stand-in"
  /** How long a process of kind `claude-code` may outlive its gateway; 3 seconds. */
  readonly awaitOrphan?: string
  /** Variables of every gateway. */
  readonly environment?: Readonly<Record<string, string>>
  readonly habits?: Partial<Habits>
  readonly fates?: Fates
  /** There is a bot on Telegram, and what goes wrong there. */
  readonly telegram?: Bot
  readonly telegramFates?: TelegramFates
}

/** How one boot differs from the others. */
export interface BootOptions {
  /** Variables of this gateway: `TORTURE_LABEL`, `TORTURE_NTH`, `TORTURE_CROSSED`, or what a fault needs. */
  readonly environment?: Readonly<Record<string, string>>
  /** Runs the gateway by this command and its arguments instead of by `node`. */
  readonly command?: readonly [string, ...ReadonlyArray<string>]
  readonly patience?: number
}

/** A world. */
export interface World {
  readonly folder: string
  readonly stateDirectory: string
  /** The history's file. */
  readonly file: string
  readonly history: History
  readonly far: Far
  /** Telegram, where there is a bot. */
  readonly telegram: Telegram | undefined
  /** Where the people look for the gateway; a fault may put a proxy there. */
  readonly place: Place
  /** Starts the next gateway. It goes with the scope; the people find it once `arrive` has run. */
  readonly boot: (options?: BootOptions) => Effect.Effect<Gateway.Gateway, never, Scope.Scope>
  /** Waits until a gateway is ready and sends the people there; fails with its end when it ends before. */
  readonly arrive: (gateway: Gateway.Gateway) => Effect.Effect<Gateway.Ready, Gateway.Ended>
  /** Completes when an agent has begun a run with this message; dies when none does within 60 s. */
  readonly running: (id: string) => Effect.Effect<void>
  /** The people begin; they go with the world. */
  readonly people: Effect.Effect<People, never, Scope.Scope>
  /** Writes the configuration with these keys of the agent, and of the file, for the next boot or reload. */
  readonly configure: (
    agent: Readonly<Record<string, unknown>>,
    more?: Readonly<Record<string, unknown>>
  ) => Effect.Effect<void>
  /** Something outside breaks until the scope of the effect ends, with both moments in the history. */
  readonly fault: <A, E, R>(what: string, during: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /**
   * Nobody writes any more, everything is acknowledged, the gateway owes nothing and every reader has everything:
   * then the history gets its `rest` and its `ledger`. When that does not come about within `bound` ms (90,000) the
   * history says so, and this dies.
   */
  readonly rest: (people: People, gateway: Gateway.Ready, bound?: number) => Effect.Effect<void>
}

const program = (name: string) => fileURLToPath(new URL(`agents/${name}.mjs`, import.meta.url))

/** What an agent of each kind is, without what all of them have. */
const kinds = (
  { awaitOrphan = "3 seconds", bundle }: Options,
  folder: string,
  programs: Real | undefined
): Record<Kind, Variables> => {
  const home = join(folder, "home")
  const command = { kind: "command", argv: [process.execPath, program("command")], maxAnswer: 65_536 }
  const variables = programs?.variables(home) ?? {}
  const keeps = { ACP_SESSIONS: join(folder, "acp"), ...(programs && { CLAUDE_CONFIG_DIR: join(home, "acp") }) }
  return {
    command,
    acp: {
      kind: "acp",
      argv: programs?.acp ?? [process.execPath, bundle.acp],
      variables: { ...variables, ...keeps }
    },
    "claude-code": {
      kind: "claude-code",
      argv: programs?.claude ?? [process.execPath, program("claude")],
      configFolder: join(folder, "claude"),
      variables,
      awaitOrphan
    }
  }
}

type Variables = Readonly<Record<string, unknown>> & { readonly variables?: Readonly<Record<string, string>> }

/** What a configuration is made from. */
interface Made {
  readonly options: Options
  readonly folder: string
  /** The history's file. */
  readonly history: string
  readonly programs: Real | undefined
}

/** Those agents that somebody speaks with: a gateway without an agent of a kind does not load it. */
const agentsOf = ({ folder, history, options, programs }: Made, more: Readonly<Record<string, unknown>>) => {
  const used = new Set<Kind>(["command", ...Object.values(options.habits?.agents ?? {})])
  const all = kinds(options, folder, programs)
  return Object.fromEntries(
    [...used].map((kind) => {
      const variables = { ...all[kind].variables, TORTURE_HISTORY: history }
      return [kind, { ...all[kind], ...more, variables }]
    })
  )
}

const configurationOf = (made: Made, more: Readonly<Record<string, unknown>>) => ({
  // At the cap messages would end as dropped, which is another promise.
  queue: { cap: 10_000 },
  limits: { sender: { perSecond: 1_000_000, burst: 1_000_000 }, total: { perSecond: 1_000_000, burst: 1_000_000 } },
  turns: { limit: 8, backoff: ["50 millis", "100 millis"] },
  drain: { timeout: "3 seconds", startWithin: "500 millis" },
  agents: { ...agentsOf(made, more), demo: { kind: "demo" } },
  personas: {
    default: { agent: "command" },
    // A session of `asker` (by `/new <name> asker`) uses tools and asks, as no program does.
    asker: { agent: "demo" },
    ...Object.fromEntries(Object.values(made.options.habits?.agents ?? {}).map((kind) => [kind, { agent: kind }]))
  }
})

/** `sluice audit --json`, as an operator would ask. */
const audit = (bundle: Bundle, folder: string, stateDirectory: string) =>
  Effect.callback<unknown>((resume) => {
    const env = { PATH: process.env["PATH"], SLUICE_STATE_DIR: stateDirectory, ...bundle.environment }
    const child = execFile(
      process.execPath,
      [bundle.program, "audit", "--json"],
      { cwd: folder, env, maxBuffer: 1 << 24 },
      (error, out, err) =>
        resume(
          error === null
            ? Effect.sync((): unknown => JSON.parse(out))
            : Effect.die(new Error(`audit ended with ${String(error.code)}: ${err}`))
        )
    )
    return Effect.sync(() => void child.kill("SIGKILL"))
  })

/** What a gateway still owes, in words; nothing when it is at rest. */
const owed = Effect.fnUntraced(function* (
  { far, telegram }: Pick<World, "far" | "telegram">,
  people: People,
  { token, wire }: Gateway.Ready
) {
  const { body, status } = yield* wire.ask("/v1/status", { token })
  if (status !== 200) return [`status ${status}`]
  const { accepted, ends, openTurns, replies } = body["figures"] as Readonly<Record<string, unknown>>
  const sum = (counts: unknown) => Object.values(counts as Record<string, number>).reduce((all, one) => all + one, 0)
  const { dead: _, unknown: __, ...pending } = replies as Record<string, number>
  const found = {
    messages: Number(accepted) - sum(ends),
    turns: sum(openTurns),
    replies: sum(pending),
    unconfirmed: far.unconfirmed() + (telegram?.unconfirmed() ?? 0),
    behind: (yield* people.behind).length
  }
  return Object.entries(found).flatMap(([what, count]) => (count === 0 ? [] : [`${count} ${what}`]))
})

const rest = (
  world: Pick<World, "far" | "folder" | "history" | "stateDirectory" | "telegram">,
  bundle: Bundle
): World["rest"] =>
  Effect.fnUntraced(function* (people, gateway, bound = 90_000) {
    const { folder, history, stateDirectory } = world
    let last: ReadonlyArray<string> = ["nothing has been asked yet"]
    const quiet = Effect.gen(function* () {
      // A chain of crashes has paused what was open: an operator says that it may go on.
      yield* gateway.wire.ask("/v1/admin/resume", { method: "POST", token: gateway.token })
      yield* people.finish
      for (;;) {
        last = yield* owed(world, people, gateway)
        if (last.length === 0) return
        yield* Effect.sleep("10 millis")
      }
    })
    yield* Effect.timeoutOrElse(Effect.orDie(quiet), {
      duration: bound,
      orElse: () =>
        Effect.suspend(() => {
          history.append({ op: "rest", phase: "fail", by: "supervisor" })
          const names = people.unanswered().slice(0, 20).join(" ")
          return Effect.die(new Error(`no rest after ${bound} ms: ${last.join(", ")}, ${names}`))
        })
    })
    history.append({ op: "rest", phase: "ok", by: "supervisor" })
    const ledger = yield* audit(bundle, folder, stateDirectory)
    history.append({ op: "ledger", phase: "ok", by: "supervisor", ledger })
  })

/** Reads a history from where it was left, and waits for a run with a message. */
const running = (file: string) => {
  let at = 0
  let rest = ""
  const seen = new Set<string>()
  const readOn = (): void => {
    const descriptor = openSync(file, "r")
    const piece = Buffer.allocUnsafe(1 << 16)
    for (let bytes = 1; bytes > 0; at += bytes) {
      bytes = readSync(descriptor, piece, 0, piece.length, at)
      rest += piece.toString("latin1", 0, bytes)
    }
    closeSync(descriptor)
    const lines = rest.split("\n")
    rest = lines.pop() ?? ""
    for (const line of [...lines, rest]) {
      const [, ids] = /^\{"op":"run".*"ids":\[([^\]]*)\].*\}$/.exec(line) ?? []
      for (const id of ids?.split(",") ?? []) seen.add(id.slice(1, -1))
    }
  }
  return (id: string): Effect.Effect<void> =>
    Effect.gen(function* () {
      for (;;) {
        readOn()
        if (seen.has(id)) return
        yield* Effect.sleep("10 millis")
      }
    }).pipe(
      Effect.timeoutOrElse({
        duration: "60 seconds",
        orElse: () => Effect.die(new Error(`no agent was given ${id}`))
      })
    )
}

const makeFolder = (given: string | undefined) =>
  given === undefined
    ? Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "sluice-world-"))),
        (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }))
      )
    : Effect.sync(() => {
        mkdirSync(given, { recursive: true })
        return given
      })

/** Makes a world, without a gateway yet. */
export const make = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<World, never, Scope.Scope> {
  const { bundle, seed } = options
  const folder = yield* makeFolder(options.folder)
  const stateDirectory = options.stateDirectory ?? join(folder, ".sluice")
  const history = yield* Effect.acquireRelease(
    Effect.sync(() => History.open(join(folder, "history.jsonl"))),
    (history) => Effect.sync(() => history.close())
  )
  const far = yield* openFar(history, options.fates)
  const place: Place = { wire: undefined, token: "" }
  const programs = options.agents === "real" ? yield* real(history, options.habits?.agents ?? {}) : undefined
  if (programs !== undefined) mkdirSync(join(folder, "home"))
  const made = { options, folder, history: history.file, programs }
  const telegram =
    options.telegram === undefined
      ? undefined
      : yield* openTelegram(history, place, folder, options.telegram, options.telegramFates)
  let boots = 0
  let versions = 0
  let wanted: Parameters<World["configure"]> = [{}]
  const write = Effect.sync(() => {
    const [agent, more] = wanted
    const whole = {
      ...configurationOf(made, { ...options.agent, ...agent }),
      // Chats wait for more; here one burst is what is written within a moment.
      ...(telegram === undefined
        ? {}
        : { channels: telegram.channels(boots, versions), debounce: { quiet: "60 millis" } }),
      ...options.configuration,
      ...more
    }
    writeFileSync(join(folder, "sluice.yaml"), JSON.stringify(whole))
  })
  const configure: World["configure"] = (...given) =>
    Effect.suspend(() => {
      wanted = given
      versions++
      return write
    })
  yield* write
  let people: People | undefined
  const start = (one: BootOptions) =>
    Gateway.start({
      program: bundle.program,
      folder,
      stateDirectory,
      history,
      environment: { ...bundle.environment, TORTURE_FAR: far.url, ...options.environment, ...one.environment },
      boot: boots,
      open: people?.unanswered().length ?? 0,
      ...(one.command === undefined ? {} : { command: one.command }),
      ...(one.patience === undefined ? {} : { patience: one.patience })
    })
  const boot: World["boot"] = (one = {}) =>
    Effect.gen(function* () {
      boots++
      // Telegram knows the gateways by the address that they ask at.
      if (telegram !== undefined) yield* write
      const gateway = yield* start(one)
      telegram?.began(gateway.boot, gateway.pid)
      return gateway
    })
  const arrive = (gateway: Gateway.Gateway) =>
    Effect.tap(gateway.ready, ({ token, wire }) =>
      Effect.sync(() => {
        place.wire?.close()
        Object.assign(place, { token, wire })
      })
    )
  const gathered = Effect.tap(gather(place, history, far, seed, { ...habits, ...options.habits }, telegram), (found) =>
    Effect.sync(() => {
      people = found
    })
  )
  const fault: World["fault"] = (what, during) =>
    Effect.acquireUseRelease(
      Effect.sync(() => history.append({ op: "fault", phase: "invoke", by: "harness", what })),
      () => during,
      () => Effect.sync(() => void history.append({ op: "fault", phase: "ok", by: "harness", what }))
    )
  yield* Effect.addFinalizer(() => Effect.sync(() => place.wire?.close()))
  // What a killed gateway left, when nobody came after it.
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      for (const pid of Gateway.marked(history.file)) Gateway.end(pid)
    })
  )
  return {
    folder,
    stateDirectory,
    file: history.file,
    history,
    far,
    telegram,
    place,
    boot,
    arrive,
    running: running(history.file),
    people: gathered,
    configure,
    fault,
    rest: rest({ far, telegram, folder, history, stateDirectory }, bundle)
  }
})
