/**
 * Telegram on the Bot API. What somebody wrote stays with Telegram until it is
 * committed here, so a crash costs a repeat that is recognised. Replies are placed
 * and then edited in, so that one that is sent again after a crash changes nothing;
 * those who want no placeholders have plain messages, of which nobody can tell.
 * docs/telegram.md has the table of what a crash in each window does.
 */
import * as Channel from "@sluice/runtime/Channel"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { type BotApi, make as makeApi } from "./internal/telegram/botApi.ts"
import { edits, plain } from "./internal/telegram/delivery.ts"
import { persist, poll } from "./internal/telegram/polling.ts"
import { split } from "./internal/telegram/split.ts"
import { meaningOf, type Self } from "./internal/telegram/updates.ts"
import type { updateOf } from "./internal/telegram/wire.ts"

/** How the Telegram channel is made. */
export interface Options {
  /** The bot's token, as @BotFather gave it. */
  readonly token: Redacted.Redacted
  /** Ids of people, and of groups with everybody in them, that may speak. Nobody by default. */
  readonly allow?: ReadonlyArray<number>
  /** Where the Bot API is; `https://api.telegram.org` by default. */
  readonly apiRoot?: string
  /**
   * `edit`, the default: a placeholder that becomes the answer, exactly once over crashes. `plain`: messages without
   * placeholders, of which one may come twice after a crash, marked, or with `plain-hold` not at all.
   */
  readonly delivery?: "edit" | "plain" | "plain-hold"
}

const Me = Schema.Struct({ id: Schema.Int, username: Schema.optionalKey(Schema.String) })

const selfOf = (me: typeof Me.Type): Self => ({ id: me.id, username: me.username ?? "" })

const deliveryOf = (api: BotApi, mode: NonNullable<Options["delivery"]>): Channel.Delivery<HttpClient.HttpClient> => {
  if (mode === "edit") return edits(api)
  return plain(api, mode === "plain" ? "resend-once" : "hold")
}

/** Handles one update: what somebody said is committed when this succeeds. */
const taking =
  (options: { readonly handle: Channel.Handle; readonly self: Self; readonly allow: ReadonlySet<number> }) =>
  ({ number, update }: NonNullable<ReturnType<typeof updateOf>>) =>
    Effect.gen(function* () {
      const { allow, handle, self } = options
      if (update === undefined) {
        return yield* Effect.logWarning("An update can't be read and is skipped").pipe(
          Effect.annotateLogs({ channel: handle.name, update: number })
        )
      }
      const meaning = meaningOf(update, self, (id) => allow.has(id))
      if (meaning._tag === "Said" || meaning._tag === "Pressed") {
        yield* Channel.skipPermanent(handle.accept(meaning.inbound))
      }
    })

/** Makes the Telegram channel. */
export const make = (options: Options): Channel.Channel<HttpClient.HttpClient> => {
  const api = makeApi({ token: options.token, apiRoot: options.apiRoot ?? "https://api.telegram.org" })
  const allow = new Set(options.allow)
  let name = ""
  const receive = Effect.fnUntraced(function* (handle: Channel.Handle) {
    const self = selfOf(yield* persist(handle.name, api.call("getMe", {}, Me)))
    // A webhook of an earlier set-up would keep every update from a poller.
    yield* persist(handle.name, api.call("deleteWebhook", { drop_pending_updates: false }, Schema.Unknown))
    name = self.username
    yield* handle.ready
    return yield* poll(handle.name, api, taking({ handle, self, allow }))
  })
  return Channel.make({
    delivery: deliveryOf(api, options.delivery ?? "edit"),
    receive,
    split: (text) => split(text),
    describe: Effect.sync(() => (name === "" ? "not connected" : `@${name}`))
  })
}
