/**
 * Slack as a channel of this program, over its HTTP client and its store of files.
 * Loaded only by who has configured it, so that nobody else's start is slower.
 */
import * as Slack from "@sluice/channels/Slack"
import * as Effect from "effect/Effect"
import { client } from "../OutgoingHttp.ts"
import type { Files } from "./Channels.ts"
import { provided } from "./Provided.ts"

/** Makes the channel. */
export const make = (options: Slack.Options, files: Files) => {
  const made = Slack.make(options)
  return Effect.map(provided(made, files), (channel) => ({ channel, webhook: made.webhook }))
}

/** Whether Slack is there and takes the app's token: a sentence, or what is wrong. */
export const reach = (options: Slack.Options) =>
  Effect.flatMap(client, (context) => Effect.provideContext(Slack.reach(options), context))
