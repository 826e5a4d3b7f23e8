/**
 * What `sluice doctor` finds out about channels: how each delivers, whether its
 * platform is there and takes its secret, and whether anybody may speak at all.
 */
import * as Channel from "@sluice/runtime/Channel"
import * as Effect from "effect/Effect"
import * as Channels from "../channels/Channels.ts"
import { isLoopback } from "../configuration/Checks.ts"
import { type ConfigurationError, problemText } from "../configuration/Problem.ts"
import type { Loaded } from "../configuration/Sources.ts"
import type { Finding } from "./Findings.ts"

const classes = {
  edit: "edit",
  plain: Channel.deliveryName(Channel.ambiguous("resend-once", () => Effect.succeed({}))),
  "plain-hold": Channel.deliveryName(Channel.ambiguous("hold", () => Effect.succeed({})))
}

type Channels = Loaded["configuration"]["channels"]

/** Whether what is said there, and the token, can be read on the way. */
export const exposed = (name: string, apiRoot: string | undefined): ReadonlyArray<Finding> => {
  if (apiRoot === undefined) return []
  const { host, hostname, protocol } = new URL(apiRoot)
  if (protocol === "https:" || isLoopback(hostname.replace(/^\[|\]$/g, ""))) return []
  const detail = `${host} is reached without TLS: anybody on the way can read the token and what is said`
  return [{ name, state: "warn", detail, remedy: "use https in apiRoot" }]
}

/** Whether anybody may speak. */
const nobody = (
  channel: keyof Channels,
  given: { readonly allow?: ReadonlyArray<unknown>; readonly pairing?: boolean }
): ReadonlyArray<Finding> => {
  if ((given.allow ?? []).length > 0 || given.pairing === true) return []
  const remedy = `list ids in channels.${channel}.allow, or set channels.${channel}.pairing: true`
  return [{ name: `channel ${channel}`, state: "warn", detail: "nobody may speak", remedy }]
}

/** Whether a platform's calls would be let in. */
const calls = (name: string, host: string, { http }: Loaded["configuration"]): ReadonlyArray<Finding> => {
  if (http.allowedHosts.includes(host)) return []
  const detail = `${host} is not an allowed host: calls that carry this name are refused`
  const remedy = "add it to http.allowedHosts, unless the proxy sends another"
  return [{ name, state: "warn", detail, remedy }]
}

/** What was read of a channel's secrets, then what its platform says. */
const reached = Effect.fnUntraced(function* <Options>(
  name: string,
  given: { readonly delivery?: keyof typeof classes },
  made: Effect.Effect<Options, ConfigurationError>,
  reach: (options: Options) => Effect.Effect<string, string>,
  remedy: string
): Effect.fn.Return<ReadonlyArray<Finding>> {
  const options = yield* Effect.result(made)
  if (options._tag === "Failure") {
    return options.failure.problems.map((problem): Finding => ({ name, state: "fail", detail: problemText(problem) }))
  }
  const found = yield* Effect.result(reach(options.success))
  return [
    found._tag === "Success"
      ? { name, state: "ok", detail: `${classes[given.delivery ?? "edit"]}, ${found.success}` }
      : { name, state: "fail", detail: found.failure, remedy }
  ]
})

const telegram = Effect.fnUntraced(function* (given: NonNullable<Channels["telegram"]>, loaded: Loaded) {
  const name = "channel telegram"
  const { reach } = yield* Effect.promise(() => import("../channels/TelegramChannel.ts"))
  const remedy = "messages stay with Telegram for a day; correct it, then run: sluice reload"
  const { webhook } = given
  return [
    ...(yield* reached(name, given, Channels.telegramOptions(given, loaded), reach, remedy)),
    ...exposed(name, given.apiRoot),
    ...nobody("telegram", given),
    ...(webhook === undefined ? [] : calls(name, new URL(webhook.url).hostname, loaded.configuration))
  ]
})

const slack = Effect.fnUntraced(function* (given: NonNullable<Channels["slack"]>, loaded: Loaded) {
  const name = "channel slack"
  const { reach } = yield* Effect.promise(() => import("../channels/SlackChannel.ts"))
  const remedy = "correct it, then run: sluice reload"
  const isAlone = loaded.configuration.http.allowedHosts.length === 0
  const host: Finding = {
    name,
    state: "warn",
    detail: "no host is allowed but this machine's own: Slack's requests are refused",
    remedy: "add the name in the app's request URL to http.allowedHosts, unless the proxy sends another"
  }
  return [
    ...(yield* reached(name, given, Channels.slackOptions(given, loaded), reach, remedy)),
    ...exposed(name, given.apiRoot),
    ...nobody("slack", given),
    ...(isAlone ? [host] : [])
  ]
})

/** A line or more for each channel. */
export const channels = Effect.fnUntraced(function* (loaded: Loaded): Effect.fn.Return<ReadonlyArray<Finding>> {
  const given = loaded.configuration.channels
  return [
    { name: "channel http", state: "ok", detail: Channel.deliveryName(Channel.pull) },
    ...(given.telegram === undefined ? [] : yield* telegram(given.telegram, loaded)),
    ...(given.slack === undefined ? [] : yield* slack(given.slack, loaded))
  ]
})
