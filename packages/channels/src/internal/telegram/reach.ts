/**
 * Looks whether a bot's server is there and takes its token, without taking an
 * update from whoever receives for the bot now.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Schema from "effect/Schema"
import { visible } from "../visible.ts"
import type { BotApi, Failure } from "./botApi.ts"
import { fatal } from "./polling.ts"

const Me = Schema.Struct({ username: Schema.optionalKey(Schema.String) })
const Hook = Schema.Struct({
  pending_update_count: Schema.Int,
  last_error_message: Schema.optionalKey(Schema.String)
})

const why = (failure: Failure): string => fatal(failure) ?? failure.reason

/** A sentence on what was found, or what is wrong. */
export const reach = (
  api: BotApi,
  within: Duration.Input = "10 seconds"
): Effect.Effect<string, string, HttpClient.HttpClient> =>
  Effect.gen(function* () {
    const { username = "?" } = yield* Effect.mapError(api.call("getMe", {}, Me), why)
    const hook = yield* Effect.mapError(api.call("getWebhookInfo", {}, Hook), why)
    const { last_error_message: error, pending_update_count: waiting } = hook
    const said = error === undefined ? "" : `; its last delivery failed: ${visible(error, 200)}`
    return `@${visible(username)}, ${waiting} waiting at Telegram${said}`
  }).pipe(Effect.timeoutOrElse({ duration: within, orElse: () => Effect.fail("the Bot API did not answer in time") }))
