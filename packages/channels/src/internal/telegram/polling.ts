/**
 * Long polling. Telegram keeps an update until it is asked for one with a higher
 * number, so the number that is asked for is the acknowledgement: it never passes
 * what is committed. A crash, a stop or a transient error in a page leaves the
 * rest with Telegram, and what comes twice is recognised by its id.
 */
import type { ChannelError } from "@sluice/runtime/Channel"
import type { Transient } from "@sluice/runtime/Message"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import type * as Schema from "effect/Schema"
import { patience, persist, type Trouble } from "../chat/persist.ts"
import type { BotApi, Failure } from "./botApi.ts"
import { kinds, Page, updateOf } from "./wire.ts"

/** One update, to be handled completely: success means that it may be acknowledged. */
export type Take<R> = (update: NonNullable<ReturnType<typeof updateOf>>) => Effect.Effect<void, Transient, R>

/** Seconds for which Telegram holds a question that it has no answer to, and how much longer is waited for it. */
const hold = 30
const slack = 15_000
/** Chats whose updates are handled at one time; those of one chat one after the other. */
const chatsAtOnce = 16

/** A conversation's updates in their order; what is of no chat is by itself. */
const chatOf = (value: unknown): number | undefined => {
  const { update } = updateOf(value) ?? {}
  return (update?.message ?? update?.edited_message ?? update?.callback_query?.message)?.chat.id
}

const grouped = (page: ReadonlyArray<unknown>): ReadonlyArray<ReadonlyArray<unknown>> => [
  ...Map.groupBy(page, chatOf).values()
]

/**
 * Handles a page: chats beside each other, a chat's updates in their order. Returns the first number that must not be
 * acknowledged, and why it stopped there.
 */
const handle = Effect.fnUntraced(function* <R>(page: ReadonlyArray<unknown>, offset: number, take: Take<R>) {
  const numbers = page.flatMap((value) => updateOf(value)?.number ?? [])
  let next = numbers.reduce((highest, number) => Math.max(highest, number + 1), offset)
  const stops: Array<Transient> = []
  yield* Effect.forEach(
    grouped(page),
    (values) =>
      Effect.gen(function* () {
        for (const value of values) {
          const update = updateOf(value)
          if (update === undefined) continue
          const error = yield* Effect.match(take(update), { onSuccess: () => undefined, onFailure: (error) => error })
          if (error === undefined) continue
          next = Math.min(next, update.number)
          stops.push(error)
          return
        }
      }),
    { concurrency: chatsAtOnce, discard: true }
  )
  return { next, stopped: stops[0] }
})

/** What a failure means for the whole channel; `undefined` when it may pass. */
export const fatal = (failure: Failure): string | undefined => {
  if (failure._tag !== "Denied") return undefined
  switch (failure.code) {
    case 401:
    case 404:
      return `the token was refused (${failure.code}: ${failure.reason}); get it from @BotFather and correct it`
    case 409:
      return `another program receives for this bot (409: ${failure.reason}); stop that one, or use a bot of its own`
    case 429:
      return undefined
    default:
      return `refused (${failure.code}: ${failure.reason})`
  }
}

/** What a failure means for the channel. */
export const troubleOf = (failure: Failure): Trouble => {
  const reason = fatal(failure)
  return reason === undefined
    ? { fatal: false, reason: failure.reason, wait: failure._tag === "Denied" ? failure.retryAfter : undefined }
    : // A poller that was ours until a moment ago still holds its question.
      { fatal: true, reason, passes: failure._tag === "Denied" && failure.code === 409 }
}

/** Receives for ever. */
export const poll = Effect.fnUntraced(function* <R>(
  channel: string,
  api: BotApi,
  take: Take<R>
): Effect.fn.Return<never, ChannelError, R | HttpClient.HttpClient> {
  let offset = 0
  while (true) {
    const params = { offset, timeout: hold, allowed_updates: kinds, limit: 100 }
    const asked = api.call("getUpdates", params, Page, { timeout: hold * 1000 + slack })
    const page: Schema.Schema.Type<typeof Page> = yield* persist(channel, asked, troubleOf)
    const { next, stopped } = yield* handle(page, offset, take)
    // Nothing in it moves the number on: asked again at once it would come again at once.
    if (stopped === undefined && page.length > 0 && next === offset) yield* Effect.sleep(patience.wait)
    offset = next
    if (stopped === undefined) continue
    yield* Effect.logDebug("A page ends early: the rest stays with Telegram", stopped.message)
    yield* Effect.sleep(stopped.retryAfter)
  }
})
