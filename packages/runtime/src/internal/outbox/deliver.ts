/**
 * A lane's run. For each request: the step into its window is committed, the
 * request is made, and what follows from its end is committed; nothing can come
 * between these three but the death of the process, and then the next boot reads
 * the same table (verdict.ts). A lane that is interrupted in a request commits
 * what that means before it ends.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { Channel, DeliveryError, Edit, Receipt } from "../../Channel.ts"
import type { Journal, JournalError, ReplyRow } from "../../Journal.ts"
import type { Reply } from "../../Message.ts"
import type { Speaker } from "../../Notices.ts"
import { cross } from "../boundary.ts"
import type { Ages } from "./age.ts"
import { compose } from "./compose.ts"
import type { Dispatch } from "./dispatch.ts"
import { cacheRows, type ConversationLane, type Placeholder, type Task } from "./lane.ts"
import { request } from "./request.ts"
import { type Bounds, longestWait, type Outcome, unanswered, type Verdict, verdict } from "./verdict.ts"

/** What deliveries need. */
export interface Desk {
  readonly journal: Journal["Service"]
  readonly speaker: Speaker
  readonly ages: Ages
  readonly dispatch: () => Dispatch
  readonly bounds: Bounds
  /** Milliseconds. */
  readonly timeout: number
  readonly showEvery: number
  readonly wallNow: () => number
  /** Since the start. */
  readonly counts: { sent: number; unknown: number; dead: number; retried: number }
}

/** Rows of one run; then the other lanes of the channel get their turn. */
const rowsPerRun = 16
/** An edit that only shows progress is given up after this. */
const showTimeout = 10_000
/** How long a request may go on that ignores its interruption; then its conversation does not wait for it any more. */
export const letGoAfter = 300_000

/** The reply by which a hold was tried: who was let in, however the reply itself fared, holds no longer. */
const tried = (desk: Desk, { port }: ConversationLane, { _tag }: Outcome): void => {
  if (port.held?.probe === undefined || _tag === "Unauthorized") return
  if (_tag === "NotSent" || _tag === "NoAnswer") desk.dispatch().hold(port, port.held.reason)
  else desk.dispatch().release(port)
}

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

const described = (lane: ConversationLane, row: ReplyRow) =>
  Effect.annotateLogs({ conversation: lane.key, reply: row.reply.id, channel: lane.port.name })

/** The channel keeps a request that was given up: said once, for it is a mistake in its program and will come again. */
const stuck = ({ port }: ConversationLane) =>
  Effect.suspend(() => {
    if (port.stuck) return Effect.void
    port.stuck = true
    const minutes = letGoAfter / 60_000
    return Effect.logError(
      `A channel does not let go of a request that was interrupted ${minutes} minutes ago; its conversation goes on without waiting for it. Let its delivery be interrupted, or end by itself`
    ).pipe(Effect.annotateLogs({ channel: port.name }))
  })

/**
 * A request through the lane: crossed before and after, bounded; returns once its fiber has let go, or will not, or the lane
 * is interrupted. What the request means is committed before that, by its class.
 */
const ask = <A>(
  desk: Desk,
  lane: ConversationLane,
  restore: Restore,
  effect: Effect.Effect<Receipt, DeliveryError>,
  timeout: number,
  conclude: (outcome: Outcome) => Effect.Effect<A, JournalError>
): Effect.Effect<A, JournalError> =>
  Effect.gen(function* () {
    const crossed = cross("send:before").pipe(
      Effect.andThen(effect),
      Effect.tap(() => cross("send:after"))
    )
    const { outcome, fiber } = yield* request(crossed, timeout, restore, lane.port.requests)
    tried(desk, lane, outcome)
    const result = yield* conclude(outcome)
    // Two requests of one conversation never overlap: a late edit would overwrite a newer one.
    if (fiber.pollUnsafe() !== undefined) return result
    const ended = yield* restore(Effect.timeoutOption(Fiber.await(fiber), letGoAfter))
    if (Option.isNone(ended)) yield* stuck(lane)
    return result
  })

/** Commits what follows for the row. */
const settle = (
  desk: Desk,
  lane: ConversationLane,
  row: ReplyRow,
  verdict: Verdict
): Effect.Effect<void, JournalError> => {
  const { journal, counts } = desk
  const dispatch = desk.dispatch()
  const later = (wait: number, marked: boolean) =>
    Effect.map(journal.step({ _tag: "Later", reply: row.id, wait, marked }), (now) => {
      if (now === undefined) lane.remove(row.id)
      else lane.replace(now)
    })
  const end = (step: Parameters<typeof journal.step>[0], count: "sent" | "unknown" | "dead") =>
    Effect.map(journal.step(step), () => {
      counts[count]++
      lane.remove(row.id)
      lane.failures = 0
      // What is behind a reply that was given up has been tried for as long.
      if (count !== "dead") lane.failingSince = undefined
    })
  switch (verdict._tag) {
    case "Sent":
      return end({ _tag: "Sent", reply: row.id, remoteId: verdict.remoteId ?? row.remoteId }, "sent")
    case "Unknown":
      return Effect.logWarning("Reply may or may not have arrived; it is not sent again", verdict.error).pipe(
        described(lane, row),
        Effect.andThen(end({ _tag: "Unknown", reply: row.id, error: verdict.error }, "unknown"))
      )
    case "Dead":
      return Effect.logWarning("Reply is a dead letter now", verdict.error).pipe(
        described(lane, row),
        Effect.andThen(end({ _tag: "Dead", reply: row.id, error: verdict.error }, "dead"))
      )
    case "Later":
      counts.retried++
      lane.failures++
      lane.failingSince ??= dispatch.now()
      dispatch.delay(lane, verdict.wait)
      lane.waitsFor = row.id
      return Effect.logInfo(`Reply is tried again in ${verdict.wait} ms`, verdict.why).pipe(
        described(lane, row),
        Effect.andThen(later(verdict.wait, verdict.marked))
      )
    case "Throttled": {
      counts.retried++
      const { scope, wait } = verdict
      lane.waitsFor = row.id
      if (scope === "channel") dispatch.delayPort(lane.port, wait)
      else dispatch.delay(lane, wait)
      return Effect.all([later(wait, row.marked), throttled(desk, lane, scope, wait)], {
        concurrency: 2,
        discard: true
      })
    }
    case "Hold":
      return Effect.andThen(held(desk, lane, verdict.error), later(0, row.marked))
  }
}

const throttled = (desk: Desk, lane: ConversationLane, scope: "conversation" | "channel", wait: number) =>
  desk.journal.throttle(
    { channel: lane.port.name, ...(scope === "conversation" ? { conversation: lane.conversation } : {}) },
    wait
  )

const held = (desk: Desk, { port }: ConversationLane, reason: string) =>
  Effect.suspend(() => {
    const first = port.held === undefined
    // Requests that were under way beside each other hear the same: that is one hold.
    if (first || port.held?.probe !== undefined) desk.dispatch().hold(port, reason)
    return first
      ? Effect.logError("Nothing is sent to a channel: its credentials were refused").pipe(
          Effect.annotateLogs({ channel: port.name, reason })
        )
      : Effect.void
  })

const facts = (desk: Desk, lane: ConversationLane, row: ReplyRow) => ({
  marked: row.marked,
  failures: lane.failures,
  row: row.id,
  age: desk.ages.of(row),
  failingFor: lane.failingSince === undefined ? 0 : desk.dispatch().now() - lane.failingSince
})

/** The request that carries the reply; a mark that doesn't fit in goes ahead once. */
const carry = (
  lane: ConversationLane,
  channel: Channel,
  row: ReplyRow,
  remoteId: string,
  composed: { readonly ahead: Reply | undefined; readonly reply: Reply }
): Effect.Effect<Receipt, DeliveryError> => {
  const { delivery } = channel
  const { ahead, reply } = composed
  if (delivery._tag === "Pull") return Effect.succeed({})
  const announce =
    ahead === undefined || lane.announced === row.id
      ? Effect.void
      : Effect.tap(delivery._tag === "Edit" ? delivery.place(lane.address, ahead.text) : delivery.deliver(ahead), () =>
          Effect.sync(() => void (lane.announced = row.id))
        )
  return Effect.andThen(announce, delivery._tag === "Edit" ? delivery.edit(remoteId, reply) : delivery.deliver(reply))
}

const send = (desk: Desk, lane: ConversationLane, row: ReplyRow, channel: Channel): Effect.Effect<void, JournalError> =>
  Effect.uninterruptibleMask(
    Effect.fnUntraced(function* (restore) {
      // Committed: from here on a crash is decided by the delivery class.
      const sending = yield* desk.journal.step({ _tag: "Sending", reply: row.id })
      if (sending === undefined) return lane.remove(row.id)
      lane.replace(sending)
      const composed = compose(desk.speaker, channel, sending, desk.ages.of(row))
      const effect = Effect.suspend(() => carry(lane, channel, sending, sending.remoteId ?? "", composed))
      yield* ask(desk, lane, restore, effect, desk.timeout, (outcome) =>
        settle(desk, lane, sending, verdict(channel.delivery, desk.bounds, facts(desk, lane, sending), outcome))
      )
    })
  )

/** Puts a placeholder in the chat and commits its id, so that everything later is an edit. */
const place = (
  desk: Desk,
  lane: ConversationLane,
  row: ReplyRow,
  channel: Channel,
  delivery: Edit,
  placeholder: Placeholder | undefined
): Effect.Effect<void, JournalError> =>
  Effect.uninterruptibleMask(
    Effect.fnUntraced(function* (restore) {
      // Cut while it was being placed: it is placed again, and what was placed then has no owner.
      if (row.cut) yield* desk.journal.step({ _tag: "Later", reply: row.id, wait: 0, marked: row.marked })
      const placing = yield* desk.journal.step({ _tag: "Placing", reply: row.id })
      if (placing === undefined) {
        if (placeholder !== undefined) placeholder.lost = true
        return lane.remove(row.id)
      }
      const effect = Effect.suspend(() => delivery.place(lane.address, desk.speaker.say("placeholder", {}).text))
      yield* ask(desk, lane, restore, effect, desk.timeout, (outcome) => {
        if (outcome._tag === "Answered") {
          lane.failures = 0
          lane.failingSince = undefined
          return Effect.map(
            desk.journal.step({ _tag: "Placed", reply: row.id, remoteId: outcome.remoteId ?? "" }),
            (placed) => void (placed === undefined ? lane.remove(row.id) : lane.replace(placed))
          )
        }
        const next = verdict(channel.delivery, desk.bounds, facts(desk, lane, placing), outcome)
        // The answer itself may still come and is tried on its own: only the placeholder is given up.
        const owed = lane.rows.some((other) => other.id === row.id)
        if (next._tag !== "Dead" || owed) return settle(desk, lane, placing, next)
        if (placeholder !== undefined) placeholder.lost = true
        return settle(desk, lane, placing, { _tag: "Later", wait: 0, marked: false, why: next.error })
      })
    })
  )

/** Shows a running turn's text. It fails quietly, for the final edit follows; but what it says about waiting holds. */
const show = (desk: Desk, lane: ConversationLane, task: Extract<Task, { _tag: "Show" }>, channel: Channel) => {
  const { delivery } = channel
  task.placeholder.text = undefined
  if (task.placeholder.over) lane.placeholders.delete(task.placeholder.row.id)
  lane.shownAt = desk.dispatch().now()
  if (delivery._tag !== "Edit" || delivery.progress === undefined) return Effect.void
  const effect = Effect.as(delivery.progress(task.remoteId, lane.address, task.text), {})
  return Effect.uninterruptibleMask((restore) =>
    ask(desk, lane, restore, effect, Math.min(desk.timeout, showTimeout), (outcome) => {
      if (outcome._tag === "Unauthorized") return held(desk, lane, outcome.error)
      if (outcome._tag !== "Throttled") return Effect.void
      const wait = Math.min(Math.max(1, outcome.wait), longestWait)
      if (outcome.scope === "channel") desk.dispatch().delayPort(lane.port, wait)
      else desk.dispatch().delay(lane, wait)
      return throttled(desk, lane, outcome.scope, wait)
    })
  )
}

/** Decides what an earlier boot left in its send window: its delivery class says what an answer that never came means. */
export const classify = (
  desk: Desk,
  lane: ConversationLane,
  row: ReplyRow,
  channel: Channel
): Effect.Effect<void, JournalError> => {
  // Each boot tries once, however old the reply is.
  const known = { ...facts(desk, lane, row), age: 0 }
  const decided = unanswered(channel.delivery, desk.bounds, known, "the process ended while it was being sent")
  return settle(desk, lane, row, decided._tag === "Later" ? { ...decided, wait: 0 } : decided)
}

const reply = (
  desk: Desk,
  lane: ConversationLane,
  row: ReplyRow,
  channel: Channel
): Effect.Effect<void, JournalError> => {
  const { delivery } = channel
  const dispatch = desk.dispatch()
  if (row.cut) return classify(desk, lane, row, channel)
  if (row.expiresAt !== undefined && desk.ages.of(row) > row.expiresAt - row.reply.createdAt) {
    return settle(desk, lane, row, { _tag: "Dead", error: "expired: it would have come too late to be of use" })
  }
  if (row.notBefore !== undefined && lane.waitsFor !== row.id) {
    // Stored by an earlier boot. A wait is a length: a clock that jumped meanwhile can't make it longer than the longest.
    lane.waitsFor = row.id
    dispatch.delay(lane, Math.min(row.notBefore - desk.wallNow(), longestWait))
    if (!dispatch.may(lane)) return Effect.void
  }
  return delivery._tag === "Edit" && row.remoteId === undefined
    ? place(desk, lane, row, channel, delivery, undefined)
    : send(desk, lane, row, channel)
}

const read = (desk: Desk, lane: ConversationLane): Effect.Effect<void, JournalError> => {
  // What is rung from here on is either in the page or sets `more` again.
  lane.more = false
  return Effect.map(desk.journal.owed(0, cacheRows, lane.conversation), (rows) => lane.refill(rows))
}

const perform = (
  desk: Desk,
  lane: ConversationLane,
  channel: Channel,
  task: Task
): Effect.Effect<void, JournalError> => {
  const { delivery } = channel
  switch (task._tag) {
    case "Read":
      return read(desk, lane)
    case "Reply":
      return reply(desk, lane, task.row, channel)
    case "Place":
      if (delivery._tag === "Edit") return place(desk, lane, task.placeholder.row, channel, delivery, task.placeholder)
      task.placeholder.lost = true
      return Effect.void
    case "Show":
      return show(desk, lane, task, channel)
  }
}

/** Runs the lane until nothing is due, something stops it, or the others should have their turn. */
export const run = Effect.fnUntraced(function* (
  desk: Desk,
  lane: ConversationLane
): Effect.fn.Return<void, JournalError> {
  const dispatch = desk.dispatch()
  for (let done = 0; done < rowsPerRun && dispatch.may(lane); done++) {
    const channel = lane.port.channel
    const task = lane.next(dispatch.now(), desk.showEvery)
    if (channel === undefined || task === undefined) return
    yield* perform(desk, lane, channel, task)
  }
})
