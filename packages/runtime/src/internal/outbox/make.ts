/**
 * Puts the outbox together: the doorbell, the readers, the lanes, and the state
 * that a boot takes over. The journal is the truth throughout; what is here is a
 * cache over its rows and the timers for what has to wait.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { Channel } from "../../Channel.ts"
import { Journal, type JournalError, type ReplyRow } from "../../Journal.ts"
import { Notices, type Speaker } from "../../Notices.ts"
import type { HeldChannel, OutboxOptions, OutboxShape, Recipient, Recovered } from "../../Outbox.ts"
import { Registered } from "../registry.ts"
import * as Ages from "./age.ts"
import { answerOf, draftOf, parts, routeOf, textOf } from "./compose.ts"
import { classify, type Desk, run } from "./deliver.ts"
import * as Dispatch from "./dispatch.ts"
import type { ConversationLane, Placeholder } from "./lane.ts"
import * as Readers from "./readers.ts"
import { restarts } from "./restarts.ts"

/** Replies that a boot looks at at a time. */
const window = 256
/** How long the layer's release waits for what it interrupted. */
const letGoWithin = 2_000

const heldOf = (dispatch: Dispatch.Dispatch): ReadonlyArray<HeldChannel> =>
  [...dispatch.ports()].flatMap((port) => port.hold(dispatch.now()) ?? [])

/** Takes over what an earlier boot owes: waits, then replies in windows; what was in flight is classed at once. */
const recovery = (desk: Desk, offer: (row: ReplyRow) => ConversationLane) =>
  Effect.gen(function* (): Effect.fn.Return<Recovered, JournalError> {
    const { journal, counts } = desk
    const dispatch = desk.dispatch()
    for (const { channel, conversation, left } of yield* journal.throttles) {
      if (conversation === undefined) dispatch.delayPort(dispatch.port(channel), left)
      else dispatch.remember(conversation, left)
    }
    const before = counts.unknown
    let [owed, inFlight, after] = [0, 0, 0]
    while (true) {
      const rows = yield* journal.owed(after, window)
      owed += rows.length
      for (const row of rows) {
        after = row.id
        const lane = offer(row)
        const channel = lane.port.channel
        if (!row.cut) continue
        inFlight++
        if (channel !== undefined) yield* classify(desk, lane, row, channel)
      }
      if (rows.length < window) break
    }
    dispatch.open()
    const held = heldOf(dispatch)
    for (const { channel, conversations, why } of held) {
      if (why === "unconfigured")
        yield* Effect.logWarning(desk.speaker.say("heldChannel", { channel, conversations }).text)
    }
    return { owed, inFlight, unknown: counts.unknown - before, held }
  })

/** Placeholders of running turns, and what is shown in them. */
const placeholders = (
  desk: Desk,
  channelOf: (name: string) => { readonly delivery: { readonly _tag: string } } | undefined
) => {
  const turns = new Map<number, { readonly lane: ConversationLane; readonly placeholder: Placeholder }>()
  const begin = Effect.fnUntraced(function* (
    turn: number,
    to: Recipient
  ): Effect.fn.Return<void, JournalError, Scope.Scope> {
    if (channelOf(to.address.channel)?.delivery._tag !== "Edit") return
    yield* Effect.acquireRelease(
      Effect.map(desk.journal.reserve(turn), (row) => {
        // Another end won meanwhile: there is nothing to show.
        if (row === undefined) return undefined
        const dispatch = desk.dispatch()
        const lane = dispatch.lane(to.conversation, to.address)
        const placeholder: Placeholder = { turn, row, text: undefined, lost: false, over: false }
        lane.placeholders.set(row.id, placeholder)
        turns.set(turn, { lane, placeholder })
        dispatch.schedule(lane)
        return { lane, placeholder }
      }),
      (entry) =>
        Effect.sync(() => {
          if (entry === undefined) return
          const { lane, placeholder } = entry
          // A later attempt of the turn may have its own entry for the same row by now.
          if (lane.placeholders.get(placeholder.row.id) === placeholder) lane.placeholders.delete(placeholder.row.id)
          if (turns.get(turn)?.placeholder === placeholder) turns.delete(turn)
          desk.dispatch().schedule(lane)
        })
    )
  })
  const progress = (turn: number, text: string) =>
    Effect.sync(() => {
      const entry = turns.get(turn)
      if (entry === undefined || !entry.lane.placeholders.has(entry.placeholder.row.id)) return
      entry.placeholder.text = text
      desk.dispatch().schedule(entry.lane)
    })
  const leave = Effect.fnUntraced(function* (turn: number, to: Recipient, text: string) {
    if (channelOf(to.address.channel)?.delivery._tag !== "Edit") return
    const row = yield* desk.journal.reserve(turn)
    // Nothing stands there yet that it could be shown in.
    if (row?.remoteId === undefined) return
    const dispatch = desk.dispatch()
    const lane = dispatch.lane(to.conversation, to.address)
    lane.placeholders.set(row.id, { turn, row, text, lost: false, over: true })
    dispatch.schedule(lane)
  })
  return { begin, leave, progress }
}

/** How answers are drafted for their channels. */
const answering = (
  speaker: Speaker,
  channelOf: (name: string) => Channel<unknown> | undefined
): Pick<OutboxShape, "answer" | "carriesFiles" | "noReply"> => ({
  noReply: speaker.say("noReply", {}).text,
  carriesFiles: (address) => channelOf(address.channel)?.files === true,
  answer: (address, text, attachments = []) => answerOf(speaker, channelOf(address.channel), text, attachments)
})

/** Stores a sentence for a conversation. */
const notifying =
  (
    { journal, speaker, wallNow }: Desk,
    channelOf: (name: string) => Channel<unknown> | undefined
  ): OutboxShape["notify"] =>
  (to, id, values, since) =>
    Effect.suspend(() => {
      const said = speaker.say(id, values)
      if (said.audience === "operator") return Effect.logWarning(textOf(said))
      const channel = channelOf(to.address.channel)
      return Effect.asVoid(
        journal.notice({
          conversation: to.conversation,
          notice: id,
          parts: parts(channel, textOf(said)),
          route: routeOf(channel),
          expiresAt: said.expiresAfter === undefined ? undefined : wallNow() + said.expiresAfter,
          cap: said.cap,
          ...(since === undefined ? {} : { since })
        })
      )
    })

export const makeOutbox = Effect.fnUntraced(function* (
  options: OutboxOptions
): Effect.fn.Return<OutboxShape, never, Journal | Registered | Scope.Scope> {
  const journal = yield* Journal
  const registered = yield* Registered
  const speaker = yield* Notices
  const clock = yield* Clock.Clock
  const ages = yield* Ages.make
  const failed = Deferred.makeUnsafe<unknown>()
  const millis = (input: Duration.Input | undefined, otherwise: number) =>
    input === undefined ? otherwise : Duration.toMillis(Duration.fromInputUnsafe(input))
  const channelOf = (name: string) => registered.entries.channels.get(name)
  const showEvery = millis(options.progressEvery, 1_000)

  const desk: Desk = {
    journal,
    speaker,
    ages,
    dispatch: () => dispatch,
    bounds: {
      base: millis(options.backoff?.base, 1_000),
      cap: millis(options.backoff?.cap, 300_000),
      deadAfter: millis(options.deadAfter, 86_400_000)
    },
    timeout: millis(options.deliverTimeout, 60_000),
    showEvery,
    wallNow: () => clock.currentTimeMillisUnsafe(),
    counts: { sent: 0, unknown: 0, dead: 0, retried: 0 }
  }
  const dispatch: Dispatch.Dispatch = yield* Dispatch.make({
    concurrency: options.concurrency ?? 16,
    showEvery,
    wallNow: desk.wallNow,
    find: channelOf,
    run: (lane) =>
      run(desk, lane).pipe(
        // The journal's failure ends the program; its rows are where the next boot looks.
        Effect.catch((error) =>
          Effect.logError("Delivery stops: the journal failed", error).pipe(
            Effect.andThen(Effect.sync(() => dispatch.stop()))
          )
        ),
        Effect.onExit((exit) =>
          Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)
            ? Effect.sync(() => {
                dispatch.stop()
                Deferred.doneUnsafe(failed, Effect.succeed(Cause.squash(exit.cause)))
              })
            : Effect.void
        )
      )
  })
  const readers = yield* Readers.make(journal.page)

  /** Before the boot's rows are looked at, and after the end, the journal keeps them: memory only notes that there are some. */
  const offer = (row: ReplyRow): ConversationLane => {
    const lane = dispatch.lane(row.conversation, row.reply.conversation)
    if (dispatch.isOpen()) lane.offer(row)
    else lane.more = true
    return lane
  }

  const interrupt = Effect.suspend(() => {
    dispatch.stop()
    return dispatch.quiet
  })

  yield* Effect.addFinalizer(() => Effect.timeoutOption(interrupt, letGoWithin))

  return {
    recover: recovery(desk, offer),
    repliesUnsafe: (rows) => {
      readers.ring(rows)
      for (const row of rows) {
        ages.saw(row.id)
        if (row.state === "sent") desk.counts.sent++
        else if (owes(row)) dispatch.schedule(offer(row))
      }
    },
    ...placeholders(desk, channelOf),
    route: (address) => routeOf(channelOf(address.channel)),
    ...answering(speaker, channelOf),
    sentence: (address, id, values) =>
      draftOf(channelOf(address.channel), speaker.say(id, values), clock.currentTimeMillisUnsafe()),
    notify: notifying(desk, channelOf),
    ...restarts({ journal, registered, speaker, wallNow: desk.wallNow, wanted: options.restartNotices !== false }),
    page: journal.page,
    replies: readers.replies,
    ...standing(desk, journal),
    drain: (until) =>
      Effect.suspend(() => Effect.timeoutOption(dispatch.quiet, Math.max(0, until - dispatch.now()))).pipe(
        Effect.andThen(Effect.sync(() => dispatch.stop()))
      ),
    interrupt,
    failed: Deferred.await(failed)
  }
})

/** The row is to be delivered by a lane. */
const owes = (row: ReplyRow): boolean =>
  row.state === "pending" || ((row.state === "placing" || row.state === "placed") && row.reply.number > 0)

/** What is asked of the outbox by people, tools and the reload. */
const standing = (desk: Desk, journal: Journal["Service"]) => {
  const held = Effect.sync(() => heldOf(desk.dispatch()))
  return {
    held,
    reconnect: (channel: string) =>
      Effect.suspend(() => {
        const port = desk.dispatch().port(channel)
        const requests = [...port.requests]
        port.pausedAt = undefined
        desk.dispatch().release(port)
        return Effect.asVoid(Fiber.awaitAll(requests))
      }),
    release: (channel: string) => Effect.sync(() => desk.dispatch().release(desk.dispatch().port(channel))),
    pause: (channel: string) =>
      Effect.sync(() => {
        desk.dispatch().port(channel).pausedAt ??= desk.wallNow()
      }),
    deliveries: Effect.gen(function* () {
      const { replies } = yield* journal.reads.figures
      const pending = (replies.pending ?? 0) + (replies.sending ?? 0) + (replies.placing ?? 0) + (replies.placed ?? 0)
      return { ...desk.counts, pending, lanes: desk.dispatch().size(), held: yield* held }
    }),
    settled: (key: string) =>
      Effect.gen(function* () {
        while (true) {
          const lane = desk.dispatch().find(key)
          if (lane === undefined || lane.state === "resting") return
          yield* desk.dispatch().rest(lane)
        }
      }),
    replay: (reply: number) => Effect.map(journal.replay(reply), (row) => row !== undefined),
    discard: (reply: number) => journal.discard(reply)
  }
}
