/**
 * The registry of a gateway: agents, channels and personas with their needs met,
 * checked before anything starts. The host's own channel is always there.
 */
import * as Effect from "effect/Effect"
import * as Channel from "../../Channel.ts"
import { GatewayError, type Registry } from "./options.ts"
import { provideAgent, provideChannel } from "../provide.ts"
import type { Entries } from "../registry.ts"
import { isZone, type SpendingOptions } from "../spending.ts"

/** Name of the channel that a host's own `accept` and `replies` use. */
export const hostChannel = "host"

const host = Channel.make({
  kind: "server",
  delivery: Channel.pull,
  receive: ({ ready }) => Effect.andThen(ready, Effect.never)
})

const named = /^[a-z][a-z0-9_-]{0,63}$/i

const isAmount = (value: number | undefined) => value === undefined || (Number.isFinite(value) && value >= 0)

const checkSpending = ({ budgets = {}, prices = {}, timeZone }: Registry<unknown>): GatewayError | undefined => {
  for (const period of ["daily", "monthly"] as const) {
    const budget = budgets[period]
    if (isAmount(budget)) continue
    return new GatewayError({
      field: `budgets.${period}`,
      value: `is ${budget}`,
      remedy: "use an amount in US dollars"
    })
  }
  for (const [model, price] of Object.entries(prices)) {
    const wrong = Object.entries(price).find(([, value]) => !isAmount(value))
    if (wrong === undefined) continue
    const remedy = "use US dollars for a million tokens"
    return new GatewayError({ field: `prices.${model}.${wrong[0]}`, value: `is ${wrong[1]}`, remedy })
  }
  return timeZone === undefined || isZone(timeZone)
    ? undefined
    : new GatewayError({ field: "timeZone", value: `is "${timeZone}"`, remedy: "use a name such as Europe/Berlin" })
}

const check = (registry: Registry<unknown>): GatewayError | undefined => {
  const agents = Object.keys(registry.agents)
  if (agents.length === 0) {
    return new GatewayError({ field: "agents", value: "is empty", remedy: "configure at least one agent" })
  }
  for (const [field, names] of [
    ["agents", agents],
    ["channels", Object.keys(registry.channels ?? {})]
  ] as const) {
    const wrong = names.find((name) => !named.test(name))
    if (wrong !== undefined) {
      return new GatewayError({
        field: `${field}.${wrong}`,
        value: "is no name",
        remedy: "use letters, digits, - and _"
      })
    }
  }
  if (registry.channels !== undefined && hostChannel in registry.channels) {
    return new GatewayError({
      field: `channels.${hostChannel}`,
      value: "is taken",
      remedy: "choose another name; this one is the host's own"
    })
  }
  for (const [name, { agent }] of Object.entries(registry.personas ?? {})) {
    if (!(agent in registry.agents)) {
      return new GatewayError({
        field: `personas.${name}.agent`,
        value: `is "${agent}"`,
        remedy: `name one of the agents: ${agents.join(", ")}`
      })
    }
  }
  return checkSpending(registry)
}

const spendingOf = ({ budgets, prices, timeZone }: Registry<unknown>): SpendingOptions => ({
  ...(prices === undefined ? {} : { prices }),
  ...(budgets === undefined ? {} : { budgets }),
  ...(timeZone === undefined ? {} : { timeZone })
})

/** The entries of a registry whose needs are in the context. */
export const entriesOf = <R>(registry: Registry<R>): Effect.Effect<Entries, GatewayError, R> =>
  Effect.flatMap(Effect.context<R>(), (context) => {
    const error = check(registry)
    if (error !== undefined) return Effect.fail(error)
    const channels = Object.entries(registry.channels ?? {})
    return Effect.succeed<Entries>({
      agents: new Map(Object.entries(registry.agents).map(([name, agent]) => [name, provideAgent(agent, context)])),
      channels: new Map([
        [hostChannel, host],
        ...channels.map(([name, channel]) => [name, provideChannel(channel, context)] as const)
      ]),
      personas: new Map(Object.entries(registry.personas ?? {})),
      spending: spendingOf(registry)
    })
  })

/** The entries at the start, in their exchangeable place. */
export const provideRegistry = <R>(registry: Registry<R>) => Effect.map(entriesOf(registry), (entries) => ({ entries }))
