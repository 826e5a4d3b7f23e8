/**
 * One process that speaks the protocol, from its start to its end: spawned in
 * the session's room, initialised within a bound, and then read until it ends.
 * Every request is raced against that end, so that a process which dies is an
 * error with its exit code and its last words, not a promise that never settles.
 */
import type { ClientContext, InitializeResponse, RequestPermissionResponse } from "@agentclientprotocol/sdk/unstable"
import * as Agent from "@sluice/runtime/Agent"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as Children from "../../Children.ts"
import { failed } from "../failure.ts"
import { AcpError, answered, loginRequired, toldOf } from "./failure.ts"
import { askedOf, type Asked, cancelled } from "./permission.ts"
import { type Facts, learn, updateOf } from "./updates.ts"
import * as Wire from "./wire.ts"

/** Who hears what the agent says; nobody does between turns. */
export interface Listener {
  readonly update: (update: Readonly<Record<string, unknown>>) => void
  readonly alive: () => void
  readonly permission: (asked: Asked) => Promise<RequestPermissionResponse>
}

/** A process that has initialised. */
export interface Connection {
  readonly program: string
  readonly can: Capabilities
  readonly facts: Facts
  /** Asks the agent; fails when it answers with an error and when it ends. */
  readonly request: <A>(method: string, params: unknown) => Effect.Effect<A, AcpError>
  readonly notify: (method: string, params: unknown) => Effect.Effect<void>
  /** The session that is listened to; set once it is known. */
  readonly belongsTo: (session: string) => void
  readonly listen: (listener: Listener | undefined) => void
  /** Reading waits while a turn is behind, and goes on. */
  readonly pause: () => void
  readonly resume: () => void
  /** Fails once the process has ended or broken the protocol. */
  readonly gone: Deferred.Deferred<never, AcpError>
  /** Closes the session by the protocol, where that is offered. The end of input follows with the process. */
  readonly close: Effect.Effect<void>
  /** The error of a process that did not do `what` in time. */
  readonly silent: (what: string, duration: Duration.Input) => Effect.Effect<Agent.AgentError>
}

/** What an agent said at its initialisation that it can do. */
export interface Capabilities {
  readonly load: boolean
  readonly resume: boolean
  readonly close: boolean
  readonly delete: boolean
  readonly images: boolean
  /** A system prompt with the session rather than as its first text. */
  readonly systemPrompt: boolean
  readonly steering: boolean
}

const capabilitiesOf = ({ agentCapabilities, _meta }: InitializeResponse): Capabilities => {
  const session = agentCapabilities?.sessionCapabilities
  const has = (value: unknown) => value !== undefined && value !== null && value !== false
  const steering = _meta?.["steering"] as { readonly supported?: unknown } | undefined
  return {
    load: agentCapabilities?.loadSession === true,
    resume: has(session?.resume),
    close: has(session?.close),
    delete: has(session?.delete),
    images: agentCapabilities?.promptCapabilities?.image === true,
    systemPrompt: has(session?.systemPrompt),
    steering: steering?.supported === true
  }
}

/** How a connection is made. */
export interface Options {
  readonly room: Children.Room
  readonly program: Children.Program
  readonly initTimeout: Duration.Input
  /** How it logs in, where it has to be told. */
  readonly authMethod: string | undefined
  /** Where reading goes on while the process ends: a pipe that nobody reads would hold it. */
  readonly readers: Scope.Scope
}

const statusOf = ({ code, signal }: Children.Status): string =>
  code === undefined ? `was ended by ${signal ?? "a signal"}` : `ended with code ${code}`

/** Says how the process ended, with its last words. */
const ending = Effect.fnUntraced(function* (child: Children.Child, name: string, how: "ended" | "too long") {
  if (how === "too long") {
    const problem = `sent a message of more than ${Wire.maxMessage} bytes`
    return new AcpError({ kind: "Garbled", program: name, problem })
  }
  const status = yield* Effect.timeoutOption(child.exited, "500 millis")
  const problem = Option.isSome(status) ? statusOf(status.value) : "closed its output"
  return new AcpError({ kind: "Exited", program: name, problem, stderr: (yield* child.errors).trim() })
})

const tooStray = (name: string, stray: Wire.Stray) =>
  new AcpError({
    kind: "Garbled",
    program: name,
    problem: `prints what is no message of the protocol: ${JSON.stringify(stray.first)}. Check its arguments: most agents need one that makes them speak ACP`
  })

/** Makes requests that end with the process. */
const requester = (
  name: string,
  context: ClientContext,
  gone: Deferred.Deferred<never, AcpError>,
  logins: () => ReadonlyArray<string>
) => {
  const toLogIn = () => {
    const methods = logins()
    return methods.length === 0 ? "" : ` or set authMethod to one of ${methods.join(", ")}`
  }
  const problemOf = (method: string, cause: unknown): AcpError => {
    const error = answered(cause)
    if (error === undefined) {
      const problem = `can't be asked (${method}): ${cause instanceof Error ? cause.message : String(cause)}`
      return new AcpError({ kind: "Garbled", program: name, problem })
    }
    return new AcpError({
      kind: error.code === loginRequired ? "LoginRequired" : "Refused",
      program: name,
      problem:
        error.code === loginRequired
          ? `needs a login, start it by hand once and log in${toLogIn()}: ${toldOf(error)}`
          : `answered ${method} with an error: ${toldOf(error)}`,
      code: Math.trunc(error.code)
    })
  }
  return <A>(method: string, params: unknown): Effect.Effect<A, AcpError> =>
    Effect.tryPromise({
      try: () => context.request<A>(method, params),
      catch: (cause) => problemOf(method, cause)
    }).pipe(
      // The SDK refuses what waits when its stream ends; why it ended is known here.
      Effect.catchIf(
        (error) => error.code === undefined,
        (error) =>
          Effect.flatMap(Deferred.isDone(gone), (isDone) => (isDone ? Deferred.await(gone) : Effect.fail(error)))
      ),
      Effect.raceFirst(Deferred.await(gone))
    )
}

/** The wire of a child, with who listens to it. */
const attach = Effect.fnUntraced(function* (child: Children.Child, name: string, readers: Scope.Scope) {
  const gone = yield* Deferred.make<never, AcpError>()
  const context = yield* Effect.context<never>()
  const facts: Facts = { model: undefined, spent: undefined }
  let listener: Listener | undefined
  let session: string | undefined
  let initialised = false
  const wire = Wire.make(child, {
    update: (params) => {
      const update = updateOf(params, session)
      if (update === undefined) return listener?.alive()
      learn(facts, update, listener !== undefined)
      listener?.update(update)
    },
    alive: () => listener?.alive(),
    stray: (stray) => {
      listener?.alive()
      const most = initialised ? Wire.maxStray.after : Wire.maxStray.before
      if (stray.bytes > most) Deferred.doneUnsafe(gone, Effect.fail(tooStray(name, stray)))
      if (!stray.isFirst) return
      Effect.runForkWith(context)(Effect.logDebug(`agent "${name}" prints what is no message`, stray.first))
    }
  })
  const read = Effect.gen(function* () {
    const how = yield* wire.run
    yield* Deferred.fail(gone, yield* ending(child, name, how))
    wire.close()
  }).pipe(
    // Whatever it sent that nobody thought of: nobody reads it any more, so nobody may wait for it either.
    Effect.catchDefect((defect) => {
      const problem = "sent something that can't be read; the log has the reason"
      const error = new AcpError({ kind: "Garbled", program: name, problem })
      return Effect.logError(`agent "${name}" can't be read any more`, defect).pipe(
        Effect.andThen(Deferred.fail(gone, error)),
        Effect.andThen(Effect.sync(wire.close))
      )
    })
  )
  yield* Effect.forkIn(read, readers)
  return {
    gone,
    facts,
    wire,
    isInitialised: () => (initialised = true),
    belongsTo: (id: string) => void (session = id),
    listen: (next: Listener | undefined) => void (listener = next),
    permission: (asked: Asked) => listener?.permission(asked) ?? Promise.resolve(cancelled)
  }
})

/** Gives what is asked of a connection a bound, which is told with the process's last words. */
export const within = <A>(
  connection: Connection,
  effect: Effect.Effect<A, Agent.AgentError>,
  bound: { readonly of: Duration.Input; readonly left: number }
): Effect.Effect<A, Agent.AgentError> =>
  Effect.timeoutOrElse(effect, {
    duration: bound.left,
    orElse: () => Effect.flatMap(connection.silent("open a session", bound.of), Effect.fail)
  })

/** The first exchange, within its bound. */
const initialised = Effect.fnUntraced(function* (
  request: ReturnType<typeof requester>,
  initTimeout: Duration.Input,
  silent: Connection["silent"],
  protocolVersion: number,
  name: string
) {
  const response = yield* request<InitializeResponse>("initialize", {
    protocolVersion,
    clientCapabilities: { fs: { readTextFile: false, writeTextFile: false }, terminal: false },
    clientInfo: { name: "sluice", version }
  }).pipe(
    Effect.mapError(failed),
    Effect.timeoutOrElse({
      duration: initTimeout,
      orElse: () => Effect.flatMap(silent('answer "initialize"', initTimeout), Effect.fail)
    })
  )
  if (response.protocolVersion === protocolVersion) return response
  const problem = `speaks version ${response.protocolVersion} of the protocol, this gateway speaks ${protocolVersion}: use another version of one of them`
  return yield* failed(new AcpError({ kind: "NotInitialised", program: name, problem }))
})

/** What the agent is told of who asks. Held equal to package.json by a test. */
export const version = "0.1.0"

/** Starts the program and brings it to the point where sessions can be opened. Its scope is the process's life. */
export const start = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<Connection, Agent.AgentError, Scope.Scope> {
  const name = options.program.argv.join(" ")
  const sdk = yield* Effect.promise(() => import("@agentclientprotocol/sdk/unstable"))
  const child = yield* Effect.mapError(options.room.start(options.program), failed)
  const attached = yield* attach(child, name, options.readers)
  const { gone, wire } = attached
  const connection = sdk
    .client({ name: "sluice" })
    .onRequest(
      sdk.methods.client.session.requestPermission,
      (params) => params,
      ({ params }) => {
        const asked = askedOf(params)
        if (asked === undefined) throw sdk.RequestError.invalidParams(undefined, "options are missing")
        return attached.permission(asked)
      }
    )
    .connect(wire.stream)
  // The SDK gives up a connection that it can't go on with: then the process is of no use either.
  void connection.closed.then(() => {
    const problem = "can't be talked with any more: its connection was closed"
    return Deferred.doneUnsafe(gone, Effect.fail(new AcpError({ kind: "Garbled", program: name, problem })))
  })
  // Nobody waits for a connection that is let go of: what it would still say is said by `gone`.
  yield* Effect.addFinalizer(() => Effect.sync(wire.close))
  let logins: ReadonlyArray<string> = []
  const request = requester(name, connection.agent, gone, () => logins)
  const silent = (what: string, duration: Duration.Input) => notInTime(what, duration, child, wire, name)
  const response = yield* initialised(request, options.initTimeout, silent, sdk.PROTOCOL_VERSION, name)
  attached.isInitialised()
  logins = (response.authMethods ?? []).map(({ id }) => id)
  const { authMethod } = options
  if (authMethod !== undefined) {
    const login = request(sdk.methods.agent.authenticate, { methodId: authMethod })
    yield* Effect.mapError(login, failed)
  }
  const can = capabilitiesOf(response)
  let session: string | undefined
  return {
    program: name,
    can,
    facts: attached.facts,
    request,
    notify: (method, params) => Effect.ignore(Effect.tryPromise(() => connection.agent.notify(method, params))),
    belongsTo: (id) => {
      session = id
      attached.belongsTo(id)
    },
    listen: attached.listen,
    pause: wire.pause,
    resume: wire.resume,
    gone,
    silent,
    close: Effect.gen(function* () {
      if (!can.close || session === undefined) return
      const left = yield* Effect.flatten(Agent.StopBudget)
      const close = Effect.exit(request(sdk.methods.agent.session.close, { sessionId: session }))
      yield* Effect.timeoutOption(close, Math.min(1000, left / 5))
    })
  }
})

/** It took too long to get ready. What it printed meanwhile mostly says why. */
const notInTime = Effect.fnUntraced(function* (
  what: string,
  duration: Duration.Input,
  child: Children.Child,
  wire: Wire.Wire,
  name: string
) {
  const stray = wire.stray()
  const heard = stray === undefined ? "" : `; it printed ${JSON.stringify(stray.first)}`
  const stderr = (yield* child.errors).trim()
  const limit = Duration.format(Duration.fromInputUnsafe(duration))
  const problem = `did not ${what} within ${limit}${heard}. Check its arguments (most agents need one that makes them speak ACP) or raise initTimeout`
  return failed(new AcpError({ kind: "NotInitialised", program: name, problem, stderr }))
})
