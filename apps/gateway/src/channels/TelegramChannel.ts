/**
 * Telegram as a channel of this program, over its HTTP client and its store of files.
 * Loaded only by who has configured it, so that nobody else's start is slower.
 */
import * as Telegram from "@sluice/channels/Telegram"
import * as Effect from "effect/Effect"
import { client } from "../OutgoingHttp.ts"
import type { Files } from "./Channels.ts"
import { provided } from "./Provided.ts"

/** Makes the channel. */
export const make = (options: Telegram.Options, files: Files) => {
  const made = Telegram.make(options)
  return Effect.map(provided(made, files), (channel) => ({ channel, webhook: made.webhook }))
}

/** Whether the bot's server is there and takes its token: a sentence, or what is wrong. */
export const reach = (options: Telegram.Options) =>
  Effect.flatMap(client, (context) => Effect.provideContext(Telegram.reach(options), context))
