/**
 * Who the app is, as Slack knows it by its token, and whether it may do what the
 * channel does: asked at the start, and by whoever looks for what is wrong.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Schema from "effect/Schema"
import type { Trouble } from "../chat/persist.ts"
import { visible } from "../visible.ts"
import { fatal } from "./delivery.ts"
import type { Failure, WebApi } from "./webApi.ts"

const Me = Schema.Struct({
  user_id: Schema.String,
  user: Schema.optionalKey(Schema.String),
  team: Schema.optionalKey(Schema.String)
})

/** What an app needs to be allowed. */
export const needed = ["chat:write", "files:read", "files:write", "im:history", "app_mentions:read"]

/** The bot of the app. */
export interface Bot {
  readonly user: string
  readonly name: string
  readonly team: string
  /** What it may not do although the channel does it, in a sentence. */
  readonly lacks: string | undefined
}

const lacking = (scopes: ReadonlyArray<string>, reactions: boolean): string | undefined => {
  const missing = [...needed, ...(reactions ? ["reactions:write"] : [])].filter((scope) => !scopes.includes(scope))
  // Who says nothing of scopes is no Slack: a proxy that hides them, for example.
  return missing.length === 0 || scopes.length === 0
    ? undefined
    : `the app lacks ${missing.join(", ")}; add them to its bot token scopes and install it again`
}

/** Asks who the app is. */
export const botOf = (api: WebApi, reactions: boolean): Effect.Effect<Bot, Failure, HttpClient.HttpClient> =>
  Effect.map(api.scoped("auth.test", Me), ({ result: { team = "?", user = "?", user_id }, scopes }) => ({
    user: user_id,
    name: visible(user),
    team: visible(team),
    lacks: lacking(scopes, reactions)
  }))

/** What a failure means for the channel. */
export const troubleOf = (failure: Failure): Trouble => {
  const reason = fatal(failure)
  if (reason !== undefined) return { fatal: true, reason }
  return {
    fatal: failure._tag === "Denied" && failure.retryAfter === undefined,
    reason: failure.reason,
    wait: failure._tag === "Denied" ? failure.retryAfter : undefined
  }
}

/** A sentence on what was found, or what is wrong. */
export const reach = (
  api: WebApi,
  reactions: boolean,
  within: Duration.Input = "10 seconds"
): Effect.Effect<string, string, HttpClient.HttpClient> =>
  botOf(api, reactions).pipe(
    Effect.mapError((failure) => troubleOf(failure).reason),
    Effect.flatMap(({ lacks, name, team }) =>
      lacks === undefined ? Effect.succeed(`@${name} in ${team}`) : Effect.fail(lacks)
    ),
    Effect.timeoutOrElse({ duration: within, orElse: () => Effect.fail("the Web API did not answer in time") })
  )
