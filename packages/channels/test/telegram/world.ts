/**
 * A gateway with a bot on the stand-in, for tests of the whole way: one boot after
 * the other over one store, each ended as its scope ends.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Gateway } from "@sluice/runtime/Gateway"
import { TestAgent, TestGateway } from "@sluice/runtime/testing"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/testing/TestClock"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Telegram from "../../src/Telegram.ts"
import { temporaryAttachments } from "../serve.ts"
import type { StandIn } from "../standIn/telegram.ts"

export { standIn } from "../standIn/telegram.ts"

/** Somebody who may speak. */
export const kim = 42

/** What a boot is made of; an agent that echoes and a store in memory unless said otherwise. */
export interface World {
  readonly agent?: TestAgent.TestAgent
  readonly store?: string
  readonly options?: Partial<Telegram.Options>
  /** Debounce in milliseconds; none by default. */
  readonly quiet?: number
}

const temporaryStore = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "sluice-telegram-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  ),
  (folder) => join(folder, "store.db")
)

const run = <A, E>(
  server: StandIn,
  { agent = TestAgent.echo(), options, quiet = 0, store }: World,
  use: (gateway: Gateway["Service"]) => Effect.Effect<A, E>
): Effect.Effect<A, E> => {
  const telegram = Telegram.make({
    token: Redacted.make(server.token),
    apiRoot: server.url,
    allow: [kim],
    ...options
  })
  const layer = TestGateway.make(
    { agents: { main: agent.agent }, channels: { telegram }, debounce: { quiet } },
    store === undefined ? {} : { filename: store }
  ).pipe(Layer.provide(NodeHttpClient.layerNodeHttp), Layer.provideMerge(temporaryAttachments))
  return Effect.scoped(
    Effect.flatMap(Effect.orDie(Layer.build(layer)), (context) =>
      Effect.provideContext(Effect.flatMap(Gateway, use), context)
    )
  )
}

/** Lets the test's time go on until the effect is there. */
export const whileTimePasses = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.raceFirst(
    effect,
    Effect.forever(
      Effect.andThen(
        TestClock.adjust(50),
        Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void)))
      )
    )
  )

/** One boot of the gateway; `boot.store` is a file for several. */
export const boot = Object.assign(run, { store: temporaryStore })
