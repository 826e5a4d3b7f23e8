/**
 * What `sluice doctor` finds out about channels: how each delivers, whether its
 * platform is there and takes its secret, and whether anybody may speak at all.
 */
import * as Channel from "@sluice/runtime/Channel"
import * as Effect from "effect/Effect"
import * as Channels from "../channels/Channels.ts"
import { problemText } from "../configuration/Problem.ts"
import type { Loaded } from "../configuration/Sources.ts"
import type { Finding } from "./Findings.ts"

type Telegram = NonNullable<Loaded["configuration"]["channels"]["telegram"]>

const classes = {
  edit: "edit",
  plain: Channel.deliveryName(Channel.ambiguous("resend-once", () => Effect.succeed({}))),
  "plain-hold": Channel.deliveryName(Channel.ambiguous("hold", () => Effect.succeed({})))
}

/** Whether anybody may speak, and whether Telegram's calls would be let in. */
const settings = (given: Telegram, { http }: Loaded["configuration"]): ReadonlyArray<Finding> => {
  const name = "channel telegram"
  const findings: Array<Finding> = []
  if ((given.allow ?? []).length === 0 && given.pairing !== true) {
    const remedy = "list ids in channels.telegram.allow, or set channels.telegram.pairing: true"
    findings.push({ name, state: "warn", detail: "nobody may speak", remedy })
  }
  const host = given.webhook === undefined ? undefined : new URL(given.webhook.url).hostname
  if (host !== undefined && !http.allowedHosts.includes(host)) {
    const detail = `${host} is not an allowed host: calls that carry this name are refused`
    findings.push({
      name,
      state: "warn",
      detail,
      remedy: "add it to http.allowedHosts, unless the proxy sends another"
    })
  }
  return findings
}

const telegram = Effect.fnUntraced(function* (given: Telegram, loaded: Loaded) {
  const name = "channel telegram"
  const made = yield* Effect.result(Channels.telegramOptions(given, loaded))
  if (made._tag === "Failure") {
    return made.failure.problems.map((problem): Finding => ({ name, state: "fail", detail: problemText(problem) }))
  }
  const { reach } = yield* Effect.promise(() => import("../channels/TelegramChannel.ts"))
  const found = yield* Effect.result(reach(made.success))
  const remedy = "messages stay with Telegram for a day; correct it, then run: sluice reload"
  const reached: Finding =
    found._tag === "Success"
      ? { name, state: "ok", detail: `${classes[given.delivery ?? "edit"]}, ${found.success}` }
      : { name, state: "fail", detail: found.failure, remedy }
  return [reached, ...settings(given, loaded.configuration)]
})

/** A line or more for each channel. */
export const channels = Effect.fnUntraced(function* (loaded: Loaded): Effect.fn.Return<ReadonlyArray<Finding>> {
  const given = loaded.configuration.channels.telegram
  return [
    { name: "channel http", state: "ok", detail: Channel.deliveryName(Channel.pull) },
    ...(given === undefined ? [] : yield* telegram(given, loaded))
  ]
})
