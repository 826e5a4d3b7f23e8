/**
 * The routes about single channels: how each is, and its stop and start by hand.
 * HTTP itself can't be stopped by a request that comes over it: it carries health,
 * and everything else that an operator could undo it with.
 */
import type { ChannelState, GatewayError } from "@sluice/runtime/Gateway"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import { json, problem } from "./Answers.ts"
import type { Running } from "./Operations.ts"

/** A channel as it is listed. */
export interface ListedChannel extends ChannelState {
  /** What it says of itself, for example an address. */
  readonly at: string
}

/** Each channel with what it says of itself. */
export const channels = ({ gateway, parts }: Pick<Running, "gateway" | "parts">) =>
  Effect.gen(function* () {
    const told = new Map((yield* parts).channels.map(({ at, name }) => [name, at]))
    const states = yield* gateway.channels.list
    return states.map((state): ListedChannel => ({ ...state, at: told.get(state.name) ?? "" }))
  })

const untilWhen = "until it is started by hand, a reload exchanges it, or the gateway starts again"

const refused = ({ message, value }: GatewayError) => {
  switch (value) {
    case "is not configured":
      return problem(404, "not-found", message)
    case "is too late":
      return problem(503, "stopping", message)
    default:
      return problem(409, "not-now", message)
  }
}

const carrier = problem(
  400,
  "invalid",
  'channel "http": it carries this very request, health and every tool; stop the gateway instead'
)

/** POST /v1/admin/channels/:name/stop and start */
export const control = (action: "stop" | "start") => (running: Running) =>
  Effect.gen(function* () {
    const { name = "" } = yield* HttpRouter.params
    if (name === "http") return carrier
    return yield* Effect.match(running.gateway.channels[action](name), {
      onSuccess: (channel) => json({ channel, ...(channel.state === "stopped" ? { lasts: untilWhen } : {}) }),
      onFailure: refused
    })
  })
