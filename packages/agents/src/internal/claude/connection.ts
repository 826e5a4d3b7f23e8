/**
 * One process of the CLI, from its start to its end: started in the session's
 * room, asked whether it is ready within a bound, and then read until it ends,
 * because between turns it speaks too. Requests go both ways over the same pipes
 * (`control_request`); one of ours that the process does not live to answer fails
 * with its exit code and its last words.
 */
import type * as Agent from "@sluice/runtime/Agent"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as Children from "../../Children.ts"
import { failed } from "../failure.ts"
import { ClaudeError, saysUnknown, told } from "./failure.ts"
import { maxMessage, type Message, messageOf, record, splitter, text, texts } from "./lines.ts"

/** Who hears what the CLI says; nobody does between turns. */
export interface Listener {
  readonly message: (message: Message) => void
  /** It asks for something; `answer` is called once, or never when nobody waits any more. */
  readonly asked: (request: Message, answer: (response: Message) => void) => void
  /** It does not wait for this answer any more. */
  readonly withdrawn: (id: string) => void
}

/** A process that is ready. */
export interface Connection {
  readonly program: string
  readonly send: (message: Message) => Effect.Effect<void>
  /** Asks the CLI for something and waits for its answer; fails when it refuses and when it ends. */
  readonly request: (request: Message) => Effect.Effect<Message, ClaudeError>
  readonly listen: (listener: Listener | undefined) => void
  /** Reading waits while a turn is behind, and goes on. */
  readonly pause: () => void
  readonly resume: () => void
  /** Fails once the process has ended. */
  readonly gone: Deferred.Deferred<never, ClaudeError>
}

/** How much that is no message is put up with, in bytes: before the first message, and between two. */
const maxStray = { first: 64 * 1024, later: 16 * 1024 * 1024 }

/** How long an output may be quiet whose process has ended, in milliseconds. */
const late = 250

const shortened = (line: string): string => (line.length > 200 ? `${line.slice(0, 200)}...` : line)

/** What of a process's output tells why it ended. */
interface Heard {
  /** A line that did not end. */
  tooLong: boolean
  /** More than can be put up with that is no message. */
  noise: boolean
  /** The first line since the last message that was none. */
  stray: string | undefined
  readonly spoken: () => boolean
  /** Why the last turn failed. */
  errors: ReadonlyArray<string>
}

/** Why the process ended, in words that say what to do where that is known. */
const ending = Effect.fnUntraced(function* (child: Children.Child, name: string, heard: Heard) {
  if (heard.tooLong) {
    return new ClaudeError({ kind: "Garbled", program: name, problem: `sent a line of more than ${maxMessage} bytes` })
  }
  const status = heard.noise ? Option.none() : yield* Effect.timeoutOption(child.exited, "500 millis")
  const stderr = (yield* child.errors).trim()
  const said = [stderr, ...heard.errors].join("\n")
  const error = (kind: ClaudeError["kind"], problem: string) =>
    new ClaudeError({ kind, program: name, problem, stderr })
  if (saysUnknown(said)) return error("HistoryGone", "does not know the conversation any more")
  const option = /unknown option '?([^'\s]+)/.exec(said)?.[1]
  if (option !== undefined) {
    return error("Outdated", `does not know the option ${option}: it is older than what is needed here, update it`)
  }
  if (heard.noise) {
    return error("Garbled", `prints what is no message: ${JSON.stringify(heard.stray)}: is it the Claude Code CLI?`)
  }
  if (heard.stray !== undefined && !heard.spoken()) {
    return error("Garbled", `ended after it had printed ${JSON.stringify(heard.stray)}: is it the Claude Code CLI?`)
  }
  if (Option.isNone(status)) return error("Exited", "closed its output")
  const { code, signal } = status.value
  const how = code === undefined ? `was ended by ${signal ?? "a signal"}` : `ended with code ${code}`
  return error("Exited", heard.errors.length === 0 ? how : `${how} (${heard.errors.join("; ")})`)
})

/** The answer to a request of the CLI's. */
const answerTo = (id: string, response: Message): Message => ({
  type: "control_response",
  response: { subtype: "success", request_id: id, response }
})

const refusalOf = (id: string, error: string): Message => ({
  type: "control_response",
  response: { subtype: "error", request_id: id, error }
})

type Waiting = Map<string, Deferred.Deferred<Message, ClaudeError>>

/** Hands an answer of the CLI's to who asked. */
const settle = (waiting: Waiting, name: string, message: Message): void => {
  const response = record(message, "response")
  const id = text(response, "request_id") ?? ""
  const done = waiting.get(id)
  if (response === undefined || done === undefined) return
  waiting.delete(id)
  const problem = `refused a request: ${text(response, "error") ?? "it does not say why"}`
  Deferred.doneUnsafe(
    done,
    text(response, "subtype") === "error"
      ? Effect.fail(new ClaudeError({ kind: "Unfinished", program: name, problem }))
      : Effect.succeed(record(response, "response") ?? {})
  )
}

/** Reads the process until it ends, and tells who listens. */
const attach = (child: Children.Child, name: string) => {
  const gone = Deferred.makeUnsafe<never, ClaudeError>()
  const flow = Latch.makeUnsafe(true)
  const waiting: Waiting = new Map()
  const split = splitter()
  const heard: Heard = { tooLong: false, noise: false, stray: undefined, spoken: () => spoken, errors: [] }
  let strayBytes = 0
  let spoken = false
  let listener: Listener | undefined
  const send = (message: Message) => child.send(`${JSON.stringify(message)}\n`)
  const reply = (message: Message) => Effect.runSync(send(message))

  const asked = (message: Message): void => {
    const id = text(message, "request_id")
    const request = record(message, "request")
    if (id === undefined || request === undefined) return
    if (text(request, "subtype") !== "can_use_tool") return reply(refusalOf(id, "not offered here"))
    // Nobody is there who could be asked.
    if (listener === undefined) return reply(answerTo(id, { behavior: "deny", message: "Nobody can be asked now." }))
    listener.asked({ ...request, request_id: id }, (response) => reply(answerTo(id, response)))
  }

  const onLine = (line: string): Effect.Effect<void> => {
    const message = messageOf(line)
    if (message === undefined) {
      const first = strayBytes === 0
      strayBytes += line.length
      heard.stray ??= shortened(line)
      return first ? Effect.logDebug(`agent "${name}" prints what is no message`, shortened(line)) : Effect.void
    }
    spoken = true
    strayBytes = 0
    heard.stray = undefined
    switch (text(message, "type")) {
      case "control_response":
        settle(waiting, name, message)
        break
      case "control_request":
        asked(message)
        break
      case "control_cancel_request":
        listener?.withdrawn(text(message, "request_id") ?? "")
        break
      case "result":
        heard.errors = texts(message, "errors") ?? []
        listener?.message(message)
        break
      default:
        listener?.message(message)
    }
    return Effect.void
  }

  const read = Effect.gen(function* () {
    let exited = false
    while (true) {
      yield* flow.await
      // Its last words may still be on their way when it has ended; who holds its output open has nothing to say.
      const next: Option.Option<Children.Piece> = yield* exited
        ? Effect.timeoutOption(child.read, late)
        : Effect.asSome(child.read)
      if (Option.isNone(next)) break
      const piece: Children.Piece = next.value
      if (piece._tag === "End") break
      if (piece._tag === "Exited") exited = true
      if (piece._tag !== "Bytes") continue
      const lines = split(piece.bytes)
      heard.tooLong = lines === undefined
      if (lines === undefined) break
      for (const line of lines) yield* onLine(line)
      heard.noise = strayBytes > (spoken ? maxStray.later : maxStray.first)
      if (heard.noise) break
    }
    const error = yield* ending(child, name, heard)
    yield* Deferred.fail(gone, error)
    for (const done of waiting.values()) Deferred.doneUnsafe(done, Effect.fail(error))
  }).pipe(
    // Whatever it sent that nobody thought of: nobody reads it any more, so nobody may wait for it either.
    Effect.catchDefect((defect) => {
      const problem = "sent something that can't be read; the log has the reason"
      return Effect.andThen(
        Effect.logError(`agent "${name}" can't be read any more`, defect),
        Deferred.fail(gone, new ClaudeError({ kind: "Garbled", program: name, problem }))
      )
    })
  )

  let requests = 0
  const connection: Connection = {
    program: name,
    send,
    request: (request) =>
      Effect.suspend(() => {
        const id = `sluice-${++requests}`
        const done = Deferred.makeUnsafe<Message, ClaudeError>()
        waiting.set(id, done)
        return send({ type: "control_request", request_id: id, request }).pipe(
          Effect.andThen(Effect.raceFirst(Deferred.await(done), Deferred.await(gone))),
          Effect.ensuring(Effect.sync(() => waiting.delete(id)))
        )
      }),
    listen: (next) => {
      listener = next
    },
    pause: () => flow.closeUnsafe(),
    resume: () => flow.openUnsafe(),
    gone
  }
  return { connection, read, stray: () => heard.stray }
}

/** How a process is started. */
export interface Options {
  readonly room: Children.Room
  readonly program: Children.Program
  readonly initTimeout: Duration.Input
  /** Where reading goes on while the process ends: a pipe that nobody reads would hold it. */
  readonly readers: Scope.Scope
}

/** Starts the CLI and waits until it is ready. Its scope is the process's life. */
export const start = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<Connection, Agent.AgentError, Scope.Scope> {
  const name = options.program.argv[0]
  const child = yield* Effect.mapError(options.room.start(options.program), failed)
  const { connection, read, stray } = attach(child, name)
  yield* Effect.forkIn(read, options.readers)
  const silent = Effect.gen(function* () {
    const printed = stray()
    const limit = Duration.format(Duration.fromInputUnsafe(options.initTimeout))
    const heard = printed === undefined ? "" : `; it printed ${JSON.stringify(printed)}`
    return yield* new ClaudeError({
      kind: "NotInitialised",
      program: name,
      problem: `was not ready within ${limit}${heard}: is it the Claude Code CLI?`,
      stderr: (yield* child.errors).trim()
    })
  })
  yield* connection
    .request({ subtype: "initialize" })
    .pipe(Effect.timeoutOrElse({ duration: options.initTimeout, orElse: () => silent }), Effect.mapError(told))
  return connection
})
