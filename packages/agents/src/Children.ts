/**
 * The room in which agents run programs: each in a process group of its own, with
 * a marker and an allow-list for an environment, fixed arguments, bounded pipes,
 * and a stop ladder that reaches every descendant. A program ends with the scope
 * that it was started in, whatever it does about signals; what a killed gateway
 * left behind is found at the next boot by its marker, never by its name.
 */
import * as Agent from "@sluice/runtime/Agent"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { type Environment, environmentOf } from "./internal/environment.ts"
import { ended, follow, followGroup, type Kin } from "./internal/kin.ts"
import { defaultGrace, descend, type Grace } from "./internal/ladder.ts"
import { problem } from "./internal/node/locate.ts"
import * as ProcessTable from "./internal/node/processTable.ts"
import { type Piece, spawn, type Spawned, type SpawnFailure, type Status } from "./internal/node/spawn.ts"

export { allowed, type Environment } from "./internal/environment.ts"
export { defaultGrace, type Grace } from "./internal/ladder.ts"
export type { Piece, Status } from "./internal/node/spawn.ts"

/** The program never ran. `problem` names it and the remedy. */
export class NotStarted extends Schema.TaggedError<NotStarted>()("NotStarted", {
  program: Schema.String,
  code: Schema.String,
  problem: Schema.String
}) {
  override get message() {
    return this.problem
  }
}

/**
 * How far a program's priority is below the gateway's. On an idle machine it costs nothing; on a busy one the gateway
 * gets three times its share, so that what an agent does after its answer does not hold that answer up.
 */
export const defaultNice = 5

/** A program to run. */
export interface Program {
  /** The program and its arguments, fixed: what a user writes goes to standard input. */
  readonly argv: readonly [string, ...ReadonlyArray<string>]
  /** Its working folder; the gateway's own by default. */
  readonly cwd?: string
  /** What it is given beyond {@link allowed}. */
  readonly env?: Environment
  /** How many bytes of its standard error are kept; 8 KiB by default. */
  readonly stderrTail?: number
  /** How far its priority is below the gateway's, 0 to 19; {@link defaultNice} by default. */
  readonly nice?: number
  /** The turn it works for; absent for a program that serves the whole session. */
  readonly turn?: string
  /** The first step of the ladder, for a program that can be asked to end. */
  readonly ask?: (child: Child) => Effect.Effect<void>
}

/** A program that runs, until the scope it was started in closes. */
export interface Child {
  readonly pid: number
  /** Writes to standard input and ends it. A program that does not read it is free not to. */
  readonly write: (text: string) => Effect.Effect<void>
  /** Writes to standard input and leaves it open. What is not read yet is held in memory: bound what is sent. */
  readonly send: (text: string) => Effect.Effect<void>
  /** Ends standard input, read or not. */
  readonly endInput: Effect.Effect<void>
  /** The next piece of output, as fast as it is asked for and no faster; one caller at a time. */
  readonly read: Effect.Effect<Piece>
  /** Waits for the program's own end; descendants may still run. */
  readonly exited: Effect.Effect<Status>
  /** The end of standard error so far; once the program has ended, all that was on its way (waits for it, 500 ms at most). */
  readonly errors: Effect.Effect<string>
  /** The ladder now rather than at the scope's end: the program and all its descendants, bounded. */
  readonly stop: Effect.Effect<void>
}

/** The room of one session. */
export interface Room {
  readonly start: (program: Program) => Effect.Effect<Child, NotStarted, Scope.Scope>
}

const refusals: Readonly<Record<string, string>> = {
  EAGAIN: "the system has no room for another process: raise the limit on processes (ulimit -u, TasksMax)",
  ENOMEM: "the system has no memory for another process: free some or lower the turn limit",
  EMFILE: "the gateway has too many open files: raise its limit (ulimit -n, LimitNOFILE)",
  ENFILE: "the system has too many open files: raise its limit (fs.file-max)",
  E2BIG: "arguments and environment are too long: shorten argv or env"
}

const notStarted = (program: Program, env: Readonly<Record<string, string>>, failure: SpawnFailure): NotStarted => {
  const name = program.argv[0]
  const cause = failure.cause instanceof Error ? failure.cause.message : String(failure.cause)
  const known = refusals[failure.code]
  return new NotStarted({
    program: name,
    code: failure.code,
    problem:
      known === undefined
        ? (problem(name, program.cwd, env["PATH"]) ?? `program "${name}" could not be started: ${cause}`)
        : `program "${name}" could not be started: ${known}`
  })
}

/**
 * Looks for what keeps a program from being started, without starting it: a
 * sentence that names it and the remedy, or `undefined`.
 */
export const check = (program: Pick<Program, "argv" | "cwd" | "env">): Effect.Effect<string | undefined> =>
  Effect.sync(() => {
    const env = environmentOf(program.env ?? {}, { instance: "check", epoch: 0, session: 0 })
    return problem(program.argv[0], program.cwd, env["PATH"])
  })

const childOf = (spawned: Spawned, stop: Effect.Effect<void>): Child => ({
  pid: spawned.pid,
  write: (text) => Effect.sync(() => spawned.write(text)),
  send: (text) => Effect.sync(() => spawned.send(text)),
  endInput: Effect.sync(spawned.endInput),
  read: spawned.read,
  exited: Deferred.await(spawned.exited),
  errors: Effect.gen(function* () {
    if (yield* Deferred.isDone(spawned.exited)) {
      yield* Effect.timeoutOption(Deferred.await(spawned.errorsEnded), "500 millis")
    }
    return spawned.errors()
  }),
  stop
})

/** Opens the room of a session. When its scope closes, whatever is left of the session's programs is stopped. */
export const room = Effect.fnUntraced(function* (
  session: Pick<Agent.AgentSession, "id" | "instance" | "epoch" | "killed">,
  options?: { readonly grace?: Partial<Grace> }
): Effect.fn.Return<Room, never, Scope.Scope> {
  const grace = { ...defaultGrace, ...options?.grace }
  const { killed } = session
  const own: Agent.Marker = { instance: session.instance, epoch: session.epoch, session: session.id }
  let first: Kin | undefined

  const start = Effect.fnUntraced(function* (program: Program): Effect.fn.Return<Child, NotStarted, Scope.Scope> {
    const marker = program.turn === undefined ? own : { ...own, turn: program.turn }
    const text = Agent.formatMarker(marker)
    const env = environmentOf(program.env ?? {}, marker)
    let kin: Kin | undefined
    let ended = false
    let empty = false
    const acquire = spawn({
      argv: program.argv,
      cwd: program.cwd,
      env,
      tailBytes: program.stderrTail ?? 8192,
      nice: program.nice ?? defaultNice,
      onStart: (pid) => {
        const start = ProcessTable.startOf(pid)
        kin =
          start === undefined
            ? followGroup({ pid, start: 0 }, () => !ended)
            : follow({ root: { pid, start }, marked: (found) => found === text })
        first ??= kin
      },
      onExit: () => {
        ended = true
        // In this step its number still belongs to its group: take stock of who is left.
        empty = kin?.look(true).length === 0
      }
    }).pipe(Effect.mapError((failure) => notStarted(program, env, failure)))
    const finish = (spawned: Spawned): Effect.Effect<void> =>
      Effect.suspend(() => {
        if (kin === undefined || empty) return Effect.void
        const ask = ended ? undefined : program.ask?.(childOf(spawned, Effect.void))
        return descend(kin, {
          grace,
          killed,
          ...(ended ? {} : { stir: Effect.asVoid(Deferred.await(spawned.exited)) }),
          ...(ask === undefined ? {} : { ask })
        }).pipe(Effect.tap(() => Effect.sync(() => (empty = ended && kin?.look().length === 0))))
      })
    const spawned = yield* Effect.acquireRelease(acquire, (spawned) =>
      Effect.ensuring(finish(spawned), Effect.sync(spawned.release))
    )
    return childOf(spawned, finish(spawned))
  })

  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => {
      if (first === undefined || !ProcessTable.supported) return Effect.void
      const marked = (found: string) => {
        const marker = Agent.parseMarker(found)
        return marker?.instance === own.instance && marker.epoch === own.epoch && marker.session === own.session
      }
      return descend(follow({ root: first.root, marked }), { grace, killed })
    })
  )
  return { start }
})

/** A living process that carries a marker of this store. */
export interface Marked {
  readonly pid: number
  readonly marker: Agent.Marker
}

const scan = (instance: string) => {
  const table = ProcessTable.readAll()
  const protect = ProcessTable.lineage(table)
  const found: Array<{ readonly entry: ProcessTable.Entry; readonly text: string; readonly marker: Agent.Marker }> = []
  for (const entry of table.values()) {
    if (protect.has(entry.pid)) continue
    const text = ProcessTable.variableOf(entry.pid, Agent.markerVariable)
    const marker = text === undefined ? undefined : Agent.parseMarker(text)
    if (text !== undefined && marker?.instance === instance) found.push({ entry, text, marker })
  }
  return found
}

/** Every living process that was started for a turn of this store, by this boot or an earlier one. */
export const running = (instance: string): Effect.Effect<ReadonlyArray<Marked>> =>
  Effect.sync(() => scan(instance).map(({ entry, marker }) => ({ pid: entry.pid, marker })))

let told = false

/**
 * Finds what earlier boots of this store left running: one for each turn, told by
 * marker and epoch. The same for every agent, so asking one of them is enough.
 * Where the system does not show its processes the answer is empty, and the log
 * says so once.
 */
export const orphans = Effect.fnUntraced(function* (boot: {
  readonly instance: string
  readonly epoch: number
}): Effect.fn.Return<ReadonlyArray<Agent.Orphan>> {
  if (!ProcessTable.supported) {
    if (!told) {
      told = true
      yield* Effect.logWarning("no /proc on this system: programs that an earlier run left behind are not found")
    }
    return []
  }
  const turns = new Map<string, Array<ReturnType<typeof scan>[number]>>()
  for (const one of scan(boot.instance)) {
    if (one.marker.epoch >= boot.epoch) continue
    const turn = turns.get(one.text)
    if (turn === undefined) turns.set(one.text, [one])
    else turn.push(one)
  }
  return [...turns].flatMap(([text, members]) => {
    members.sort((a, b) => a.entry.start - b.entry.start || a.entry.pid - b.entry.pid)
    const oldest = members[0]
    if (oldest === undefined) return []
    const { marker } = oldest
    const program = members.find(({ entry }) => entry.pid === entry.session)?.entry
    const kin = follow({
      root: { pid: oldest.entry.pid, start: oldest.entry.start },
      marked: (found) => found === text
    })
    return [
      {
        pid: (program ?? oldest.entry).pid,
        epoch: marker.epoch,
        session: marker.session,
        ...(marker.turn === undefined ? {} : { turn: marker.turn }),
        reap: descend(kin, {
          grace: defaultGrace,
          killed: ({ pid, signal }) => Effect.logInfo("killed a process of an earlier run", { pid, signal })
        }),
        // What the program has left running, such as a server that it tried out, has no part in its answer.
        gone: program === undefined ? Effect.void : ended(program)
      }
    ]
  })
})
