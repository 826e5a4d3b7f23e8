/**
 * Looks after a webhook. Nobody calls when calls don't get through, so Telegram is
 * asked from time to time what became of its deliveries; and a program that took the
 * updates over for itself is noticed, which ends the receiving so that it begins anew.
 */
import { ChannelError, type Handle } from "@sluice/runtime/Channel"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Schema from "effect/Schema"
import { visible } from "../visible.ts"
import type { BotApi } from "./botApi.ts"
import { fatal } from "./polling.ts"

const Info = Schema.Struct({
  url: Schema.String,
  pending_update_count: Schema.Int,
  last_error_date: Schema.optionalKey(Schema.Int),
  last_error_message: Schema.optionalKey(Schema.String)
})

/** How often Telegram is asked, in milliseconds. */
const every = 60_000

/** Telegram keeps its last error for ever: only one since the look before counts, while something waits for delivery. */
const undelivered = (info: typeof Info.Type, now: number): string | undefined => {
  const { last_error_date: date = 0, last_error_message: error = "no reason", pending_update_count: waiting } = info
  return waiting > 0 && date * 1000 > now - 2 * every
    ? `Telegram can't deliver to the webhook (${visible(error, 200)}); ${waiting} waiting there`
    : undefined
}

/** Looks for ever. */
export const watchHook = (
  handle: Handle,
  api: BotApi,
  address: string
): Effect.Effect<never, ChannelError, HttpClient.HttpClient> =>
  Effect.gen(function* () {
    const found = yield* Effect.result(api.call("getWebhookInfo", {}, Info))
    if (found._tag === "Failure") {
      const reason = fatal(found.failure) ?? found.failure.reason
      // What it delivers is taken all the same.
      return yield* handle.trouble(`Telegram can't be asked about the webhook: ${reason}`)
    }
    if (found.success.url !== address) {
      const reason = "another program has taken this bot's updates for itself; stop that one, or use a bot of its own"
      return yield* new ChannelError({ channel: handle.name, reason })
    }
    yield* handle.trouble(undelivered(found.success, yield* Clock.currentTimeMillis))
  }).pipe((look) => Effect.andThen(Effect.sleep(every), look), Effect.forever)
