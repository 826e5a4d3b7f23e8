/**
 * Updates as Telegram delivers them to an address of ours, for those who don't poll.
 * 200 says that an update is on disk, anything else brings it again. Whoever does not
 * know the secret learns nothing, and one connection keeps the order.
 */
import type { Transient } from "@sluice/runtime/Message"
import * as Effect from "effect/Effect"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Redacted from "effect/Redacted"
import { equal } from "../equal.ts"
import { updateOf } from "./wire.ts"

/** Where Telegram delivers to, and by what it is known. */
export interface Webhook {
  /** The address that Telegram calls: https, and it leads to the route of this gateway. */
  readonly url: string
  /** 1 to 256 characters of `A-Z a-z 0-9 _ -`, which comes with every call. */
  readonly secret: Redacted.Redacted
}

/** Answers one call of Telegram's. */
export type Hook = (
  request: HttpServerRequest.HttpServerRequest
) => Effect.Effect<HttpServerResponse.HttpServerResponse>

/** Handles one update completely. */
export type Taking = (update: NonNullable<ReturnType<typeof updateOf>>) => Effect.Effect<void, Transient>

const header = "x-telegram-bot-api-secret-token"

const later = (millis: number) =>
  HttpServerResponse.empty({ status: 503, headers: { "retry-after": String(Math.max(1, Math.ceil(millis / 1000))) } })

/** The hook of a bot; `taking` is there while the channel receives. */
export const hookOf =
  (webhook: Webhook, taking: () => Taking | undefined): Hook =>
  (request) =>
    Effect.gen(function* () {
      const secret = Redacted.value(webhook.secret)
      if (secret === "" || !equal(request.headers[header] ?? "", secret)) {
        return HttpServerResponse.empty({ status: 404 })
      }
      const take = taking()
      // Before its start and in its stop: Telegram keeps it and comes back.
      if (take === undefined) return later(5000)
      const body = yield* Effect.option(request.json)
      if (body._tag === "None") return HttpServerResponse.empty({ status: 400 })
      const update = updateOf(body.value)
      if (update === undefined) return HttpServerResponse.empty({ status: 400 })
      return yield* Effect.match(take(update), {
        onSuccess: () => HttpServerResponse.empty({ status: 200 }),
        onFailure: ({ retryAfter }) => later(retryAfter)
      })
    })
