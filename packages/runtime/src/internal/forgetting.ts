/**
 * Forgetting beyond the journal's transaction: the sessions let go of their agents,
 * the agents delete what they have stored, files go, and the store's own files are
 * cleaned. Whatever of it does not succeed, or is cut off by a crash, is noted in the
 * store and tried again, at the next start and every hour.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Semaphore from "effect/Semaphore"
import { Attachments } from "../Attachments.ts"
import { type Forgotten, Journal, type JournalError, type PendingForget } from "../Journal.ts"
import type { Conversation } from "../Message.ts"
import { Outbox } from "../Outbox.ts"
import { Sessions } from "../Sessions.ts"
import { Bursts } from "./bursts.ts"
import { Registered } from "./registry.ts"

/** What came of it. */
export interface ForgetReport {
  /** Sessions that the conversation had, messages that waited and were cancelled, files that were deleted. */
  readonly sessions: number
  readonly cancelled: number
  readonly files: number
  /** What is still to be done, and is tried again every hour: an agent that failed, a log that somebody reads. */
  readonly left: ReadonlyArray<string>
}

/** See the header. */
export class Forgetting extends Context.Service<
  Forgetting,
  {
    /** A command has forgotten a conversation: memory follows, the rest is done in the background. */
    readonly follow: (forgotten: Forgotten) => Effect.Effect<void>
    /** Forgets a conversation; `undefined` when there is none. Completes when everything is done that can be. */
    readonly conversation: (address: Conversation) => Effect.Effect<ForgetReport | undefined, JournalError>
    /** Finishes what was left. */
    readonly rest: Effect.Effect<void>
  }
>()("@sluice/runtime/internal/Forgetting") {}

// An agent's own bound for letting go is shorter; one that has none must not hold up the rest.
const patience = "30 seconds"

/** A reader of the store stands in the way of the log for two seconds at most. */
const readers = { schedule: Schedule.spaced("500 millis"), times: 5 }

const make = Effect.gen(function* () {
  const journal = yield* Journal
  const outbox = yield* Outbox
  const sessions = yield* Sessions
  const bursts = yield* Bursts
  const registered = yield* Registered
  const attachments = yield* Effect.serviceOption(Attachments)
  const run = yield* FiberSet.makeRuntime<never>()
  const one = Semaphore.makeUnsafe(1)

  /** Memory follows the commit: what was cancelled leaves the bursts and the lines, and agents let go. */
  const leave = Effect.fnUntraced(function* ({ cancelled, turns }: Forgotten) {
    for (const session of new Set(cancelled.map((row) => row.session))) {
      const gone = new Set(cancelled.flatMap((row) => (row.session === session ? [row.seq] : [])))
      const discarded = yield* bursts.discard(session, (row) => gone.has(row.seq))
      if (discarded.length > 0) sessions.withdrawnUnsafe(session, discarded.length)
      yield* sessions.cancelled(session, [...gone])
    }
    for (const { id, session } of turns) yield* sessions.ended(session, id, "forget")
  })

  /** An agent deletes what it has; says what went wrong. */
  const byAgent = Effect.fnUntraced(function* ({ agent: name, kept, session }: PendingForget) {
    const agent = registered.entries.agents.get(name)
    const closed = yield* Effect.timeoutOption(sessions.letGo(session.id), patience)
    if (Option.isNone(closed)) return `agent "${name}" has not let go`
    if (agent?.forget !== undefined) {
      const { epoch, instance } = journal.opening
      const about = { id: session.id, conversation: session.conversationKey, instance, epoch }
      const forget = Effect.suspend(() => agent.forget?.(about, kept) ?? Effect.void)
      const done = yield* forget.pipe(
        Effect.timeout(patience),
        Effect.as(true),
        Effect.catchCause((cause) =>
          Effect.as(
            Effect.logWarning("An agent could not forget a session; it is asked again in an hour", cause).pipe(
              Effect.annotateLogs({ agent: name, session: session.id })
            ),
            false
          )
        )
      )
      if (!done) return `agent "${name}" failed`
    }
    yield* journal.forget({ _tag: "Agent", session: session.id, agent: name })
    return undefined
  })

  /** Deletes files; says what went wrong. At once: the same file may be sent again, by somebody else, a moment later. */
  const remove = (files: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<string>> =>
    Option.isNone(attachments) || files.length === 0
      ? Effect.succeed([])
      : // What stays behind belongs to no row, and the sweep finds it.
        Effect.map(Effect.exit(attachments.value.remove(files)), ({ _tag }) =>
          _tag === "Failure" ? ["files of attachments"] : []
        )

  const clean: Effect.Effect<ReadonlyArray<string>, JournalError> = Effect.gen(function* () {
    const left: Array<string> = []
    for (const pending of (yield* journal.pendingForgets) ?? []) {
      const failed = yield* byAgent(pending)
      if (failed !== undefined) left.push(failed)
    }
    const scrubbed = yield* Effect.repeat(journal.scrub, { ...readers, until: (done: boolean) => done })
    if (!scrubbed) left.push("the write-ahead log, which somebody reads")
    return left
  }).pipe(one.withPermits(1))

  const quietly = (removed: Effect.Effect<ReadonlyArray<string>>): Effect.Effect<void> =>
    Effect.zipWith(removed, clean, (files, others) => [...files, ...others]).pipe(
      Effect.flatMap((left) =>
        left.length === 0
          ? Effect.void
          : Effect.logWarning("Not everything is forgotten yet; it is tried again in an hour").pipe(
              Effect.annotateLogs({ left })
            )
      ),
      // The journal has told the program of its failure; a closed one leaves it to the next boot.
      Effect.catch((error) => Effect.logDebug("Forgetting goes on at the next start", error))
    )

  const forget = Effect.fnUntraced(function* (address: Conversation) {
    const forgotten = yield* journal.forget({ _tag: "Conversation", address, placeholder: outbox.noReply })
    if (forgotten === undefined) return undefined
    const { cancelled, files, sessions } = forgotten
    const removed = run(remove(files))
    yield* leave(forgotten)
    const left = [...(yield* Fiber.join(removed)), ...(yield* clean)]
    return { sessions: sessions.length, cancelled: cancelled.length, files: files.length, left }
  })

  return Forgetting.of({
    follow: (forgotten) =>
      Effect.suspend(() => {
        const removed = run(remove(forgotten.files))
        return Effect.tap(leave(forgotten), () => Effect.sync(() => run(quietly(Fiber.join(removed)))))
      }),
    // In a fiber of its own: who asked may leave, and what is committed has to be followed all the same.
    conversation: (address) => Effect.suspend(() => Fiber.join(run(forget(address)))),
    rest: Effect.flatMap(Effect.exit(journal.pendingForgets), (found) =>
      found._tag === "Success" && found.value !== undefined ? quietly(Effect.succeed([])) : Effect.void
    )
  })
})

/** Forgetting over the journal and the live sessions. */
export const forgettingLayer = Layer.effect(Forgetting, make)
