/**
 * A person's side of a conversation: what is typed goes out with an id that
 * stays until it is accepted, what comes in is shown once by its number, and a
 * gateway that restarts in between costs a line on the screen. Three loops that
 * only share a cursor: sending, listening, and the keys that interrupt.
 */
import { type Accepted, sizeText } from "@sluice/runtime/Message"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { visible } from "../visible.ts"
import type { Away, Declined, IncomingFile, Line, LineEvent, Outgoing } from "./line.ts"
import { type Screen, Transcript } from "./transcript.ts"

/** Why a conversation can't go on: nobody is there, the credentials are not known, or this conversation can't be. */
export class ChatError extends Data.TaggedError("ChatError")<{
  readonly reason: "Unreachable" | "Denied" | "Refused"
  readonly message: string
}> {}

/** How it went: messages accepted, messages that will never be, and what was typed and not accepted by anybody. */
export interface Farewell {
  readonly accepted: number
  readonly refused: number
  readonly unsent: ReadonlyArray<string>
}

/** What a conversation is held with. */
export interface Options {
  readonly line: Line
  readonly screen: Screen
  /** Messages, each as it is to be sent. Its end is the person's wish to leave. */
  readonly input: Stream.Stream<string>
  /** Each is a Ctrl-C. */
  readonly interrupts: Stream.Stream<void>
  readonly nextId: Effect.Effect<string>
  readonly after: number | "latest"
  /** At the end of the input: leave, or wait until everything that was sent has its end. */
  readonly whenInputEnds: "leave" | "wait"
  /** Whether answers are shown while they are being written. */
  readonly streaming: boolean
  /** A line that is shown once it is connected. */
  readonly opening?: string | undefined
  /** Where a file of a reply is found. */
  readonly whereFile?: ((file: IncomingFile) => string | undefined) | undefined
  /** Learns the number of the last reply that was shown. */
  readonly remember?: (cursor: number) => void
}

const firstWait = 100
const longestWait = 2000
/** A person who leaves waits at most this long for what was typed last. */
const partingWait = "1 second"

/** One conversation. */
class Dialogue {
  readonly options: Options
  readonly transcript: Transcript
  readonly cursor: SubscriptionRef.SubscriptionRef<number>
  readonly connected = Deferred.makeUnsafe<void>()
  readonly outbox: Queue.Queue<Outgoing>
  readonly unsent = new Map<string, Outgoing>()
  /** Open while nothing of what was typed is on its way. */
  readonly allSent = Latch.makeUnsafe(true)
  /** What is waited for at the end; kept only when somebody will wait. */
  readonly sent: Array<{ readonly message: Outgoing; readonly accepted: Accepted }> = []
  accepted = 0
  /** Ids of own messages that no reply has answered yet. */
  readonly open = new Set<string>()
  position: number | "latest"
  refused = 0
  away: "no" | "stopping" | "lost" = "no"
  /** Sessions that have something to do, by their keys. */
  readonly working = new Set<string>()
  /** Sessions whose turn waits for its next try, or to be resumed. */
  readonly trying = new Set<string>()
  /** The next Ctrl-C leaves. */
  armed = false
  choices: ReadonlyArray<string> = []

  /** Says that something is being done, until it is not. */
  shows(working: boolean): Effect.Effect<void> {
    return this.options.screen.working?.(working) ?? Effect.void
  }

  /** It is typed and not accepted. */
  begin(message: Outgoing): void {
    this.unsent.set(message.id, message)
    this.allSent.closeUnsafe()
    this.open.add(message.id)
  }

  /** It is accepted, or never will be. */
  end(message: Outgoing): void {
    this.unsent.delete(message.id)
    if (this.unsent.size === 0) this.allSent.openUnsafe()
  }

  constructor(options: Options, cursor: SubscriptionRef.SubscriptionRef<number>, outbox: Queue.Queue<Outgoing>) {
    this.options = options
    this.cursor = cursor
    this.outbox = outbox
    this.position = options.after
    this.transcript = new Transcript(options.screen, options.streaming)
  }
}

const show = Effect.fnUntraced(function* (dialogue: Dialogue, event: LineEvent) {
  const { transcript } = dialogue
  switch (event._tag) {
    case "Ready": {
      dialogue.position = event.after
      yield* SubscriptionRef.set(dialogue.cursor, event.after)
      const first = yield* Deferred.succeed(dialogue.connected, undefined)
      if (first && dialogue.options.opening !== undefined) yield* transcript.note(dialogue.options.opening)
      if (dialogue.away === "no" || event.stopping) return
      dialogue.away = "no"
      return yield* transcript.note("(connected again)")
    }
    case "Stopping": {
      if (dialogue.away !== "no") return
      dialogue.away = "stopping"
      return yield* transcript.note("(the gateway is stopping; messages are safe and answered when it is back)")
    }
    case "Reply": {
      const { reply } = event
      // shown before: this connection began further back than the last one ended
      if (typeof dialogue.position === "number" && reply.number <= dialogue.position) return
      for (const id of reply.inReplyTo) dialogue.open.delete(id)
      yield* transcript.reply(reply)
      for (const file of reply.attachments ?? []) {
        const where = dialogue.options.whereFile?.(file)
        const lies = where === undefined ? "" : ` at ${visible(where, 1000)}`
        yield* transcript.note(`[file: ${visible(file.name ?? file.hash)}, ${sizeText(file.size)}${lies}]`)
      }
      dialogue.position = reply.number
      dialogue.options.remember?.(reply.number)
      return yield* SubscriptionRef.set(dialogue.cursor, reply.number)
    }
    case "Happened": {
      const { progress } = event
      if (progress._tag === "State") {
        const { session, state } = progress
        if (state.name === "idle" || state.name === "suspended") dialogue.working.delete(session)
        else dialogue.working.add(session)
        // nothing is done in it, but its turn is tried again, and that can be stopped
        if (state.name === "suspended") dialogue.trying.add(session)
        else dialogue.trying.delete(session)
        // some messages end without a reply; with nothing running none of them is open any more
        if (dialogue.working.size === 0) dialogue.open.clear()
        // who is asked something is not waited for
        yield* dialogue.shows(dialogue.working.size > 0 && state.name !== "waiting")
      }
      if (progress._tag === "Permission") dialogue.choices = progress.options
      if (progress._tag === "TurnEnded") dialogue.choices = []
      return yield* transcript.happened(progress)
    }
  }
})

const denied = (error: Declined) =>
  new ChatError({ reason: error.denied ? "Denied" : "Refused", message: error.reason })

/** Listens for as long as the conversation goes on. Only a gateway that was never there, or says no, ends it. */
const listening = Effect.fnUntraced(function* (dialogue: Dialogue) {
  let wait = firstWait
  while (true) {
    const before = yield* Clock.monotonicTimeNanos
    const end = yield* Effect.result(
      Stream.runForEach(dialogue.options.line.listen(dialogue.position), (event) => show(dialogue, event))
    )
    const error = end._tag === "Failure" ? end.failure : undefined
    if (error?._tag === "Declined") return yield* denied(error)
    if (!Deferred.isDoneUnsafe(dialogue.connected)) {
      return yield* new ChatError({ reason: "Unreachable", message: error?.reason ?? "the connection was closed" })
    }
    yield* dialogue.transcript.cut
    dialogue.working.clear()
    dialogue.trying.clear()
    yield* dialogue.shows(false)
    if (dialogue.away === "no") {
      dialogue.away = "lost"
      yield* dialogue.transcript.note("(connection lost; trying again)")
    }
    // a connection that held for a while begins the waits anew
    if ((yield* Clock.monotonicTimeNanos) - before > 5_000_000_000n) wait = firstWait
    yield* Effect.sleep(error?.retryAfter ?? wait)
    wait = Math.min(longestWait, wait * 2)
  }
})

/** Repeats what fails with `Away` until it does not. */
const persistently = <A>(
  effect: Effect.Effect<A, Declined | Away>,
  told: (error: Away) => Effect.Effect<void>
): Effect.Effect<A, Declined> => {
  const attempt = (wait: number): Effect.Effect<A, Declined> =>
    Effect.catchTag(effect, "Away", (error) =>
      Effect.andThen(
        Effect.andThen(told(error), Effect.sleep(error.retryAfter ?? wait)),
        Effect.suspend(() => attempt(Math.min(longestWait, wait * 2)))
      )
    )
  return attempt(firstWait)
}

/** Sends one message until it is accepted or refused for good; always with the same id. */
const send = Effect.fnUntraced(function* (dialogue: Dialogue, message: Outgoing) {
  const { line, screen } = dialogue.options
  let said = false
  const outcome = yield* Effect.result(
    persistently(line.send(message), (error) => {
      if (said || dialogue.away !== "no") return Effect.void
      said = true
      return dialogue.transcript.note(`(not accepted yet: ${error.reason}; trying again)`)
    })
  )
  if (outcome._tag === "Failure") {
    dialogue.refused++
    dialogue.end(message)
    if (outcome.failure.denied) return yield* denied(outcome.failure)
    return yield* dialogue.transcript.note(`(not accepted: ${outcome.failure.reason})`)
  }
  const accepted = outcome.success
  dialogue.accepted++
  if (dialogue.options.whenInputEnds === "wait") dialogue.sent.push({ message, accepted })
  // last: who waits for it goes on in this very step
  dialogue.end(message)
  const held = accepted.held === true
  if (held && dialogue.away === "no") {
    yield* dialogue.transcript.note("(accepted; answered after the gateway's restart)")
  }
  yield* screen.accepted?.({ ...message, duplicate: accepted.duplicate, held }) ?? Effect.void
})

const sending = (dialogue: Dialogue) =>
  Effect.andThen(
    Deferred.await(dialogue.connected),
    Effect.forever(Effect.flatMap(Queue.take(dialogue.outbox), (message) => send(dialogue, message)))
  )

/** A number is an answer to the question that is open, if there is one. */
const meant = (dialogue: Dialogue, text: string): string => {
  const choice = /^[0-9]{1,3}$/.test(text.trim()) ? dialogue.choices[Number(text.trim()) - 1] : undefined
  if (choice === undefined) return text
  dialogue.choices = []
  return choice
}

const typing = (dialogue: Dialogue) =>
  Stream.runForEach(dialogue.options.input, (text) =>
    text.trim() === ""
      ? Effect.void
      : Effect.flatMap(dialogue.options.nextId, (id) => {
          const message = { id, text: meant(dialogue, text) }
          dialogue.armed = false
          dialogue.begin(message)
          return Queue.offer(dialogue.outbox, message)
        })
  )

/** Completes at the second Ctrl-C. The first one stops what runs. */
const interrupting = (dialogue: Dialogue) =>
  Stream.concat(dialogue.options.interrupts, Stream.never).pipe(
    Stream.mapEffect(
      Effect.fnUntraced(function* () {
        if (dialogue.armed) return true
        dialogue.armed = true
        if (dialogue.working.size + dialogue.trying.size + dialogue.open.size === 0) {
          yield* dialogue.transcript.note("(nothing is running; Ctrl-C again or Ctrl-D leaves)")
          return false
        }
        yield* dialogue.transcript.note("(stopping; Ctrl-C again leaves)")
        dialogue.open.clear()
        const message = { id: yield* dialogue.options.nextId, text: "/stop" }
        // Past what waits to be sent: it is meant for what runs now. What fails it fails the listening too.
        yield* Effect.forkScoped(Effect.ignore(send(dialogue, message)))
        return false
      })
    ),
    Stream.takeUntil((leave) => leave),
    Stream.runDrain
  )

/** Everything accepted has its end, and its replies are on the screen. */
const answered = Effect.fnUntraced(function* (dialogue: Dialogue) {
  yield* dialogue.allSent.await
  for (const { accepted, message } of dialogue.sent) {
    const number = yield* persistently(dialogue.options.line.ended(message, accepted), () => Effect.void).pipe(
      Effect.mapError(denied)
    )
    yield* SubscriptionRef.changes(dialogue.cursor).pipe(
      Stream.takeUntil((cursor) => cursor >= number),
      Stream.runDrain
    )
  }
})

/** Holds a conversation until the person leaves. */
export const hold = Effect.fnUntraced(function* (options: Options) {
  const cursor = yield* SubscriptionRef.make(typeof options.after === "number" ? options.after : 0)
  const outbox = yield* Queue.bounded<Outgoing>(64)
  const dialogue = new Dialogue(options, cursor, outbox)
  const parting =
    options.whenInputEnds === "wait" ? answered(dialogue) : Effect.timeoutOption(dialogue.allSent.await, partingWait)
  yield* Effect.raceAllFirst([
    listening(dialogue),
    sending(dialogue),
    Effect.andThen(typing(dialogue), parting),
    interrupting(dialogue)
  ])
  const unsent = [...dialogue.unsent.values()].map(({ text }) => text)
  for (const text of unsent) yield* dialogue.transcript.note(`(not sent: ${visible(text)})`)
  const farewell: Farewell = { accepted: dialogue.accepted, refused: dialogue.refused, unsent }
  return farewell
}, Effect.scoped)
