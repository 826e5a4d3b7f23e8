/**
 * A gateway with an app on the stand-in, for tests of the whole way: one boot after
 * the other over one store, each ended as its scope ends. Slack's requests are
 * answered by the channel's hook, without a socket in between.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Gateway } from "@sluice/runtime/Gateway"
import { TestAgent, TestGateway } from "@sluice/runtime/testing"
import * as Effect from "effect/Effect"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/testing/TestClock"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Slack from "../../src/Slack.ts"
import { temporaryAttachments } from "../serve.ts"
import type { Delivery, StandIn } from "../standIn/slack.ts"

export { standIn } from "../standIn/slack.ts"

/** Somebody who may speak, and where they speak to the bot alone. */
export const kim = "UKIM"
export const dm = "DKIM"

/** A channel's options over a stand-in. */
export const optionsOf = (server: StandIn, more: Partial<Slack.Options> = {}): Slack.Options => ({
  token: Redacted.make(server.token),
  signingSecret: Redacted.make(server.signingSecret),
  apiRoot: server.url,
  allow: [kim],
  ...more
})

/** What a hook answers to a request of Slack's. */
export const asked = ({ webhook }: Slack.SlackChannel, { body, headers }: Delivery) =>
  Effect.suspend(() => {
    const url = "https://gateway.example/v1/webhooks/slack"
    return webhook(HttpServerRequest.fromWeb(new Request(url, { method: "POST", headers, body })))
  })

/** Slack delivers to this channel from now on, for as long as the scope is open. */
export const connect = (server: StandIn, channel: Slack.SlackChannel) =>
  Effect.gen(function* () {
    const run = Effect.runPromiseWith(yield* Effect.context<never>())
    server.deliverTo((delivery) => run(Effect.map(asked(channel, delivery), ({ status }) => status)))
    yield* Effect.addFinalizer(() => Effect.sync(() => server.deliverTo(undefined)))
  })

/**
 * Lets the test's time go on until the effect is there: so slowly that no request on this machine takes as long as the
 * 30 seconds after which the channel gives up on it.
 */
export const whileTimePasses = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.raceFirst(
    effect,
    Effect.forever(
      Effect.andThen(
        TestClock.adjust(50),
        Effect.callback<void>((resume) => void setTimeout(() => resume(Effect.void), 1))
      )
    )
  )

/** What a boot is made of; an agent that echoes and a store in memory unless said otherwise. */
export interface World {
  readonly agent?: TestAgent.TestAgent
  readonly store?: string
  readonly options?: Partial<Slack.Options>
  /** Debounce in milliseconds; none by default. */
  readonly quiet?: number
}

const temporaryStore = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "sluice-slack-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  ),
  (folder) => join(folder, "store.db")
)

const run = <A, E>(
  server: StandIn,
  { agent = TestAgent.echo(), options, quiet = 0, store }: World,
  use: (gateway: Gateway["Service"]) => Effect.Effect<A, E>
): Effect.Effect<A, E> => {
  const slack = Slack.make(optionsOf(server, options))
  const layer = TestGateway.make(
    { agents: { main: agent.agent }, channels: { slack }, debounce: { quiet } },
    store === undefined ? {} : { filename: store }
  ).pipe(Layer.provide(NodeHttpClient.layerNodeHttp), Layer.provideMerge(temporaryAttachments))
  return Effect.scoped(
    Effect.flatMap(Effect.orDie(Layer.build(layer)), (context) =>
      Effect.andThen(connect(server, slack), Effect.provideContext(Effect.flatMap(Gateway, use), context))
    )
  )
}

/** One boot of the gateway; `boot.store` is a file for several. */
export const boot = Object.assign(run, { store: temporaryStore })
